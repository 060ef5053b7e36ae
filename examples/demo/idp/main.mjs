// The OAuth server of the demo. Environment:
//   PORT       loopback port, default 9000
//   ISSUER     RFC 8414 issuer, default http://127.0.0.1:PORT
//   RESOURCES  URLs of the MCP servers it issues tokens for, separated by commas
//   ALG        signing algorithm, default ES256
//   KEY_FILE   private JWK Set, made when it does not exist; default: a key in memory
// One JSON line per request and per refusal on standard output; tokens are never written.

import { createServer } from 'node:http';

import { ALGORITHMS, loadOrCreateKeys } from './keys.mjs';
import { createProvider } from './provider.mjs';

const port = Number(process.env.PORT ?? 9000);
const issuer = process.env.ISSUER ?? `http://127.0.0.1:${port}`;
const resources = (process.env.RESOURCES
  ?? 'http://127.0.0.1:10000/typescript/mcp,http://127.0.0.1:10000/python/mcp').split(',');
const alg = process.env.ALG ?? 'ES256';
if (!ALGORITHMS.includes(alg)) throw new Error(`ALG must be one of ${ALGORITHMS.join(', ')}`);

const provider = createProvider({
  issuer, resources, alg, jwks: await loadOrCreateKeys(process.env.KEY_FILE, alg),
});

const log = (entry) => console.log(JSON.stringify({ time: new Date().toISOString(), ...entry }));
for (const event of ['authorization.error', 'grant.error', 'registration_create.error', 'server_error']) {
  provider.on(event, (_ctx, error) => {
    log({ event, error: error.message, detail: error.error_description ?? error.stack });
  });
}

const handle = provider.callback();
const server = createServer((request, response) => {
  const path = request.url.split('?', 1)[0];
  response.on('finish', () => log({ method: request.method, path, status: response.statusCode }));
  handle(request, response);
});
server.listen(port, '127.0.0.1', () => log({ event: 'listening', issuer, alg, resources }));
process.once('SIGTERM', () => process.exit());
