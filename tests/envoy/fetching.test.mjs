// How the keys of the OAuth server are fetched: once for all workers, by discovery, and from one
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
const BOTH_MODES = ['stream', 'hold'].map((mode) => ({ mode, workers: WORKERS }));

const METADATA = '/.well-known/openid-configuration';
const JSON_TYPE = { 'content-type': 'application/json' };

/** For `configure`: the OAuth server's `jwks`, changed by `change`. */
const withKeys = (change) => ({ issuers: { local }, ...rest }) => ({
  ...rest, issuers: { local: { ...local, jwks: change(local.jwks) } },
});

/** Statuses of calls at once, on a connection each: every worker gets some. */
async function burst(stack, options) {
  const token = await stack.token(options);
  const answers = await Promise.all(Array.from({ length: 40 }, () => whoami(stack, { token })));
  return [...new Set(answers.map(({ status }) => status))];
}

/** How often the OAuth server was asked for `path` meanwhile. */
async function asked(stack, path, run) {
  const count = async () => (await stack.idp('GET', '/requests'))[path] ?? 0;
  const earlier = await count();
  await run();
  return await count() - earlier;
}

describe('keys', { concurrency: true, timeout: 180_000 }, () => {
  // A stub, because the keys must come later than the calls.
  describe('a cold start, calls at all workers at once', () => {
    for (const entry of BOTH_MODES) {
      test(`${entry.mode}: one fetch, everybody passes`, async (context) => {
        let fetches = 0;
        let release;
        const released = new Promise((resolve) => { release = resolve; });
        const stub = await startStub(async (_request, response) => {
          fetches += 1;
          const keys = await released;
          response.writeHead(200, JSON_TYPE).end(JSON.stringify({ keys }));
        });
        const fleet = await startFleet({
          matrix: [entry], ports: { idp: stub.port }, configure: withKeys((jwks) => ({ ...jwks, timeout: '10s' })),
        });
        try {
          const [stack] = fleet.stacks;
          const calls = burst(stack);
          await sleep(500);
          assert.deepEqual(await stack.reached(), [], 'before the keys are there nothing goes on');
          release([publicKey(stack.key)]);
          assert.deepEqual(await calls, [200]);
          context.diagnostic(`${fetches} fetch for ${WORKERS} workers`);
          assert.equal(fetches, 1);
        } finally {
          release([]);
          await fleet.stop();
          await stub.stop();
        }
      });
    }
  });

  describe('one fetch for all workers', { concurrency: true }, () => {
    const sources = {
      uri: (jwks) => ({ ...jwks, refresh: `${REFRESH}ms` }),
      discovery: ({ cluster }) => ({ discovery: 'openid', cluster, refresh: `${REFRESH}ms` }),
    };
    for (const [name, source] of Object.entries(sources)) {
      test(name, async (context) => {
        const fleet = await startFleet({ matrix: [{ mode: 'hold', workers: WORKERS }], configure: withKeys(source) });
        try {
          const [stack] = fleet.stacks;
          const counts = async () => {
            const requests = await stack.idp('GET', '/requests');
            // Whoever started the OAuth server asked once for its keys.
            return { keys: requests['/jwks'] - 1, metadata: requests[METADATA] ?? 0 };
          };
          const times = (count) => ({ keys: count, metadata: name === 'discovery' ? count : 0 });
          assert.deepEqual(await burst(stack), [200]);
          assert.deepEqual(await counts(), times(1), 'the first calls');

          await sleep(DEBOUNCE);
          for (let turn = 0; turn < 3; turn += 1) {
            assert.deepEqual(await burst(stack, { header: { kid: 'invented' } }), [401]);
          }
          assert.deepEqual(await counts(), times(2), 'an unknown key');

          await sleep(REFRESH + SLACK);
          assert.deepEqual(await burst(stack), [200]);
          assert.deepEqual(await counts(), times(3), 'a refresh');

          await sleep(DEBOUNCE);
          const { kid } = await stack.idp('POST', '/keys');
          await stack.idp('PUT', `/keys/${kid}`);
          const token = await clientCredentials({
            issuer: stack.issuer, client: 'demo-reader', resource: stack.urls.typescript, scope: 'mcp:connect',
          });
          assert.equal((await whoami(stack, { token })).status, 200, 'a new key');
          assert.deepEqual(await counts(), times(4), 'a new key');
          context.diagnostic(`requests of ${WORKERS} workers in four rounds: ${JSON.stringify(await counts())}`);
        } finally {
          await fleet.stop();
        }
      });
    }
  });

  // One after the other, whatever is around them.
  describe('an OAuth server that fails', { concurrency: false }, async () => {
    const others = await Promise.all(Array.from({ length: 1000 }, () => newKey('ES256')));
    const [second] = others;
    const set = (keys) => JSON.stringify({ keys: keys.map(publicKey) });
    /** What the stub answers to a request for its keys, when the good one is `good`. */
    const faults = {
      500: (response) => response.writeHead(500).end(),
      'HTML with 200': (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Sorry'),
      'keys as text': (response, good) => response.writeHead(200, { 'content-type': 'text/plain' }).end(set([good])),
      '20 MB': (response, good) => response.writeHead(200, JSON_TYPE).end(set([good]).padEnd(20 << 20)),
      'a thousand keys': (response, good) => response.writeHead(200, JSON_TYPE).end(set([good, ...others])),
      'two keys of one kid': (response, good) => response.writeHead(200, JSON_TYPE).end(set([good, { ...second, kid: good.kid }])),
      'keys of an unknown type': (response) => response.writeHead(200, JSON_TYPE).end('{"keys":[{"kty":"AKP","kid":"x"}]}'),
      'no JSON': (response) => response.writeHead(200, JSON_TYPE).end('{"keys":['),
      'no answer': () => {},
      'half an answer': (response) => response.writeHead(200, { ...JSON_TYPE, 'content-length': 1000 }).write('{"keys":['),
      'a cut connection': (response) => response.destroy(),
    };
    const names = Object.keys(faults);
    const failing = new Set(names);
    // The first requests come before it is known.
    let tell;
    const known = new Promise((resolve) => { tell = resolve; });
    const stubs = await Promise.all(names.map((name) => startStub(async (_request, response) => {
      const good = await known;
      if (failing.has(name)) faults[name](response, good);
      else response.writeHead(200, JSON_TYPE).end(set([good, { ...second, kid: 'second' }]));
    })));
    const fleet = await startFleet({
      matrix: names.map((name, index) => ({ ...MODES[index % 2], name, ports: { idp: stubs[index].port } })),
      configure: withKeys((jwks) => ({ ...jwks, timeout: `${TIMEOUT}ms`, refresh: `${REFRESH}ms` })),
    });
    after(async () => {
      await fleet.stop();
      await Promise.all(stubs.map((stub) => stub.stop()));
    });
    tell(fleet.stacks[0].key);

    describe('before any keys came', { concurrency: true }, () => {
      for (const stack of fleet.stacks) {
        test(`${stack.name}: 503, no hang, no trap`, async () => {
          const responses = await Promise.all(Array.from({ length: 8 }, () => whoami(stack)));
          for (const response of responses) {
            assert.equal(response.status, 503, response.text);
            assert.ok(Number(response.header('retry-after')) > 0);
            assert.equal(response.header('www-authenticate'), undefined);
            assert.ok(response.took < TIMEOUT + SLACK, `${response.took} ms`);
            assert.equal((await stack.recordOf(response)).code, 'keys_unavailable');
          }
          assert.doesNotMatch(stack.logText(), /trap|unreachable|panic|Wasm VM failed/i);
          assert.ok((await stack.counters())['countersign.fetches.keys.failed'] > 0);
        });
      }
      after(async () => assert.deepEqual(await fleet.stacks[0].reached(), []));
    });
    describe('and then answers', { concurrency: true }, () => {
      before(async () => {
        failing.clear();
        await sleep(DEBOUNCE + TIMEOUT);
      });
      for (const stack of fleet.stacks) {
        test(`${stack.name}: everybody passes`, async () => assert.deepEqual(await burst(stack), [200]));
      }
    });
    describe('and fails again', { concurrency: true }, () => {
      before(async () => {
        names.forEach((name) => failing.add(name));
        await sleep(REFRESH + SLACK);
      });
      for (const stack of fleet.stacks) {
        test(`${stack.name}: its last keys stay in use, unknown ones do not pass`, async () => {
          assert.deepEqual(await burst(stack), [200]);
          assert.deepEqual(await burst(stack, { key: { ...second, kid: 'second' } }), [200]);
          const token = await stack.token({ key: others[1] });
          const response = await whoami(stack, { token });
          assert.ok([401, 503].includes(response.status), response.text);
          assert.doesNotMatch(stack.logText(), /trap|unreachable|panic|Wasm VM failed/i);
        });
      }
    });
  });

  describe('metadata', () => {
    const cases = {
      'of this issuer': [200, (metadata) => metadata],
      'rfc8414_3_3: of another issuer': [503, (metadata) => ({ ...metadata, issuer: 'https://other.example' })],
      'keys at another host': [503, (metadata) => ({ ...metadata, jwks_uri: 'https://other.example/jwks' })],
      'no keys': [503, ({ issuer }) => ({ issuer })],
      'HTML': [503, () => undefined],
    };
    for (const [index, [name, [status, spoil]]] of Object.entries(cases).entries()) {
      test(`${name}: ${status}`, async () => {
        let tell;
        const known = new Promise((resolve) => { tell = resolve; });
        const stub = await startStub(async (request, response) => {
          const issuer = `http://${request.headers.host}`;
          const metadata = spoil({ issuer, jwks_uri: `${issuer}/jwks` });
          const document = request.url === METADATA ? metadata : { keys: [publicKey(await known)] };
          if (document) response.writeHead(200, JSON_TYPE).end(JSON.stringify(document));
          else response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Sorry');
        });
        const fleet = await startFleet({
          matrix: [MODES[index % 2]], ports: { idp: stub.port },
          configure: withKeys(({ cluster }) => ({ discovery: 'openid', cluster })),
        });
        try {
          const [stack] = fleet.stacks;
          tell(stack.key);
          const response = await whoami(stack);
          assert.equal(response.status, status, response.text);
        } finally {
          await fleet.stop();
          await stub.stop();
        }
      });
    }
  });
});
