// The whole stack on free loopback ports: OAuth server, both MCP servers, Envoy.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BACKEND } from '../idp/backend.mjs';
import { EXCHANGERS } from '../idp/clients.mjs';
import { BACKEND_APP, TENANTS } from '../vendors/names.mjs';
import { createCertificates } from './certificates.mjs';
import { startEnvoy } from './envoy.mjs';
import { DEMO, NODE, PYTHON } from './paths.mjs';
import { freePorts } from './ports.mjs';
import { startProcess, stopAll } from './process.mjs';

/** The MCP servers, by the first segment of their path at Envoy. */
export const SERVERS = ['typescript', 'python'];

/** URL of an MCP server as clients know it: also its RFC 8707 resource and its tokens' audience. */
export function resourceUrl(origin, server) {
  return `${origin}/${server}/mcp`;
}

/**
 * For `configure` of `startEnvoy`: the same MCP servers also at the listener with TLS, where every
 * token is bound to a certificate.
 */
export function withTlsServers(configuration, { origin, tlsOrigin }) {
  const bound = configuration.servers.map(({ dpop: _dpop, ...server }) => ({
    ...server, resource: server.resource.replace(origin, tlsOrigin), mtls: { mode: 'required' },
  }));
  return { ...configuration, servers: [...configuration.servers, ...bound] };
}

/**
 * What the tools of the TypeScript MCP server need of a token that is not of an OAuth server of
 * the demo: permissions of Entra ID, scopes of GitHub (which nobody has for deleting).
 */
const SCOPES = {
  entra: { readContacts: 'Records.Read', sendEmail: 'Mail.Send', deleteRecord: 'Records.Delete' },
  auth0: {
    search_docs: 'repo', read_doc: 'repo', delete_doc: 'delete_repo', readContacts: 'read:user', sendEmail: 'repo', deleteRecord: 'delete_repo',
  },
};

/** The tenant of `vendors/entra.mjs` whose users come. */
const [ENTRA_TENANT] = TENANTS;

/** The MCP server is the backend, and takes tokens in which one of the filter's clients acts for the user. */
const backendGuard = (origin) => ({
  TOKEN_ISSUER: origin, TOKEN_JWKS: `${origin}/jwks`, TOKEN_AUDIENCE: BACKEND, TOKEN_ACTORS: EXCHANGERS.join(' '),
});

/**
 * The servers that issue tokens, by Envoy cluster: what starts them, where their paths are, and
 * (`guard`) how an MCP server is told to take their tokens.
 */
const ISSUERS = {
  idp: {
    script: 'idp/main.mjs',
    ready: '/jwks',
    token: '/token',
    issuer: (origin) => origin,
    guard: backendGuard,
  },
  idp2: {
    script: 'idp2/main.mjs',
    ready: '/jwks',
    token: '/token',
    issuer: (origin) => origin,
    guard: backendGuard,
  },
  entra: {
    script: 'vendors/entra.mjs',
    ready: `/${ENTRA_TENANT}/discovery/v2.0/keys`,
    token: `/${ENTRA_TENANT}/oauth2/v2.0/token`,
    issuer: (origin) => `${origin}/${ENTRA_TENANT}/v2.0`,
    guard: (origin) => ({
      TOKEN_ISSUER: `${origin}/${ENTRA_TENANT}/v2.0`,
      TOKEN_JWKS: `${origin}/${ENTRA_TENANT}/discovery/v2.0/keys`,
      TOKEN_AUDIENCE: BACKEND_APP,
      TOKEN_TYPE: 'JWT',
      TOKEN_SCOPES: JSON.stringify(SCOPES.entra),
    }),
  },
  auth0: {
    script: 'vendors/auth0.mjs',
    ready: '/.well-known/jwks.json',
    token: '/oauth/token',
    issuer: (origin) => `${origin}/`,
    guard: (origin) => ({ TOKEN_USER_URL: `${origin}/github/user`, TOKEN_SCOPES: JSON.stringify(SCOPES.auth0) }),
  },
};

/**
 * Starts the OAuth server and both MCP servers for the Envoys that will listen at `origins`.
 *
 * - `alg`: the OAuth server's signing algorithm
 * - `dpopNonce`: its DPOP_NONCE
 * - `trustDomains`: its TRUST_DOMAINS
 * - `crm`: the TypeScript MCP server has the tools of `crm-tools.mjs` too
 * - `exchange`: a name of `ISSUERS`, whose tokens alone that MCP server takes; a server that is
 *   not the OAuth server is started besides. Without it, the MCP servers ask for none
 *
 * Logs, keys and certificates go to `directory`.
 *
 * Returns `{ issuer, tlsTokenEndpoint, admin, tap, servers, ports, pids, keyFile, certificates,
 * introspectionKey, stop() }`: `ports` by Envoy cluster name, `admin` the origin of
 * `idp/admin.mjs`, `tap` the URL of `servers/typescript/tap.mjs`, `servers` those that issue tokens
 * by cluster, `{ origin, issuer, tokenEndpoint, admin }`, `certificates` of `createCertificates`,
 * `introspectionKey` the ES256 key of the clients `gateway-key` and `countersign-jwt` as PEM.
 */
export async function startBackends({ origins, directory, alg = 'ES256', dpopNonce, crm, exchange, trustDomains }) {
  const names = [...new Set(['idp', exchange ?? 'idp'])];
  const [idpTls, typescript, python, tap, ...issuerPorts] = await freePorts(4 + 2 * names.length);
  const servers = Object.fromEntries(names.map((name, index) => [name, issuerAt(name, issuerPorts[2 * index], issuerPorts[2 * index + 1])]));
  const issuer = servers.idp.origin;
  const keyFile = join(directory, `idp.${alg}.keys.json`);
  const certificates = await createCertificates(directory);
  const { cert, key } = certificates.files('server');
  const introspection = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const environments = {
    idp: {
      ALG: alg,
      KEY_FILE: keyFile,
      TLS_PORT: idpTls,
      TLS_CERT: cert,
      TLS_KEY: key,
      TLS_CA: certificates.caFile,
      ...(dpopNonce && { DPOP_NONCE: dpopNonce }),
      INTROSPECTION_KEY: JSON.stringify({ ...introspection.publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }),
      RESOURCES: origins.flatMap((origin) => SERVERS.map((server) => resourceUrl(origin, server))).join(),
      ...(servers.idp2 && { PARTNERS: servers.idp2.origin }),
      ...(trustDomains && { TRUST_DOMAINS: JSON.stringify(trustDomains) }),
    },
    idp2: { TRUSTED_ISSUER: issuer },
  };
  const node = (name, script, env, ready) => startProcess({
    name, command: NODE, args: [join(DEMO, script)], env, logFile: join(directory, `${name}.log`), ready,
  });
  const starting = await Promise.allSettled([
    ...Object.entries(servers).map(([name, { origin, admin }]) => node(name, ISSUERS[name].script, {
      PORT: new URL(origin).port, ADMIN_PORT: new URL(admin).port, ...environments[name],
    }, origin + ISSUERS[name].ready)),
    node('typescript', 'servers/typescript/main.mjs', {
      PORT: typescript,
      TAP_PORT: tap,
      ...(crm && { CRM: 1 }),
      ...(exchange && ISSUERS[exchange].guard(servers[exchange].origin)),
    }, `http://127.0.0.1:${tap}/requests`),
    startProcess({
      name: 'python',
      command: PYTHON,
      args: [join(DEMO, 'servers/python/main.py')],
      env: { PORT: python },
      logFile: join(directory, 'python.log'),
      ready: `http://127.0.0.1:${python}/`,
    }),
  ]);
  const processes = starting.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  const failed = starting.find(({ status }) => status === 'rejected');
  if (failed) {
    await stopAll(processes);
    throw failed.reason;
  }
  return {
    issuer,
    tlsTokenEndpoint: `https://127.0.0.1:${idpTls}/token`,
    admin: servers.idp.admin,
    tap: `http://127.0.0.1:${tap}/requests`,
    servers,
    ports: {
      ...Object.fromEntries(Object.entries(servers).map(([name, { origin }]) => [name, Number(new URL(origin).port)])),
      mcp_typescript: typescript,
      mcp_python: python,
    },
    pids: Object.fromEntries(processes.map(({ name, pid }) => [name, pid])),
    keyFile,
    certificates,
    introspectionKey: introspection.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    stop: () => stopAll(processes),
  };
}

function issuerAt(name, port, adminPort) {
  const origin = `http://127.0.0.1:${port}`;
  return { origin, issuer: ISSUERS[name].issuer(origin), tokenEndpoint: origin + ISSUERS[name].token, admin: `http://127.0.0.1:${adminPort}` };
}

/**
 * Starts everything with one Envoy; options are those of `startBackends` and `startEnvoy`, with
 * free ports and a new directory chosen where none is given.
 *
 * Returns `{ urls, servers, pids, accessLog, log, keyFile, directory, stop() }` with
 * `urls: { issuer, tap, admin, origin, typescript, python }`.
 */
export async function startStack({
  mode = 'hold', directory = mkdtempSync(join(tmpdir(), 'countersign-')), alg, crm, exchange, ...options
} = {}) {
  const [port] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const backends = await startBackends({ origins: [origin], directory, alg, crm, exchange });
  let envoy;
  try {
    envoy = await startEnvoy({ mode, port, backends, directory, ...options });
  } catch (error) {
    await backends.stop();
    throw error;
  }
  return {
    urls: {
      issuer: backends.issuer,
      tap: backends.tap,
      admin: envoy.admin,
      origin,
      ...Object.fromEntries(SERVERS.map((server) => [server, resourceUrl(origin, server)])),
    },
    servers: backends.servers,
    pids: { ...backends.pids, envoy: envoy.pid },
    accessLog: envoy.accessLog,
    log: envoy.log,
    keyFile: backends.keyFile,
    directory,
    stop: () => stopAll([backends, envoy]),
  };
}
