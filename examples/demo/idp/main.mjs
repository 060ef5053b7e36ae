// The OAuth server of the demo. Environment:
//   PORT       loopback port, default 9000
//   ISSUER     RFC 8414 issuer, default http://127.0.0.1:PORT
//   RESOURCES  URLs of the MCP servers it issues tokens for, separated by commas
//   ALG        signing algorithm, default ES256
//   KEY_FILE   private JWK Set, made when it does not exist; default: keys in memory
//   ADMIN_PORT loopback port of the admin seam (admin.mjs); default: none
//   TLS_PORT   loopback port with TLS, where clients may show a certificate, with TLS_CERT and
//              TLS_KEY (PEM files); default: none. With TLS_CA, one of it authenticates a client
//   DPOP_NONCE required: proofs at the token endpoint need a nonce of ours (RFC 9449, 8)
//   INTROSPECTION_KEY  public JWK of the clients `gateway-key` and `countersign-jwt`; default: no such clients
//   PARTNERS   issuers of authorization servers that take our word for who a user is, separated by commas
//   TRUST_DOMAINS      JSON, URLs of SPIFFE bundles by trust domain: whose workloads may be actors
// One JSON line per request and per refusal on standard output; tokens are never written.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

import { createAdmin } from './admin.mjs';
import { createClients } from './clients.mjs';
import { Front } from './front.mjs';
import { ALGORITHMS, Keys } from './keys.mjs';
import { createProvider, createState } from './provider.mjs';

const {
  PORT = 9000, ISSUER = `http://127.0.0.1:${PORT}`, ALG = 'ES256', KEY_FILE, ADMIN_PORT, TLS_PORT, TLS_CERT, TLS_KEY,
  TLS_CA, DPOP_NONCE, INTROSPECTION_KEY, PARTNERS = '', TRUST_DOMAINS = '{}',
  RESOURCES = 'http://127.0.0.1:10000/typescript/mcp,http://127.0.0.1:10000/python/mcp',
} = process.env;
if (!ALGORITHMS.includes(ALG)) throw new Error(`ALG must be one of ${ALGORITHMS.join(', ')}`);

const log = (entry) => console.log(JSON.stringify({ time: new Date().toISOString(), ...entry }));
const keys = await Keys.load(KEY_FILE, ALG);
const clients = createClients({ alg: ALG, introspectionKey: INTROSPECTION_KEY && JSON.parse(INTROSPECTION_KEY) });
const resources = RESOURCES.split(',');
const partners = PARTNERS.split(',').filter(Boolean);
const trustDomains = JSON.parse(TRUST_DOMAINS);
const state = createState();
const front = new Front(log);

/** The provider reads its keys once: for others there is another provider, over the same state. */
function startProvider() {
  front.serve(createProvider({
    issuer: ISSUER, resources, alg: ALG, keys: keys.list, clients, state, requireNonce: DPOP_NONCE === 'required', partners, trustDomains,
  }));
}

startProvider();
if (ADMIN_PORT) createAdmin({ keys, front, rotated: startProvider }).listen(Number(ADMIN_PORT), '127.0.0.1');
if (TLS_PORT) {
  // Any certificate is taken: a token is bound to it by its digest, whoever issued it (RFC 8705, 3).
  createTlsServer({
    cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY), ca: TLS_CA && readFileSync(TLS_CA), requestCert: true, rejectUnauthorized: false,
  }, front.listen).listen(Number(TLS_PORT), '127.0.0.1');
}
createServer(front.listen).listen(Number(PORT), '127.0.0.1', () => log({ event: 'listening', issuer: ISSUER, alg: ALG, resources }));
process.once('SIGTERM', () => process.exit());
