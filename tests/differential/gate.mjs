// The filter in a real Envoy, in front of a server that answers anything and remembers the bytes.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startEnvoy } from '../../examples/demo/lib/envoy.mjs';
import { DEMO } from '../../examples/demo/lib/paths.mjs';
import { freePorts } from '../../examples/demo/lib/ports.mjs';
import { resourceUrl } from '../../examples/demo/lib/stack.mjs';
import { LISTS } from './operations.mjs';

const packages = createRequire(join(DEMO, 'package.json'));
const jose = await import(packages.resolve('jose'));

const ISSUER = 'https://issuer.test';

/** Lifetime of the one token, in seconds: longer than any run. */
const TOKEN_LIFETIME = 4 * 3600;

/** Envoy writes its access log every 100 ms. */
const LOG_DELAY = 1_000;

/**
 * Starts Envoy with a policy under which everything may be done, by rules that tell the areas of
 * the resources apart: what the filter can read at all, it allows.
 *
 * With `upstream`, a URL, it is in front of that server instead.
 *
 * Returns `{ url, token, received, verdicts(), stop() }`: `received` are the bodies that came
 * through, as Buffers by case; `verdicts()` the audit records by decision id.
 */
export async function startGate({ directory, mode, upstream: real }) {
  const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
  const key = { ...await jose.exportJWK(publicKey), kid: 'k', alg: 'ES256', use: 'sig' };
  const { received, server } = upstream();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstreamPort = real?.port ?? server.address().port;
  const [port] = await freePorts(1);
  const url = resourceUrl(`http://127.0.0.1:${port}`, 'typescript');
  const envoy = await startEnvoy({
    mode,
    port,
    directory,
    backends: { issuer: ISSUER, ports: { idp: upstreamPort, mcp_typescript: upstreamPort, mcp_python: upstreamPort } },
    configure: () => configuration({ mode, url, key }),
    edit: real && ((bootstrap) => rewritePaths(bootstrap, real.pathname)),
  });
  const token = await new jose.SignJWT({ client_id: 'differential', scope: 'all' })
    .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
    .setIssuer(ISSUER).setAudience(url).setSubject('alice').setJti('j')
    .setIssuedAt().setExpirationTime(`${TOKEN_LIFETIME}s`)
    .sign(privateKey);
  return {
    url,
    token,
    received,
    async verdicts() {
      await sleep(LOG_DELAY);
      const lines = readFileSync(envoy.accessLog, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
      return new Map(lines.filter((line) => line.decision_id).map((record) => [record.decision_id, record]));
    },
    async stop() {
      await envoy.stop();
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Sends every route to that path. */
function rewritePaths(bootstrap, path) {
  const routed = JSON.stringify(bootstrap.static_resources).replaceAll('"prefix_rewrite":"/mcp"', `"prefix_rewrite":"${path}"`);
  bootstrap.static_resources = JSON.parse(routed);
}

function configuration({ mode, url, key }) {
  return {
    host_mode: mode,
    issuers: { local: { issuer: ISSUER, jwks: { keys: [key] }, algorithms: ['ES256'] } },
    servers: [{
      resource: url,
      issuers: ['local'],
      methods: {
        allow: [
          'initialize', 'server/discover', 'ping', 'notifications/*', 'tools/list', 'prompts/list', 'resources/list',
          'resources/templates/list', 'subscriptions/listen', 'logging/setLevel', 'tasks/*', 'vendor/*',
        ],
      },
      tools: { rules: [{ names: ['*'], scopes: ['all'] }] },
      prompts: { rules: [{ names: ['*'], scopes: ['all'] }] },
      resources: {
        rules: ['docs://shop/public/*', 'docs://shop/secret/*', '*'].map((uri) => ({ uris: [uri], scopes: ['all'] })),
      },
      // Else a task that nobody saw made would be refused unread.
      tasks: { binding: 'upstream' },
    }],
    audit: { identity_headers: true, log: 'off' },
  };
}

/** Answers every request as a server would that has nothing, and opens sessions. */
function upstream() {
  const received = new Map();
  const server = createServer(async (request, response) => {
    let body;
    try {
      body = Buffer.concat(await request.toArray());
    } catch {
      // In `stream` a refusal is the end of a request whose headers have come already.
      return;
    }
    received.set(request.headers['x-case'], body);
    let message;
    try {
      message = JSON.parse(body);
    } catch {
      message = {};
    }
    if (message?.id === undefined || message.method === undefined) return response.writeHead(202).end();
    const session = message.method === 'initialize' ? { 'mcp-session-id': 'session' } : {};
    const result = { resultType: 'complete', ...(LISTS[message.method] && { [LISTS[message.method]]: [], ttlMs: 0, cacheScope: 'private' }) };
    return response
      .writeHead(200, { 'content-type': 'application/json', ...session })
      .end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }));
  });
  server.keepAliveTimeout = 0;
  return { received, server };
}
