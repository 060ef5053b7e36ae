// The whole stack on free loopback ports: OAuth server, both MCP servers, Envoy.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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
 * Starts the OAuth server and both MCP servers for the Envoys that will listen at `origins`.
 *
 * `alg` is the OAuth server's signing algorithm, `dpopNonce` its DPOP_NONCE; with `crm` the
 * TypeScript MCP server has the tools of `crm-tools.mjs` too. Logs, keys and
 * certificates go to `directory`.
 *
 * Returns `{ issuer, tlsTokenEndpoint, admin, tap, ports, pids, keyFile, certificates,
 * introspectionKey, stop() }`: `ports` by Envoy cluster name, `admin` the origin of
 * `idp/admin.mjs`, `tap` the URL of `servers/typescript/tap.mjs`, `certificates` of
 * `createCertificates`, `introspectionKey` the ES256 key of the client `gateway-key` as PEM.
 */
export async function startBackends({ origins, directory, alg = 'ES256', dpopNonce, crm }) {
  const [idp, idpTls, idpAdmin, typescript, python, tap] = await freePorts(6);
  const issuer = `http://127.0.0.1:${idp}`;
  const keyFile = join(directory, `idp.${alg}.keys.json`);
  const certificates = await createCertificates(directory);
  const { cert, key } = certificates.files('server');
  const introspection = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const node = (name, script, env, ready) => startProcess({
    name, command: NODE, args: [join(DEMO, script)], env, logFile: join(directory, `${name}.log`), ready,
  });
  const starting = await Promise.allSettled([
    node('idp', 'idp/main.mjs', {
      PORT: idp,
      ISSUER: issuer,
      ALG: alg,
      KEY_FILE: keyFile,
      ADMIN_PORT: idpAdmin,
      TLS_PORT: idpTls,
      TLS_CERT: cert,
      TLS_KEY: key,
      ...(dpopNonce && { DPOP_NONCE: dpopNonce }),
      INTROSPECTION_KEY: JSON.stringify({ ...introspection.publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }),
      RESOURCES: origins.flatMap((origin) => SERVERS.map((server) => resourceUrl(origin, server))).join(),
    }, `${issuer}/jwks`),
    node('typescript', 'servers/typescript/main.mjs', { PORT: typescript, TAP_PORT: tap, ...(crm && { CRM: 1 }) }, `http://127.0.0.1:${tap}/requests`),
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
    admin: `http://127.0.0.1:${idpAdmin}`,
    tap: `http://127.0.0.1:${tap}/requests`,
    ports: { idp, mcp_typescript: typescript, mcp_python: python },
    pids: Object.fromEntries(processes.map(({ name, pid }) => [name, pid])),
    keyFile,
    certificates,
    introspectionKey: introspection.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    stop: () => stopAll(processes),
  };
}

/**
 * Starts everything with one Envoy; options are those of `startBackends` and `startEnvoy`, with
 * free ports and a new directory chosen where none is given.
 *
 * Returns `{ urls, pids, accessLog, log, keyFile, directory, stop() }` with
 * `urls: { issuer, tap, admin, origin, typescript, python }`.
 */
export async function startStack({
  mode = 'hold', directory = mkdtempSync(join(tmpdir(), 'countersign-')), alg, ...options
} = {}) {
  const [port] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const backends = await startBackends({ origins: [origin], directory, alg });
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
    pids: { ...backends.pids, envoy: envoy.pid },
    accessLog: envoy.accessLog,
    log: envoy.log,
    keyFile: backends.keyFile,
    directory,
    stop: () => stopAll([backends, envoy]),
  };
}
