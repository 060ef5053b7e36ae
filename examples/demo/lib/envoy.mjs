// Envoy with the filter: a checked-in bootstrap, moved to free ports, started.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import YAML from 'yaml';

import { grantMachines } from './machines.mjs';
import { BOOTSTRAPS, ENVOY, ROOT, WASM } from './paths.mjs';
import { freePorts } from './ports.mjs';
import { startProcess } from './process.mjs';

/** The origin of Envoy that is written in bootstraps. */
const DEFAULT_ORIGIN = 'http://127.0.0.1:10000';

/** Those of the OAuth servers, by cluster. */
const DEFAULT_ISSUERS = {
  idp: 'http://127.0.0.1:9000',
  idp2: 'http://127.0.0.1:9010',
  entra: 'http://127.0.0.1:9020',
  auth0: 'http://127.0.0.1:9030',
};

const TYPES = 'type.googleapis.com/envoy.extensions';
const WASM_FILTER = `${TYPES}.filters.http.wasm.v3.Wasm`;
const FILE_LOG = `${TYPES}.access_loggers.file.v3.FileAccessLog`;

/**
 * A bootstrap from the text of a checked-in one, as an object.
 *
 * - `ports`: new port by the name of a listener or a cluster, and of `admin`
 * - `origins`: pairs `[from, to]`, replaced in the whole text, the filter's configuration included
 * - `wasm`: file of the filter
 * - `accessLog`: file for every access log
 * - `configure`: may change the filter's configuration; gets it parsed and returns it
 * - `environment`: variables for the filter, where its secrets are
 * - `tls`: see `addTlsListener`
 * - `edit`: may change the finished bootstrap in place
 */
export function renderBootstrap(text, { ports = {}, origins = [], wasm, accessLog, configure, environment, tls, edit }) {
  const bootstrap = YAML.parse(origins.reduce((result, [from, to]) => result.replaceAll(from, to), text));
  if ('admin' in ports) bootstrap.admin.address.socket_address.port_value = ports.admin;
  for (const listener of bootstrap.static_resources.listeners) {
    if (listener.name in ports) listener.address.socket_address.port_value = ports[listener.name];
  }
  for (const cluster of bootstrap.static_resources.clusters) {
    if (!(cluster.name in ports)) continue;
    for (const { endpoint } of cluster.load_assignment.endpoints.flatMap((locality) => locality.lb_endpoints)) {
      endpoint.address.socket_address.port_value = ports[cluster.name];
    }
  }
  for (const log of ofType(bootstrap, FILE_LOG)) log.path = accessLog ?? log.path;
  for (const { config } of ofType(bootstrap, WASM_FILTER)) {
    config.vm_config.code.local.filename = wasm ?? config.vm_config.code.local.filename;
    if (configure) config.configuration.value = JSON.stringify(configure(JSON.parse(config.configuration.value)));
    if (environment) config.vm_config.environment_variables = { key_values: environment };
  }
  if (tls) addTlsListener(bootstrap, tls);
  edit?.(bootstrap);
  return bootstrap;
}

/**
 * Adds `mcp_tls`: the listener `mcp` once more on `port`, with TLS, where a client may show a
 * certificate of the CA. `certificates` are of `createCertificates`.
 */
function addTlsListener(bootstrap, { port, certificates }) {
  const { listeners } = bootstrap.static_resources;
  const listener = structuredClone(listeners.find(({ name }) => name === 'mcp'));
  const { cert, key } = certificates.files('server');
  listener.name = 'mcp_tls';
  listener.address.socket_address.port_value = port;
  listener.filter_chains[0].transport_socket = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${TYPES}.transport_sockets.tls.v3.DownstreamTlsContext`,
      // Who comes without one is for the filter to judge.
      require_client_certificate: false,
      common_tls_context: {
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
        validation_context: { trusted_ca: { filename: certificates.caFile } },
      },
    },
  };
  listeners.push(listener);
}

/**
 * Starts Envoy in front of the running backends (see `stack.mjs`).
 *
 * - `mode`: `stream` or `hold`
 * - `port`: of the listener `mcp`; part of every resource URL, so the issuer must know it
 * - `workers`: worker threads, each with a VM of its own
 * - `directory`: for the rendered bootstrap, Envoy's log and the access log
 * - `bootstrap`: file to use instead of the checked-in one of the mode
 * - `wasm`, `configure`, `environment`, `edit`: see `renderBootstrap`; `configure` also gets
 *   `{ origin, tlsOrigin }`, `edit` also `backends`, and `environment` may be a function of
 *   `backends`
 * - `machines`: whether the machine clients of the OAuth server may do what users may
 * - `tlsPort`: of the listener `mcp_tls`; without it there is none
 * - `logLevel`: of the filter's own lines in Envoy's log
 *
 * Returns `{ mode, pid, origin, tlsOrigin, admin, accessLog, log, stop() }`; `accessLog` and `log`
 * are files.
 */
export async function startEnvoy({
  mode, port, backends, directory, workers = 1, bootstrap = BOOTSTRAPS[mode],
  wasm = WASM, configure, environment, edit, tlsPort, machines = true, logLevel = 'info',
}) {
  const [adminPort] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const tlsOrigin = tlsPort && `https://127.0.0.1:${tlsPort}`;
  const accessLog = join(directory, `audit.${mode}.jsonl`);
  const log = join(directory, `envoy.${mode}.log`);
  const rendered = renderBootstrap(readFileSync(bootstrap, 'utf8'), {
    ports: { mcp: port, admin: adminPort, ...backends.ports },
    origins: [
      [DEFAULT_ORIGIN, origin],
      [DEFAULT_ISSUERS.idp, backends.issuer],
      ...Object.entries(backends.servers ?? {}).map(([cluster, server]) => [DEFAULT_ISSUERS[cluster], server.origin]),
    ],
    wasm,
    accessLog,
    configure: (configuration) => {
      const configured = configure?.(configuration, { origin, tlsOrigin }) ?? configuration;
      return machines ? grantMachines(configured) : configured;
    },
    environment: typeof environment === 'function' ? environment(backends) : environment,
    tls: tlsPort && { port: tlsPort, certificates: backends.certificates },
    edit: (bootstrap) => edit?.(bootstrap, backends),
  });
  const file = join(directory, `envoy.${mode}.json`);
  writeFileSync(file, JSON.stringify(rendered, null, 2));
  const admin = `http://127.0.0.1:${adminPort}`;
  const started = await startProcess({
    name: `envoy (${mode})`,
    command: ENVOY,
    args: [
      '-c', file,
      '--concurrency', String(workers),
      // Several Envoys share this machine and none is to be restarted in place.
      '--disable-hot-restart',
      '--log-level', 'warning',
      '--component-log-level', `wasm:${logLevel}`,
      // Access logs within this many milliseconds.
      '--file-flush-interval-msec', '100',
    ],
    cwd: ROOT,
    logFile: log,
    ready: `${admin}/ready`,
  });
  return { mode, pid: started.pid, origin, tlsOrigin, admin, accessLog, log, stop: started.stop };
}

/** All objects with this `@type`, at any depth. */
function ofType(node, type) {
  if (node === null || typeof node !== 'object') return [];
  const deeper = Object.values(node).flatMap((child) => ofType(child, type));
  return node['@type'] === type ? [node, ...deeper] : deeper;
}
