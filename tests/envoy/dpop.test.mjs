// Proofs of possession (RFC 9449) in Envoy. Good ones are made by the library `dpop`, bad ones by
// hand, tokens by the OAuth server itself or with its key.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { KeyHolder } from '../../examples/demo/lib/key-holder.mjs';
import {
  MATRIX, bound, confirmation, makeProof, newKey, publicKey, sleep, startFleet, whoami,
} from './support.mjs';

const ALGORITHMS = ['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA'];
const keys = Object.fromEntries(await Promise.all(ALGORITHMS.map(async (alg) => [alg, await newKey(alg)])));
const thief = await newKey('ES256');

/** How far `iat` may be from now (`proof_max_age`), in seconds. */
const WINDOW = 300;

/** How long a nonce is good where these tests wait for its end, in seconds. */
const NONCE_LIFETIME = 10;

/** A token of the holder of `key`, as the OAuth server issues it. */
async function boundToken(stack, { key = keys.ES256, claims, ...options } = {}) {
  return stack.token({ claims: { cnf: await confirmation(key), ...claims }, ...options });
}

/** Refused as `code`, with what RFC 9449, 7.1 and 9 want in the answer; nothing reached the server. */
async function refused(stack, response, code, error = 'invalid_dpop_proof') {
  assert.equal(response.status, 401, response.text);
  const [first, second, ...rest] = response.all('www-authenticate');
  assert.match(first, /^Bearer resource_metadata="[^"]+"/);
  assert.match(second, /^DPoP .*algs="[^"]*ES256[^"]*"/);
  assert.ok(second.includes(`error="${error}"`), second);
  assert.deepEqual(rest, []);
  assert.equal((await stack.recordOf(response)).code, code);
  await stack.assertNothingReached();
}

describe('without nonces', async () => {
  const fleet = await startFleet({
    matrix: MATRIX,
    configure: (configuration) => ({
      ...configuration,
      servers: configuration.servers.map((server, index) => ({
        ...server,
        dpop: { mode: index === 0 ? 'optional' : 'required', algorithms: ALGORITHMS },
      })),
    }),
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      const url = stack.urls.typescript;

      /** The answer to a call with a proof that differs from a good one; `proof` may be a function where time matters. */
      const call = async ({ key = keys.ES256, token, proof = {}, scheme = 'DPoP', headers = [] } = {}) => {
        const bearer = token ?? await boundToken(stack, { key });
        await stack.forget();
        const parts = typeof proof === 'function' ? proof() : proof;
        const made = typeof parts === 'string' ? parts : await makeProof({ key, url, token: bearer, ...parts });
        return whoami(stack, { token: undefined, headers: [['authorization', `${scheme} ${bearer}`], ['dpop', made], ...headers] });
      };
      const refuses = (name, options, code, error) => test(name, async () => {
        const given = typeof options === 'function' ? await options() : options;
        await refused(stack, await call(given), code, error);
      });
      const accepts = (name, options) => test(name, async () => {
        const response = await call(options);
        assert.equal(response.status, 200, response.text);
        assert.equal(response.header('dpop-nonce'), undefined);
        const { sender, dpop_key: recorded } = await stack.recordOf(response);
        assert.deepEqual([sender, recorded], ['dpop', (await confirmation(options.key ?? keys.ES256)).jkt]);
      });

      for (const algorithm of ['ES256', 'RS256', 'PS256', 'Ed25519']) {
        test(`a token of the OAuth server, ${algorithm}`, async () => {
          const holder = await KeyHolder.create(algorithm);
          const token = await holder.token({ issuer: stack.issuer, client: 'demo-dpop', resource: url, scope: 'mcp:connect' });
          for (let index = 0; index < 3; index += 1) {
            const response = await whoami(stack, { token: undefined, headers: Object.entries(await holder.headers({ url, token })) });
            assert.equal(response.status, 200, response.text);
          }
        });
      }
      for (const alg of ALGORITHMS) accepts(`a proof by hand, ${alg}`, { key: keys[alg] });
      accepts('rfc9110_11_1: the scheme in another case', { scheme: 'dpop' });
      accepts('iat is a fraction', { proof: () => ({ claims: { iat: Date.now() / 1000 } }) });
      accepts('claims nobody knows', { proof: { claims: { extra: { a: [1] } } } });
      accepts(`iat ${WINDOW - 3} s ago`, { proof: () => ({ claims: { iat: ago(WINDOW - 3) } }) });
      accepts('rfc9449_9: a nonce nobody asked for', { proof: { claims: { nonce: 'x' } } });

      const { host } = new URL(url);
      for (const spelling of [
        `HTTP://${host}/typescript/mcp`, `http://${host}/%74ypescript/mcp`, `http://${host}/a/../typescript/./mcp`,
        `${url}?a=b`, `${url}#c`,
      ]) {
        accepts(`rfc9449_4_3_9: htu ${spelling.replace(host, 'HOST')}`, { proof: { claims: { htu: spelling } } });
      }
      for (const other of [
        `${url}/`, `https://${host}/typescript/mcp`, 'http://127.0.0.1/typescript/mcp', `http://${host}/Typescript/mcp`,
        `http://${host}/typescript%2fmcp`, `http://user@${host}/typescript/mcp`, stack.urls.python, '/typescript/mcp', '', 7,
      ]) {
        refuses(`rfc9449_4_3_9: htu ${String(other).replace(host, 'HOST')}`, { proof: { claims: { htu: other } } }, code(other));
      }

      refuses('rfc9449_4_3_2: not a JWT', { proof: 'not-a-jwt' }, 'dpop_malformed');
      refuses('rfc9449_4_3_2: two JWTs in one line', async () => {
        const token = await boundToken(stack);
        const proofs = await Promise.all([1, 2].map(() => makeProof({ key: keys.ES256, url, token })));
        return { token, proof: proofs.join(', ') };
      }, 'dpop_malformed');
      refuses('rfc9449_4_3_1: two DPoP lines', async () => {
        const token = await boundToken(stack);
        return { token, headers: [['dpop', await makeProof({ key: keys.ES256, url, token })]] };
      }, 'dpop_malformed');
      refuses('rfc9449_4_3_4: typ jwt', { proof: { header: { typ: 'jwt' } } }, 'dpop_type');
      refuses('rfc9449_4_3_4: no typ', { proof: { header: { typ: undefined } } }, 'dpop_type');
      refuses('rfc9449_4_3_5: alg none', async () => {
        const token = await boundToken(stack);
        const [, payload] = (await makeProof({ key: keys.ES256, url, token })).split('.');
        return { token, proof: `${encode({ typ: 'dpop+jwt', alg: 'none', jwk: minimal(keys.ES256) })}.${payload}.` };
      }, 'dpop_algorithm');
      refuses('rfc9449_4_3_5: HS256', async () => {
        const token = await boundToken(stack);
        const secret = { kty: 'oct', k: Buffer.alloc(32, 1).toString('base64url'), alg: 'HS256' };
        return { token, proof: await makeProof({ key: secret, url, token }) };
      }, 'dpop_algorithm');
      refuses('rfc9449_4_3_5: an algorithm the server does not take', async () => {
        const key = await newKey('ES512');
        return { token: await boundToken(stack, { key }), key };
      }, 'dpop_algorithm');
      refuses("rfc8725_3_1: another key's algorithm", async () => {
        const token = await boundToken(stack);
        return { token, proof: await makeProof({ key: keys.EdDSA, url, token, header: { jwk: minimal(keys.ES256) } }) };
      }, 'dpop_key');
      refuses('rfc9449_4_3_6: one bit of the signature', async () => {
        const token = await boundToken(stack);
        return { token, proof: flip(await makeProof({ key: keys.ES256, url, token })) };
      }, 'dpop_signature');
      refuses("rfc9449_4_3_6: the holder's key, signed by the thief's", async () => {
        const token = await boundToken(stack);
        return { token, proof: await makeProof({ key: thief, url, token, header: { jwk: minimal(keys.ES256) } }) };
      }, 'dpop_signature');
      refuses('rfc9449_4_3_7: a private key', { proof: { header: { jwk: keys.ES256 } } }, 'dpop_key');
      refuses('rfc9449_4_3_3: no jwk', { proof: { header: { jwk: undefined } } }, 'dpop_key');
      refuses('rfc8725_3_4: a point off the curve', {
        proof: { header: { jwk: { ...minimal(keys.ES256), y: minimal(keys.ES256).x } } },
      }, 'dpop_key');
      for (const claim of ['jti', 'htm', 'htu', 'iat']) {
        refuses(`rfc9449_4_3_3: no ${claim}`, { proof: { claims: { [claim]: undefined } } }, 'dpop_claim');
      }
      refuses('rfc9449_4_3_3: jti is a number', { proof: { claims: { jti: 1 } } }, 'dpop_claim');
      refuses('rfc9449_11_1: an oversized jti', { proof: { claims: { jti: 'j'.repeat(4096) } } }, 'dpop_claim');
      refuses('rfc9449_4_3_8: htm GET', { proof: { claims: { htm: 'GET' } } }, 'dpop_htm');
      refuses('rfc9449_4_3_8: htm post', { proof: { claims: { htm: 'post' } } }, 'dpop_htm');
      refuses(`rfc9449_4_3_11: iat ${WINDOW + 3} s ago`, { proof: () => ({ claims: { iat: ago(WINDOW + 3) } }) }, 'dpop_iat');
      refuses(`rfc9449_4_3_11: iat in ${WINDOW + 3} s`, { proof: () => ({ claims: { iat: ago(-WINDOW - 3) } }) }, 'dpop_iat');
      refuses('rfc9449_4_3_12: no ath', { proof: { claims: { ath: undefined } } }, 'dpop_claim');
      refuses('rfc9449_4_3_12: ath of another token', { proof: { claims: { ath: 'A'.repeat(43) } } }, 'dpop_ath');
      refuses('rfc9449_4_3_12: the key of a thief', async () => ({ token: await boundToken(stack), key: thief }), 'dpop_jkt');
      refuses('rfc9449_11_1: the same proof again', async () => {
        const token = await boundToken(stack);
        const proof = await makeProof({ key: keys.ES256, url, token });
        assert.equal((await call({ token, proof })).status, 200);
        return { token, proof };
      }, 'dpop_replay');
      test('a refused proof is not used up by its refusal', async () => {
        const jti = randomUUID();
        const token = await boundToken(stack);
        const spoiled = flip(await makeProof({ key: keys.ES256, url, token, claims: { jti } }));
        assert.equal((await call({ token, proof: spoiled })).status, 401);
        assert.equal((await call({ token, proof: { claims: { jti } } })).status, 200);
      });

      const mixed = (name, headers) => test(name, async () => {
        const [token, unbound] = await Promise.all([boundToken(stack), stack.token()]);
        await stack.forget();
        const response = await whoami(stack, { token: undefined, headers: await headers(token, unbound) });
        assert.equal(response.status, 400, response.text);
        const lines = response.all('www-authenticate');
        assert.deepEqual(lines.map((line) => line.split(' ', 1)[0]), ['Bearer', 'DPoP']);
        assert.ok(lines.every((line) => line.includes('error="invalid_request"')), lines.join());
        assert.equal((await stack.recordOf(response)).code, 'credentials_mixed');
        await stack.assertNothingReached();
      });
      const proofOf = (token) => makeProof({ key: keys.ES256, url, token });
      mixed('rfc9449_7_2: a bound token as bearer, with a proof', async (token) => (
        [['authorization', `Bearer ${token}`], ['dpop', await proofOf(token)]]));
      mixed('rfc9449_7_2: an unbound token as bearer, with a proof', async (_, unbound) => (
        [['authorization', `Bearer ${unbound}`], ['dpop', await proofOf(unbound)]]));
      mixed('rfc6750_2: two credentials in one line', async (token, unbound) => (
        [['authorization', `Bearer ${unbound}, DPoP ${token}`], ['dpop', await proofOf(token)]]));
      test('rfc9449_7_2: a bound token as bearer', async () => {
        await stack.forget();
        await refused(stack, await whoami(stack, { token: await boundToken(stack) }), 'dpop_downgrade', 'invalid_token');
      });
      test('rfc9449_7_1: no proof', async () => {
        await stack.forget();
        await refused(stack, await whoami(stack, { token: undefined, headers: bound(await boundToken(stack)) }), 'dpop_missing');
      });
      refuses('rfc9449_4_3: the audience is checked as ever', async () => ({
        token: await boundToken(stack, { claims: { aud: stack.urls.python } }),
      }), 'token_audience', 'invalid_token');
      refuses('rfc7800_3_1: a confirmation nobody knows', async () => ({
        token: await stack.token({ claims: { cnf: { ...await confirmation(keys.ES256), kid: 'x' } } }),
      }), 'token_confirmation', 'invalid_token');
      refuses('rfc9449_7_1: an unbound token with the scheme DPoP', async () => ({
        token: await stack.token(),
      }), 'token_not_sender_constrained', 'invalid_token');

      test('optional: tokens that are not bound are bearer tokens', async () => {
        assert.equal((await whoami(stack)).status, 200);
      });
      test('optional: the first answer offers both', async () => {
        const response = await whoami(stack, { token: undefined });
        const [bearer, dpop] = response.all('www-authenticate');
        assert.match(bearer, /^Bearer resource_metadata="[^"]+", scope="mcp:connect"$/);
        assert.equal(dpop, `${bearer.replace('Bearer', 'DPoP')}, algs="${ALGORITHMS.join(' ')}"`);
      });
      test('required: tokens that are not bound are refused', async () => {
        const token = await stack.token({ server: 'python' });
        await stack.forget();
        const response = await whoami(stack, { server: 'python', token });
        await refused(stack, response, 'token_not_sender_constrained', 'invalid_token');
      });
      test('required: a bound one is taken', async () => {
        const token = await boundToken(stack, { server: 'python' });
        const proof = await makeProof({ key: keys.ES256, url: stack.urls.python, token });
        const response = await whoami(stack, { server: 'python', token: undefined, headers: bound(token, proof) });
        assert.equal(response.status, 200, response.text);
      });
      test('rfc9728_2: the metadata says so', async () => {
        const metadata = async (server) => (await fetch(`${stack.origin}/.well-known/oauth-protected-resource/${server}/mcp`)).json();
        const [optional, required] = await Promise.all(['typescript', 'python'].map(metadata));
        assert.deepEqual(optional.dpop_signing_alg_values_supported, ALGORITHMS);
        assert.equal(optional.dpop_bound_access_tokens_required, undefined);
        assert.equal(required.dpop_bound_access_tokens_required, true);
      });
    });
  }
});

describe('rules', async () => {
  const fleet = await startFleet({
    configure: (configuration) => ({
      ...configuration,
      servers: configuration.servers.map((server) => ({
        ...server,
        dpop: { mode: 'optional' },
        tools: { rules: server.tools.rules.map((rule) => (rule.names.includes('delete_doc') ? { ...rule, dpop: 'required' } : rule)) },
      })),
    }),
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      const scope = 'mcp:connect docs:admin';
      const call = async (tool, headers) => stack.rpc('tools/call', {
        name: tool, arguments: tool === 'delete_doc' ? { uri: 'docs://roadmap' } : {},
      }, { headers });

      test('a rule demands what its server does not', async () => {
        await stack.forget();
        const bearer = [['authorization', `Bearer ${await stack.token({ scope })}`]];
        assert.equal((await call('whoami', bearer)).status, 200);
        await stack.forget();
        await refused(stack, await call('delete_doc', bearer), 'dpop_required', 'invalid_token');
        const token = await boundToken(stack, { scope });
        const proof = await makeProof({ key: keys.ES256, url: stack.urls.typescript, token });
        const response = await call('delete_doc', bound(token, proof));
        assert.equal(response.status, 200, response.text);
        assert.equal(response.json.error, undefined);
      });
    });
  }
});

// Two Envoys that are replicas: the same MCP server's URL, whichever one is asked.
describe('nonces', async () => {
  const EXTERNAL = 'https://mcp.example';
  const resource = (server) => `${EXTERNAL}/${server}/mcp`;
  const lifetime = `${NONCE_LIFETIME}s`;
  const nonces = {
    typescript: { mode: 'required', lifetime },
    python: { mode: 'optional', scope: 'cluster', lifetime },
  };
  const fleet = await startFleet({
    matrix: MATRIX,
    environment: { NONCE_KEY: Buffer.alloc(32, 7).toString('base64') },
    configure: (configuration, { origin }) => ({
      ...configuration,
      dpop_nonce_keys: [{ env: 'NONCE_KEY' }],
      servers: ['typescript', 'python'].map((name, index) => ({
        ...configuration.servers[index],
        resource: resource(name),
        match: { authority: [new URL(origin).host], path: `/${name}/mcp` },
        dpop: { mode: 'optional', nonce: nonces[name] },
      })),
    }),
  });
  after(() => fleet.stop());

  /** The answer to a call with `nonce` in its proof. */
  const call = async (stack, { nonce, server = 'typescript' } = {}) => {
    const url = resource(server);
    const token = await boundToken(stack, { claims: { aud: url } });
    const proof = await makeProof({ key: keys.ES256, url, token, claims: { nonce } });
    await stack.forget();
    return whoami(stack, { server, token: undefined, headers: bound(token, proof) });
  };
  /** Refused with a new nonce, which is returned. */
  const challenged = async (stack, response) => {
    await refused(stack, response, 'dpop_nonce', 'use_dpop_nonce');
    const lines = response.all('dpop-nonce');
    assert.equal(lines.length, 1);
    // RFC 9449, 8.1: NQCHAR
    assert.match(lines[0], /^[!#-[\]-~]+$/);
    return lines[0];
  };
  const accepted = (response) => assert.equal(response.status, 200, response.text);

  for (const [index, stack] of fleet.stacks.entries()) {
    const replica = fleet.stacks[(index + 1) % fleet.stacks.length];
    describe(stack.name, () => {
      test('rfc9449_9: required', async () => {
        const nonce = await challenged(stack, await call(stack));
        // Often, and on a new connection each: another worker knows it as well.
        for (let turn = 0; turn < 8; turn += 1) {
          const response = await call(stack, { nonce });
          accepted(response);
          assert.equal(response.header('dpop-nonce'), undefined, 'no other one before half of its life');
        }
      });
      test('rfc9449_9: invented, spoiled, of the wrong type', async () => {
        const nonce = await challenged(stack, await call(stack));
        const spoil = (at) => nonce.slice(0, at) + (nonce[at] === 'A' ? 'B' : 'A') + nonce.slice(at + 1);
        for (const bad of ['x', '', `${nonce}A`, nonce.slice(1), spoil(0), spoil(nonce.length >> 1), spoil(nonce.length - 1)]) {
          await challenged(stack, await call(stack, { nonce: bad }));
        }
        assert.equal((await call(stack, { nonce: 7 })).status, 401);
      });
      test('rfc9449_8_2: a new one before the old one ends, then no longer the old one', async () => {
        const nonce = await challenged(stack, await call(stack));
        await sleep(NONCE_LIFETIME * 700);
        const renewed = await call(stack, { nonce });
        accepted(renewed);
        const next = renewed.header('dpop-nonce');
        assert.ok(next && next !== nonce);
        assert.match(renewed.header('cache-control'), /no-store/);
        await sleep(NONCE_LIFETIME * 500);
        await challenged(stack, await call(stack, { nonce }));
        accepted(await call(stack, { nonce: next }));
      });
      test('replica: good only where it was issued', async () => {
        const nonce = await challenged(stack, await call(stack));
        await challenged(replica, await call(replica, { nonce }));
        accepted(await call(stack, { nonce }));
      });
      test('cluster: good at every replica', async () => {
        const nonce = await challenged(stack, await call(stack, { server: 'python', nonce: 'x' }));
        accepted(await call(replica, { server: 'python', nonce }));
        accepted(await call(stack, { server: 'python', nonce }));
      });
      test("a server's nonce is not another server's", async () => {
        const nonce = await challenged(stack, await call(stack));
        await challenged(stack, await call(stack, { server: 'python', nonce }));
      });
      test('optional: none is needed, one that is there must be good', async () => {
        accepted(await call(stack, { server: 'python' }));
        await challenged(stack, await call(stack, { server: 'python', nonce: 'x' }));
      });
      test('tokens that are not bound need no nonce', async () => {
        accepted(await whoami(stack, { token: await stack.token({ claims: { aud: resource('typescript') } }) }));
      });
    });
  }
});

/** The code for an `htu` that is another URL, or none. */
function code(htu) {
  return typeof htu === 'string' ? 'dpop_htu' : 'dpop_claim';
}

function ago(seconds) {
  return Math.floor(Date.now() / 1000) - seconds;
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A public key as proofs have it. */
function minimal(key) {
  const { alg: _alg, kid: _kid, use: _use, ...jwk } = publicKey(key);
  return jwk;
}

/** The JWT with a bit of its signature turned over. */
function flip(jwt) {
  const [header, payload, signature] = jwt.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes[bytes.length >> 1] ^= 1;
  return [header, payload, bytes.toString('base64url')].join('.');
}
