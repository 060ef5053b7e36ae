// The OAuth server gives what the demo and the tests on a real Envoy rely on.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { createRemoteJWKSet, jwtVerify } from 'jose';

import { ALGORITHMS } from '../idp/keys.mjs';
import { DEMO, NODE } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';
import { startProcess } from '../lib/process.mjs';
import { clientCredentials, flipSignature } from '../lib/tokens.mjs';

const RESOURCE = 'http://127.0.0.1:10000/typescript/mcp';
const SCOPE = 'mcp:connect docs:read';

let directory;
before(() => { directory = mkdtempSync(join(tmpdir(), 'countersign-idp-')); });
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

async function withIdp(alg, run) {
  const [port] = await freePorts(1);
  const issuer = `http://127.0.0.1:${port}`;
  const idp = await startProcess({
    name: 'idp',
    command: NODE,
    args: [join(DEMO, 'idp/main.mjs')],
    env: { PORT: port, ALG: alg, KEY_FILE: join(directory, `${alg}.json`) },
    logFile: join(directory, 'idp.log'),
    ready: `${issuer}/jwks`,
  });
  try {
    await run(issuer);
  } finally {
    await idp.stop();
  }
}
