// Access tokens (RFC 9068, RFC 8725) verified in Envoy, with its native function or in the module,
// and keys that change, come late, or do not come.

import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { jose, newKey, publicKey, sleep, startFleet, startStub } from './support.mjs';

const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'EdDSA'];

/** The shortest time between two fetches of an issuer's keys, in ms, and a little. */
const DEBOUNCE = 10_500;

const keys = Object.fromEntries(await Promise.all(ALGORITHMS.map(async (alg) => [alg, await newKey(alg)])));
const rsa = await newKey('RS256');
const INLINE = 'https://inline.example';
const OTHER = 'https://other.example';

const whoami = (stack, token) => stack.rpc('tools/call', { name: 'whoami', arguments: {} }, { token });

/** The token is refused with this code and a challenge, and leaves no trace. */
async function refused(stack, token, code) {
  await stack.forget();
  const response = await whoami(stack, token);
  assert.equal(response.status, 401, response.text);
  assert.match(response.header('www-authenticate'), /^Bearer resource_metadata="[^"]+", error="invalid_token", scope="mcp:connect"$/);
  assert.equal((await stack.recordOf(response)).code, code);
  assert.deepEqual(await stack.reached(), []);
}

describe('inline keys', async () => {
  const fleet = await startFleet({
    configure: (configuration) => ({
      ...configuration,
      issuers: {
        ...configuration.issuers,
        inline: { issuer: INLINE, jwks: { keys: [...Object.values(keys), rsa].map(publicKey) }, algorithms: ALGORITHMS },
        other: { issuer: OTHER, jwks: { keys: [publicKey(keys.ES384)] }, algorithms: ['ES384'] },
        foreign: { issuer: 'https://foreign.example', jwks: { keys: [publicKey(keys.ES384)] }, algorithms: ['ES384'] },
      },
      servers: configuration.servers.map((server) => ({ ...server, issuers: ['local', 'inline', 'other'] })),
    }),
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      const inline = (alg, { claims, ...options } = {}) => stack.token({ key: keys[alg], claims: { iss: INLINE, ...claims }, ...options });
      const refuses = (name, token, code) => test(name, async () => refused(stack, await token(), code));
      const now = Math.floor(Date.now() / 1000);

      for (const alg of ALGORITHMS) {
        test(`${alg}: good`, async () => {
          for (const what of ['verified', 'cached']) {
            const response = await whoami(stack, await inline(alg));
            assert.equal(response.status, 200, `${what}: ${response.text}`);
          }
        });
        refuses(`${alg}: one bit of the signature`, async () => flip(await inline(alg), 2), 'token_signature');
        refuses(`${alg}: one bit of the payload`, async () => {
          const [header, , signature] = (await inline(alg)).split('.');
          const [, payload] = (await inline(alg, { claims: { sub: 'mallory' } })).split('.');
          return [header, payload, signature].join('.');
        }, 'token_signature');
        refuses(`rfc8725_3_1: ${alg} key, another algorithm of the list`, async () => {
          const [, ...rest] = (await inline(alg)).split('.');
          const other = ALGORITHMS.find((candidate) => candidate !== alg);
          return [encode({ alg: other, kid: keys[alg].kid, typ: 'at+jwt' }), ...rest].join('.');
        }, 'token_algorithm');
      }

      refuses('rfc8725_3_1: HS256 with the public key as secret', async () => {
        const pem = createPublicKey({ key: rsa, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
        const [, payload] = (await inline('RS256')).split('.');
        return new jose.CompactSign(Buffer.from(payload, 'base64url'))
          .setProtectedHeader({ alg: 'HS256', kid: rsa.kid, typ: 'at+jwt' }).sign(Buffer.from(pem));
      }, 'token_algorithm');
      for (const alg of ['none', 'None', 'NONE']) {
        refuses(`rfc8725_2_1: ${alg}`, async () => {
          const [, payload] = (await inline('ES256')).split('.');
          return `${encode({ alg, typ: 'at+jwt' })}.${payload}.AAAA`;
        }, 'token_algorithm');
      }
      refuses('no signature', async () => `${(await inline('ES256')).split('.').slice(0, 2).join('.')}.`, 'token_signature');
      refuses('kid of another key', () => inline('ES256', { header: { kid: keys.ES384.kid } }), 'token_algorithm');
      refuses('kid of another key of the same algorithm', () => inline('RS256', { header: { kid: rsa.kid } }), 'token_signature');
      refuses('unknown kid', () => inline('ES256', { header: { kid: 'unknown' } }), 'token_key');
      refuses('rfc8725_3_10: jwk in the header', () => inline('ES256', { header: { kid: undefined, jwk: publicKey(keys.ES256) } }), 'token_malformed');
      refuses('rfc7515_4_1_11: unknown crit', async () => {
        const [, payload, signature] = (await inline('ES256')).split('.');
        return [encode({ alg: 'ES256', kid: keys.ES256.kid, typ: 'at+jwt', crit: ['x'], x: 1 }), payload, signature].join('.');
      }, 'token_malformed');

      refuses('rfc9068_4: typ JWT', () => inline('ES256', { header: { typ: 'JWT' } }), 'token_type');
      refuses('rfc9068_4: no typ', () => inline('ES256', { header: { typ: undefined } }), 'token_type');
      test('rfc9068_4: typ application/at+jwt', async () => {
        assert.equal((await whoami(stack, await inline('ES256', { header: { typ: 'application/at+jwt' } }))).status, 200);
      });
      refuses('rfc9068_4: wrong audience', () => inline('ES256', { claims: { aud: stack.urls.python } }), 'token_audience');
      refuses('rfc9068_4: audience with a final slash', () => inline('ES256', { claims: { aud: `${stack.urls.typescript}/` } }), 'token_audience');
      test('rfc7519_4_1_3: one of several audiences', async () => {
        assert.equal((await whoami(stack, await inline('ES256', { claims: { aud: [OTHER, stack.urls.typescript] } }))).status, 200);
      });
      refuses('rfc9068_4: expired', () => inline('ES256', { claims: { exp: now - 120 } }), 'token_expired');
      refuses('rfc7519_4_1_5: nbf', () => inline('ES256', { claims: { nbf: now + 120 } }), 'token_not_yet_valid');
      refuses('issued in the future', () => inline('ES256', { claims: { iat: now + 120, exp: now + 500 } }), 'token_issued_in_future');
      for (const claim of ['exp', 'sub', 'aud', 'iat', 'client_id']) {
        refuses(`rfc9068_2_2: no ${claim}`, () => inline('ES256', { claims: { [claim]: undefined } }), 'token_claim_missing');
      }
      refuses('exp is no number', () => inline('ES256', { claims: { exp: '9999999999' } }), 'token_claim_bad');
      refuses('rfc7800_3_1: cnf that cannot be read', () => inline('ES256', { claims: { cnf: { jkt: 'x' } } }), 'token_confirmation');
      refuses('unknown issuer', () => inline('ES256', { claims: { iss: 'https://evil.example' } }), 'token_issuer');
      refuses('an issuer of another server', () => inline('ES384', { claims: { iss: 'https://foreign.example' } }), 'token_issuer');
      test('two issuers: the fetched one', async () => assert.equal((await whoami(stack, await stack.token())).status, 200));
      refuses("two issuers: one's key under the other's name", () => inline('ES256', { claims: { iss: stack.issuer } }), 'token_key');
      for (const token of ['x', 'a.b', 'a.b.c.d.e', '..', 'eyJhbGciOiJFUzI1NiJ9..', `${'a'.repeat(20_000)}.b.c`]) {
        refuses(`garbage: ${token.slice(0, 24)}`, () => token, 'token_malformed');
      }
    });
  }
});

for (const alg of ['RS256', 'PS256', 'EdDSA']) {
  test(`the OAuth server signs with ${alg}`, async () => {
    const fleet = await startFleet({
      alg, configure: (configuration) => ({ ...configuration, issuers: { local: { ...configuration.issuers.local, algorithms: [alg] } } }),
    });
    try {
      for (const stack of fleet.stacks) {
        const token = await stack.token();
        const response = await whoami(stack, token);
        assert.equal(response.status, 200, response.text);
        await refused(stack, flip(token, 2), 'token_signature');
      }
    } finally {
      await fleet.stop();
    }
  });
}

// A stub, because its keys change while Envoy runs, and it goes away and comes back.
describe('keys that change', async () => {
  const [first, second] = await Promise.all([newKey('ES256'), newKey('ES256')]);
  let answer = { status: 200, keys: [first] };
  let fetches = 0;
  const stub = await startStub((_request, response) => {
    fetches += 1;
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: answer.keys.map(publicKey) }));
  });
  // One worker each: every worker fetches for itself, so another could still have the old keys.
  const fleet = await startFleet({
    matrix: [{ mode: 'stream', workers: 1 }, { mode: 'hold', workers: 1 }], ports: { idp: stub.port },
  });
  after(async () => {
    await fleet.stop();
    await stub.stop();
  });
  const statuses = (key) => Promise.all(fleet.stacks.map(async (stack) => (await whoami(stack, await stack.token({ key }))).status));

  before(async () => assert.deepEqual(await statuses(first), [200, 200]));

  test('an unknown kid waits for one fetch, then passes; a removed key verifies no more', async () => {
    await sleep(DEBOUNCE);
    answer = { status: 200, keys: [second] };
    assert.deepEqual(await statuses(second), [200, 200]);
    await sleep(DEBOUNCE);
    assert.deepEqual(await statuses(first), [401, 401]);
  });
  test('invented kids do not flood the OAuth server', async () => {
    const before = fetches;
    for (const stack of fleet.stacks) {
      const calls = Array.from({ length: 20 }, async () => whoami(stack, await stack.token({ key: second, header: { kid: 'invented' } })));
      for (const { status } of await Promise.all(calls)) assert.equal(status, 401);
    }
    assert.ok(fetches - before <= 2, `${fetches - before} fetches: one for each worker at most`);
  });
});

describe('keys that do not come', () => {
  const cases = [
    ['nobody listens', {}, { idp: 1 }],
    ['unknown cluster', { configure: (configuration) => ({
      ...configuration,
      issuers: { local: { ...configuration.issuers.local, jwks: { ...configuration.issuers.local.jwks, cluster: 'nowhere' } } },
    }) }, {}],
  ];
  for (const [name, options, ports] of cases) {
    test(`${name}: 503 with retry-after, not 401`, async () => {
      const fleet = await startFleet({ ...options, ports });
      try {
        for (const stack of fleet.stacks) {
          const response = await whoami(stack, await stack.token());
          assert.equal(response.status, 503, response.text);
          assert.ok(Number(response.header('retry-after')) > 0);
          assert.equal(response.header('www-authenticate'), undefined);
          assert.equal((await stack.recordOf(response)).code, 'keys_unavailable');
          assert.deepEqual(await stack.reached(), []);
        }
      } finally {
        await fleet.stop();
      }
    });
  }
});

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** The token with a bit in the middle of one of its parts turned over. */
function flip(token, part) {
  return token.split('.').map((text, index) => {
    if (index !== part) return text;
    const bytes = Buffer.from(text, 'base64url');
    bytes[bytes.length >> 1] ^= 1;
    return bytes.toString('base64url');
  }).join('.');
}
