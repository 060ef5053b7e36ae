// The Envoy that is measured: one listener per lane, each a copy of the one in the checked-in
// bootstrap with another filter chain. All lanes share everything else.

import { readFileSync } from 'node:fs';

import { renderBootstrap } from '../examples/demo/lib/envoy.mjs';
import { BOOTSTRAPS } from '../examples/demo/lib/paths.mjs';
import { LARGEST_BODY } from './bodies.mjs';
import { ISSUER, RESOURCE } from './credentials.mjs';

const TYPES = 'type.googleapis.com/envoy.extensions.filters.http';

/** Tokens that Envoy's native JWT cache keeps. */
const JWT_CACHE_SIZE = 1000;

/** Connections that Envoy takes: those of all lanes, and of a crowd while those of the last one go. */
const CONNECTIONS = 4000;

/** A filter chain, the router left out as in all of these, with the Wasm module in `file`. */
export function wasmChain(name, file) {
  return [{
    name,
    typed_config: {
      '@type': `${TYPES}.wasm.v3.Wasm`,
      config: {
        name,
        root_id: name,
        vm_config: { vm_id: name, runtime: 'envoy.wasm.runtime.v8', code: { local: { filename: file } } },
      },
    },
  }];
}

/**
 * What Envoy has of its own for this: `jwt_authn`, `mcp` and `rbac`, with the rules that the
 * checked-in bootstraps give our filter. `jwks` are the issuer's public keys.
 */
export function nativeChain({ jwks, cache }) {
  const claim = ['payload', 'scope'];
  const scope = (name) => metadata('jwt_authn', claim, { list_match: { one_of: { string_match: { exact: name } } } });
  const method = (match) => metadata('mcp', ['method'], match);
  const tools = (names) => [
    method({ string_match: { exact: 'tools/call' } }),
    metadata('mcp', ['params', 'name'], anyOf(names.map((exact) => ({ exact })))),
  ];
  const lifecycle = [
    'initialize', 'server/discover', 'ping', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list',
  ].map((exact) => ({ exact }));
  const calls = (names, needed) => ({
    permissions: [{ and_rules: { rules: tools(names) } }],
    principals: [scope(needed)],
  });
  return [
    {
      name: 'envoy.filters.http.jwt_authn',
      typed_config: {
        '@type': `${TYPES}.jwt_authn.v3.JwtAuthentication`,
        providers: {
          idp: {
            issuer: ISSUER,
            audiences: [RESOURCE],
            require_expiration: true,
            forward: false,
            payload_in_metadata: claim[0],
            normalize_payload_in_metadata: { space_delimited_claims: [claim[1]] },
            local_jwks: { inline_string: JSON.stringify(jwks) },
            ...(cache && { jwt_cache_config: { jwt_cache_size: JWT_CACHE_SIZE } }),
          },
        },
        rules: [{ match: { prefix: '/' }, requires: { provider_name: 'idp' } }],
      },
    },
    {
      name: 'envoy.filters.http.mcp',
      typed_config: {
        '@type': `${TYPES}.mcp.v3.Mcp`,
        traffic_mode: 'REJECT_NO_MCP',
        reject_duplicate_keys: true,
        // Its default of 8 KiB is too small to work with.
        max_request_body_size: LARGEST_BODY,
      },
    },
    {
      name: 'envoy.filters.http.rbac',
      typed_config: {
        '@type': `${TYPES}.rbac.v3.RBAC`,
        rules: {
          action: 'ALLOW',
          policies: {
            lifecycle: { permissions: [method(anyOf([...lifecycle, { prefix: 'notifications/' }]))], principals: [{ any: true }] },
            connected: calls(['whoami'], 'mcp:connect'),
            readers: calls(['search_docs', 'read_doc'], 'docs:read'),
            admins: calls(['delete_doc'], 'docs:admin'),
          },
        },
      },
    },
  ];
}

/**
 * Our filter as the bootstrap of `mode` has it, with the issuer's keys inline, or with
 * other `issuers`. `exchanges` are as in the configuration, `server` adds to that of the MCP
 * server, `audit` to that of the record.
 */
export function countersignChain({ mode, jwks, issuers, exchanges, server = {}, audit = {} }) {
  const trusted = issuers ?? { bench: { issuer: ISSUER, jwks, algorithms: jwks.keys.map(({ alg }) => alg) } };
  const bootstrap = renderBootstrap(readFileSync(BOOTSTRAPS[mode], 'utf8'), {
    configure: (configuration) => ({
      ...configuration,
      issuers: trusted,
      ...(exchanges && { exchanges }),
      servers: [{ ...configuration.servers[0], resource: RESOURCE, issuers: Object.keys(trusted), ...server }],
      audit: { ...configuration.audit, ...audit },
    }),
  });
  return manager(bootstrap.static_resources.listeners[0]).http_filters.slice(0, -1);
}

/**
 * The bootstrap with a listener for each of `lanes`: `{ id, chain, log }`. Listeners get `ports` in
 * the order of the lanes, clusters those of `clusters` by name; one is `upstream`. Records are
 * logged, to nowhere, where a lane says so.
 */
export function bootstrap({ lanes, ports, clusters, admin }) {
  const rendered = renderBootstrap(readFileSync(BOOTSTRAPS.stream, 'utf8'), { ports: { admin }, accessLog: '/dev/null' });
  const [listener] = rendered.static_resources.listeners;
  const [cluster] = rendered.static_resources.clusters;
  for (const { typed_config: monitor } of rendered.overload_manager.resource_monitors) {
    if ('max_active_downstream_connections' in monitor) monitor.max_active_downstream_connections = CONNECTIONS;
  }
  return {
    ...rendered,
    static_resources: {
      listeners: lanes.map(({ id, chain, log }, index) => {
        const copy = structuredClone(listener);
        copy.name = id;
        copy.address.socket_address.port_value = ports[index];
        const connections = manager(copy);
        connections.stat_prefix = id;
        if (!log) connections.access_log = [];
        connections.http_filters.splice(0, connections.http_filters.length - 1, ...chain);
        connections.route_config = {
          name: id,
          virtual_hosts: [{
            name: id,
            domains: ['*'],
            routes: [{ match: { path: new URL(RESOURCE).pathname }, route: { cluster: 'upstream', timeout: '0s' } }],
          }],
        };
        return copy;
      }),
      clusters: Object.entries(clusters).map(([name, port]) => ({
        ...cluster,
        name,
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] }],
        },
      })),
    },
  };
}

/** The HTTP connection manager of a listener. */
function manager(listener) {
  return listener.filter_chains[0].filters[0].typed_config;
}

/** A matcher, as permission or principal, of what the filter `name` says about the request. */
function metadata(name, path, value) {
  const matcher = { filter: `envoy.filters.http.${name}`, path: path.map((key) => ({ key })), value };
  return { sourced_metadata: { metadata_matcher: matcher } };
}

/** One of several strings; Envoy takes no list of one. */
function anyOf(matches) {
  const [only, ...others] = matches.map((match) => ({ string_match: match }));
  return others.length === 0 ? only : { or_match: { value_matchers: [only, ...others] } };
}
