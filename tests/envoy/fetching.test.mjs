// How the keys of an OAuth server are fetched: once for all workers, by discovery, and from one
// that fails.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { clientCredentials } from '../../examples/demo/lib/tokens.mjs';
import { MODES, newKey, publicKey, sleep, startFleet, startStub, whoami } from './support.mjs';

/** The shortest time between two fetches of an issuer's keys, in ms, and a little. */
const DEBOUNCE = 10_500;

/** How long the keys are used without asking again (the shortest the configuration takes), in ms. */
const REFRESH = 30_000;

/** How late a worker may be, in ms: the time between two of its ticks, and the fetch. */
const SLACK = 3_000;

/** How long an answer is waited for, in ms. */
const TIMEOUT = 2_000;

const WORKERS = 4;

const METADATA = '/.well-known/openid-configuration';
const JSON_TYPE = { 'content-type': 'application/json' };

/** For `configure`: the OAuth server's `jwks`, changed by `change`. */
const withKeys = (change) => ({ issuers: { local }, ...rest }) => ({
  ...rest, issuers: { local: { ...local, jwks: change(local.jwks) } },
});

/** Statuses of calls at once, on a connection each: every worker gets some. */
async function burst(stack, token) {
  const answers = await Promise.all(Array.from({ length: 20 }, () => whoami(stack, { token })));
  return [...new Set(answers.map(({ status }) => status))];
}

// A stub, because the keys must come later than the calls.
describe('a cold start, calls at all workers at once', async () => {
  const stubs = await Promise.all(['stream', 'hold'].map(async (mode) => {
    const state = { mode, fetches: 0 };
    const released = new Promise((resolve) => { state.release = resolve; });
    const stub = await startStub(async (_request, response) => {
      state.fetches += 1;
      const keys = await released;
      response.writeHead(200, JSON_TYPE).end(JSON.stringify({ keys }));
    });
    return Object.assign(state, stub);
  }));
  const fleet = await startFleet({
    matrix: stubs.map(({ mode, port }) => ({ mode, workers: WORKERS, ports: { idp: port } })),
    configure: withKeys((jwks) => ({ ...jwks, timeout: '10s' })),
  });
  after(async () => {
    await fleet.stop();
    await Promise.all(stubs.map((stub) => stub.stop()));
  });

  for (const [index, stack] of fleet.stacks.entries()) {
    test(`${stack.name}: one fetch, everybody passes`, async () => {
      const calls = burst(stack, await stack.token());
      await sleep(500);
      assert.deepEqual(await stack.reached(), [], 'before the keys are there nothing goes on');
      stubs[index].release([publicKey(stack.key)]);
      assert.deepEqual(await calls, [200]);
      assert.equal(stubs[index].fetches, 1);
      await stack.forget();
    });
  }
});

test('one fetch for all workers of an Envoy, of the keys and of what tells where they are', { timeout: 180_000 }, async (context) => {
  const refresh = `${REFRESH}ms`;
  const fleet = await startFleet({
    matrix: [
      { mode: 'stream', workers: WORKERS, configure: withKeys((jwks) => ({ ...jwks, refresh })) },
      { mode: 'hold', workers: WORKERS, configure: withKeys(({ cluster }) => ({ discovery: 'openid', cluster, refresh })) },
    ],
  });
  try {
    const idp = (...request) => fleet.stacks[0].idp(...request);
    const counts = async () => {
      const requests = await idp('GET', '/requests');
      // Whoever started the OAuth server asked once for its keys.
      return { keys: requests['/jwks'] - 1, metadata: requests[METADATA] };
    };
    const everywhere = async (status, options) => {
      for (const stack of fleet.stacks) assert.deepEqual(await burst(stack, await stack.token(options)), [status]);
    };
    await everywhere(200);
    assert.deepEqual(await counts(), { keys: 2, metadata: 1 }, 'the first calls');

    await sleep(DEBOUNCE);
    for (let turn = 0; turn < 3; turn += 1) await everywhere(401, { header: { kid: 'invented' } });
    assert.deepEqual(await counts(), { keys: 4, metadata: 2 }, 'an unknown key');

    await sleep(REFRESH + SLACK);
    await everywhere(200);
    assert.deepEqual(await counts(), { keys: 6, metadata: 3 }, 'a refresh');

    await sleep(DEBOUNCE);
    const { kid } = await idp('POST', '/keys');
    await idp('PUT', `/keys/${kid}`);
    for (const stack of fleet.stacks) {
      const token = await clientCredentials({
        issuer: stack.issuer, client: 'demo-reader', resource: stack.urls.typescript, scope: 'mcp:connect',
      });
      assert.deepEqual(await burst(stack, token), [200], 'a new key');
    }
    assert.deepEqual(await counts(), { keys: 8, metadata: 4 }, 'a new key');
    context.diagnostic(`of two Envoys with ${WORKERS} workers each, in four rounds: ${JSON.stringify(await counts())}`);
  } finally {
    await fleet.stop();
  }
});

describe('OAuth servers that fail', async () => {
  const [good, second, ...others] = await Promise.all(Array.from({ length: 1000 }, (_, index) => newKey('ES256', `key-${index}`)));
  const json = (response, text) => response.writeHead(200, JSON_TYPE).end(text);
  const set = (...keys) => JSON.stringify({ keys: keys.map(publicKey) });
  /** How each issuer's keys are answered while it fails. */
  const faults = {
    500: (response) => response.writeHead(500, JSON_TYPE).end(set(good)),
    'HTML with 200': (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Sorry'),
    'keys as text': (response) => response.writeHead(200, { 'content-type': 'text/plain' }).end(set(good)),
    '20 MB': (response) => json(response, set(good).padEnd(20 << 20)),
    'a thousand keys': (response) => json(response, set(good, second, ...others)),
    'two keys of one kid': (response) => json(response, set(good, { ...second, kid: good.kid })),
    'keys of an unknown type': (response) => json(response, '{"keys":[{"kty":"AKP","kid":"key-0"}]}'),
    'no JSON': (response) => json(response, '{"keys":['),
    'no answer': () => {},
    'half an answer': (response) => response.writeHead(200, { ...JSON_TYPE, 'content-length': 1000 }).write('{"keys":['),
    'a cut connection': (response) => response.destroy(),
  };
  /** What each issuer's metadata is while it fails. */
  const metadata = {
    'rfc8414_3_3: metadata of another issuer': (right) => ({ ...right, issuer: 'https://other.example' }),
    'metadata that names another host': (right) => ({ ...right, jwks_uri: 'https://other.example/jwks' }),
    'metadata without keys': ({ issuer }) => ({ issuer }),
  };
  const names = [...Object.keys(faults), ...Object.keys(metadata)];
  const issuerOf = (name) => `https://issuer-${names.indexOf(name)}.example`;
  let failing = true;
  const stub = await startStub((request, response) => {
    const [, index, document] = request.url.split('/');
    const name = names[index];
    if (document === 'metadata') {
      const right = { issuer: issuerOf(name), jwks_uri: `http://${request.headers.host}/${index}/jwks` };
      json(response, JSON.stringify(failing ? metadata[name](right) : right));
    } else if (failing && name in faults) {
      faults[name](response);
    } else {
      json(response, set(good, second));
    }
  });
  const origin = `http://127.0.0.1:${stub.port}`;
  const source = (name, index) => (name in faults
    ? { uri: `${origin}/${index}/jwks` }
    : { discovery: 'oauth', metadata_uri: `${origin}/${index}/metadata` });
  const fleet = await startFleet({
    matrix: MODES,
    ports: { idp: stub.port },
    configure: (configuration) => ({
      ...configuration,
      issuers: Object.fromEntries(names.map((name, index) => [`issuer-${index}`, {
        issuer: issuerOf(name),
        jwks: { ...source(name, index), cluster: 'idp', timeout: `${TIMEOUT}ms`, refresh: `${REFRESH}ms` },
        algorithms: ['ES256'],
      }])),
      servers: configuration.servers.map((server) => ({ ...server, issuers: names.map((_, index) => `issuer-${index}`) })),
    }),
  });
  after(async () => {
    await fleet.stop();
    await stub.stop();
  });
  const tokenOf = (stack, name, key = good) => stack.token({ key, claims: { iss: issuerOf(name) } });
  const assertNoTrap = (stack) => assert.doesNotMatch(stack.logText(), /trap|unreachable|panic|VM failed/i);

  for (const stack of fleet.stacks) {
    for (const name of names) {
      test(`${stack.name}: ${name}: 503, at once or when it is over`, async () => {
        const token = await tokenOf(stack, name);
        for (const response of await Promise.all(Array.from({ length: 8 }, () => whoami(stack, { token })))) {
          assert.equal(response.status, 503, response.text);
          assert.ok(Number(response.header('retry-after')) > 0);
          assert.equal(response.header('www-authenticate'), undefined);
          assert.ok(response.took < TIMEOUT + SLACK, `${response.took} ms`);
          assert.equal((await stack.recordOf(response)).code, 'keys_unavailable');
        }
        assertNoTrap(stack);
      });
    }
  }
  test('nothing reached the server', async () => assert.deepEqual(await fleet.stacks[0].reached(), []));

  describe('and answer', () => {
    before(async () => {
      failing = false;
      await sleep(DEBOUNCE + TIMEOUT);
    });
    for (const stack of fleet.stacks) {
      for (const name of names) {
        test(`${stack.name}: ${name}: everybody passes`, async () => {
          assert.deepEqual(await burst(stack, await tokenOf(stack, name)), [200]);
        });
      }
    }
  });

  describe('and fail again', () => {
    before(async () => {
      failing = true;
      await sleep(REFRESH + SLACK);
    });
    for (const stack of fleet.stacks) {
      for (const name of names) {
        test(`${stack.name}: ${name}: its last keys stay in use, and no others pass`, async () => {
          assert.deepEqual(await burst(stack, await tokenOf(stack, name, second)), [200]);
          const stranger = await whoami(stack, { token: await tokenOf(stack, name, others[0]) });
          assert.ok([401, 503].includes(stranger.status), stranger.text);
          assertNoTrap(stack);
        });
      }
    }
  });
});
