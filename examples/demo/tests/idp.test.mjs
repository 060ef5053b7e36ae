// The OAuth server gives what the demo and the tests on a real Envoy rely on.

import assert from 'node:assert/strict';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { calculateJwkThumbprint, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';

import { SECRET } from '../idp/clients.mjs';
import { ALGORITHMS } from '../idp/keys.mjs';
import { createCertificates } from '../lib/certificates.mjs';
import { KeyHolder } from '../lib/key-holder.mjs';
import { DEMO, NODE } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';
import { startProcess } from '../lib/process.mjs';
import { clientCredentials, flipSignature } from '../lib/tokens.mjs';

const RESOURCE = 'http://127.0.0.1:10000/typescript/mcp';
const SCOPE = 'mcp:connect docs:read';

let directory;
let certificates;
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'countersign-idp-'));
  certificates = await createCertificates(directory);
});
after(() => rmSync(directory, { recursive: true }));

for (const alg of ALGORITHMS) {
  test(`rfc9068 access token, ${alg}`, () => withIdp(alg, async (issuer) => {
    const token = await clientCredentials({ issuer, client: 'demo-reader', resource: RESOURCE, scope: SCOPE });
    const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
    const expected = { issuer, audience: RESOURCE, typ: 'at+jwt', algorithms: [alg] };
    const { payload } = await jwtVerify(token, keys, expected);
    assert.deepEqual([payload.sub, payload.client_id, payload.scope], ['demo-reader', 'demo-reader', SCOPE]);
    await assert.rejects(jwtVerify(flipSignature(token), keys, expected), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' });
  }));
}

test('lifetimes: demo-short a second, demo-expired over for an hour', () => withIdp('ES256', async (issuer) => {
  const claims = async (client) => {
    const token = await clientCredentials({ issuer, client, resource: RESOURCE, scope: SCOPE });
    return JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  };
  const short = await claims('demo-short');
  assert.equal(short.exp - short.iat, 1);
  const expired = await claims('demo-expired');
  assert.ok(expired.iat < expired.exp && expired.exp <= Date.now() / 1000 - 3600);
}));

test('rfc8707 unknown resource and scopes beyond the client are refused', () => withIdp('ES256', async (issuer) => {
  const ask = (changes) => clientCredentials({ issuer, client: 'demo-reader', resource: RESOURCE, scope: SCOPE, ...changes });
  await assert.rejects(ask({ resource: 'http://127.0.0.1:10000/other' }), /invalid_target/);
  await assert.rejects(ask({ scope: 'docs:admin' }), /invalid_scope/);
}));

test('rfc9449 tokens bound to a key: by the client\'s flag and by proof alone', () => withIdp('ES256', async (issuer) => {
  for (const algorithm of ['ES256', 'RS256', 'PS256', 'Ed25519']) {
    const holder = await KeyHolder.create(algorithm);
    for (const client of ['demo-dpop', 'demo-reader']) {
      const { cnf } = decodeJwt(await holder.token({ issuer, client, resource: RESOURCE, scope: SCOPE }));
      const { jwk } = decodeProtectedHeader(await holder.proof({ url: RESOURCE }));
      assert.deepEqual(cnf, { jkt: await calculateJwkThumbprint(jwk) });
    }
  }
  await assert.rejects(clientCredentials({ issuer, client: 'demo-dpop', resource: RESOURCE, scope: SCOPE }), /invalid_grant/);
}, { DPOP_NONCE: 'required' }));

test('rfc8705 tokens bound to the certificate of the connection', () => withIdp('ES256', async (issuer) => {
  const ask = (tls) => clientCredentials({
    issuer, client: 'demo-mtls', resource: RESOURCE, scope: SCOPE, endpoint: tlsEndpoint, tls: { ca: certificates.ca, ...tls },
  });
  const certificate = certificates.of('client');
  const digest = createHash('sha256').update(new X509Certificate(certificate.cert).raw).digest('base64url');
  assert.deepEqual(decodeJwt(await ask(certificate)).cnf, { 'x5t#S256': digest });
  await assert.rejects(ask({}), /invalid_grant/);
}));

test('rfc7662 opaque tokens: asked about, signed answers, revoked', () => withIdp('ES256', async (issuer) => {
  const token = await clientCredentials({ issuer, client: 'demo-opaque', resource: RESOURCE, scope: SCOPE });
  const ask = (client, secret = SECRET, accept = 'application/json') => fetch(`${issuer}/token/introspection`, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`${client}:${secret}`)}`, accept }, body: new URLSearchParams({ token }),
  });
  const { active, aud, scope, client_id } = await (await ask('gateway-basic')).json();
  assert.deepEqual({ active, aud, scope, client_id }, { active: true, aud: RESOURCE, scope: SCOPE, client_id: 'demo-opaque' });

  const jwt = await (await ask('gateway-basic', SECRET, 'application/token-introspection+jwt')).text();
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  const { payload } = await jwtVerify(jwt, keys, { issuer, audience: 'gateway-basic', typ: 'token-introspection+jwt' });
  assert.equal(payload.token_introspection.active, true);

  assert.equal((await ask('gateway-basic', 'wrong')).status, 401);
  await fetch(`${issuer}/token/revocation`, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`demo-opaque:${SECRET}`)}` }, body: new URLSearchParams({ token }),
  });
  assert.deepEqual(await (await ask('gateway-basic')).json(), { active: false });
}));

test('rotation: a key is added, signs, is removed; what was issued before stays', () => withIdp('ES256', async (issuer) => {
  const signer = async () => decodeProtectedHeader(await clientCredentials({ issuer, client: 'demo-reader', resource: RESOURCE, scope: SCOPE })).kid;
  const published = async () => (await (await fetch(`${issuer}/jwks`)).json()).keys.map(({ kid }) => kid);
  const opaque = await clientCredentials({ issuer, client: 'demo-opaque', resource: RESOURCE, scope: SCOPE });
  const first = await signer();
  const { kid: second } = await admin('POST', '/keys');
  assert.deepEqual([await published(), await signer()], [[first, second], first]);
  await admin('PUT', `/keys/${second}`);
  assert.deepEqual([await published(), await signer()], [[second, first], second]);
  await admin('DELETE', `/keys/${first}`);
  assert.deepEqual(await published(), [second]);
  await assert.rejects(admin('DELETE', `/keys/${second}`), /the last key stays/);

  const answer = await fetch(`${issuer}/token/introspection`, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`gateway-basic:${SECRET}`)}` }, body: new URLSearchParams({ token: opaque }),
  });
  assert.equal((await answer.json()).active, true);
}));

test('revocation list, faults, counts', () => withIdp('ES256', async (issuer) => {
  await admin('DELETE', '/requests');
  await admin('PUT', '/revocations', [{ jti: 'x' }]);
  assert.deepEqual(await (await fetch(`${issuer}/revocations`)).json(), { revoked: [{ jti: 'x' }] });

  await admin('PUT', '/answers', {
    '/jwks': { headers: { 'cache-control': 'max-age=30' } }, '/token': { status: 500, headers: { 'content-type': 'text/html' }, body: '<p>' },
  });
  const jwks = await fetch(`${issuer}/jwks`);
  assert.deepEqual([jwks.headers.get('cache-control'), (await jwks.json()).keys.length], ['max-age=30', 1]);
  const broken = await fetch(`${issuer}/token`, { method: 'POST' });
  assert.deepEqual([broken.status, broken.headers.get('content-type'), await broken.text()], [500, 'text/html', '<p>']);
  await admin('PUT', '/answers', {});
  assert.equal((await fetch(`${issuer}/token`, { method: 'POST' })).status, 400);
  assert.deepEqual(await admin('GET', '/requests'), { '/revocations': 1, '/jwks': 1, '/token': 2 });
}));

/** Of the OAuth server that is running. */
let tlsEndpoint;
let adminOrigin;

async function admin(method, path, body) {
  const response = await fetch(adminOrigin + path, { method, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function withIdp(alg, run, env = {}) {
  const [port, tlsPort, adminPort] = await freePorts(3);
  const issuer = `http://127.0.0.1:${port}`;
  const { cert, key } = certificates.files('server');
  tlsEndpoint = `https://127.0.0.1:${tlsPort}/token`;
  adminOrigin = `http://127.0.0.1:${adminPort}`;
  const idp = await startProcess({
    name: 'idp',
    command: NODE,
    args: [join(DEMO, 'idp/main.mjs')],
    env: {
      PORT: port, ALG: alg, KEY_FILE: join(directory, `${alg}.json`), ADMIN_PORT: adminPort, TLS_PORT: tlsPort, TLS_CERT: cert, TLS_KEY: key, ...env,
    },
    logFile: join(directory, 'idp.log'),
    ready: `${issuer}/jwks`,
  });
  try {
    await run(issuer);
  } finally {
    await idp.stop();
  }
}
