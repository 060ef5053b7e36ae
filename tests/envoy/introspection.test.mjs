// The OAuth server is asked about tokens (RFC 7662, RFC 9701), and fails.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { SECRET } from '../../examples/demo/idp/clients.mjs';
import { clientCredentials } from '../../examples/demo/lib/tokens.mjs';
import { MODES, http2Call, injectCredential, rpcMessage, sleep, startFleet, whoami } from './support.mjs';

const ENDPOINT = '/token/introspection';

/** How long answers are used: for active tokens, and for others. In ms. */
const CACHE = 3_000;
const NEGATIVE_CACHE = 2_000;

/** Time for a failure to be forgotten, in ms. */
const FAILURE_MEMORY = 1_500;

/** How long an answer is waited for, in ms. */
const TIMEOUT = 1_000;

/** The demo's configuration with an issuer that is asked about its opaque tokens. */
function introspecting(introspection = {}, rest = {}) {
  return ({ issuers: { local }, ...configuration }) => ({
    ...configuration,
    ...rest,
    issuers: {
      local: {
        ...local,
        // A machine has no name but its client's (RFC 7662, 2.2: `sub` is optional).
        claims: { subject: ['sub', 'client_id'] },
        introspection: {
          uri: `${local.issuer}${ENDPOINT}`,
          cluster: 'idp',
          tokens: 'opaque',
          timeout: `${TIMEOUT}ms`,
          cache: `${CACHE}ms`,
          negative_cache: `${NEGATIVE_CACHE}ms`,
          client: { method: 'client_secret_basic', client_id: 'gateway-basic', client_secret: { env: 'CLIENT_SECRET' } },
          ...introspection,
        },
      },
    },
    servers: configuration.servers.map((server) => ({
      ...server,
      tools: { rules: server.tools.rules.map((rule) => (rule.names.includes('delete_doc') ? { ...rule, introspect: 'fresh' } : rule)) },
    })),
  });
}

/** A token that only the OAuth server can read. */
function opaque(stack, { client = 'demo-opaque', scope = 'mcp:connect docs:admin' } = {}) {
  return clientCredentials({ issuer: stack.issuer, client, resource: stack.urls.typescript, scope });
}

/** RFC 7009: the client gives it back. */
async function revoke(stack, token) {
  const response = await fetch(`${stack.issuer}/token/revocation`, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`demo-opaque:${SECRET}`)}` }, body: new URLSearchParams({ token }),
  });
  assert.equal(response.status, 200);
}

/** How often the OAuth server was asked meanwhile. */
async function asked(stack, run) {
  const count = async () => (await stack.idp('GET', '/requests'))[ENDPOINT] ?? 0;
  const earlier = await count();
  await run();
  return await count() - earlier;
}

async function accepted(stack, token) {
  const response = await whoami(stack, { token });
  assert.equal(response.status, 200, response.text);
}

async function refused(stack, token, options) {
  await stack.forget();
  const response = await whoami(stack, { token, ...options });
  assert.equal(response.status, 401, response.text);
  assert.match(response.header('www-authenticate'), /^Bearer resource_metadata="[^"]+", error="invalid_token"/);
  assert.equal((await stack.recordOf(response)).code, 'token_inactive');
  await stack.assertNothingReached();
}

async function unavailable(stack, token) {
  await stack.forget();
  const response = await whoami(stack, { token });
  assert.equal(response.status, 503, response.text);
  assert.ok(Number(response.header('retry-after')) > 0);
  assert.deepEqual(response.all('www-authenticate'), []);
  assert.equal((await stack.recordOf(response)).code, 'introspection_unavailable');
  await stack.assertNothingReached();
}

describe('who we are to the OAuth server', async () => {
  const secret = (method, client_id) => ({ method, client_id, client_secret: { env: 'CLIENT_SECRET' } });
  const clients = {
    client_secret_basic: { client: secret('client_secret_basic', 'gateway-basic') },
    client_secret_post: { client: secret('client_secret_post', 'gateway-post') },
    private_key_jwt: { client: { method: 'private_key_jwt', client_id: 'gateway-key', key: { env: 'CLIENT_KEY' }, algorithm: 'ES256' } },
    'rfc9701 signed answers': { client: secret('client_secret_basic', 'gateway-basic'), signed_for: 'gateway-basic' },
  };
  const good = [
    ...Object.entries(clients).map(([name, introspection]) => ({ name, configure: introspecting(introspection) })),
    {
      name: 'a credential that Envoy adds',
      configure: introspecting({ client: { method: 'injected' } }),
      edit: (bootstrap) => injectCredential(bootstrap, 'gateway-basic'),
    },
  ].map((entry, index) => ({ ...entry, ...MODES[index % 2] }));
  const bad = [
    ['rfc7662_2_3: a wrong secret', { client: { ...secret('client_secret_basic', 'gateway-basic'), client_secret: { env: 'OTHER_SECRET' } } }],
    ['rfc9701_5: signed for somebody else', { ...clients['rfc9701 signed answers'], signed_for: 'another' }],
  ].map(([name, introspection], index) => ({ name, ...MODES[index % 2], configure: introspecting(introspection) }));
  const fleet = await startFleet({
    matrix: [...good, ...bad], environment: ({ introspectionKey }) => ({ CLIENT_SECRET: SECRET, OTHER_SECRET: 'another', CLIENT_KEY: introspectionKey }),
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks.slice(0, good.length)) {
    test(`${stack.name}: accepted, refused`, async () => {
      const token = await opaque(stack);
      assert.equal(await asked(stack, () => accepted(stack, token)), 1);
      const { subject, client_id, scopes_presented, sender, introspection } = await stack.recordOf(await whoami(stack, { token }));
      assert.deepEqual({ subject, client_id, scopes_presented, sender, introspection }, {
        subject: 'demo-opaque',
        client_id: 'demo-opaque',
        scopes_presented: ['docs:admin', 'mcp:connect'],
        sender: 'bearer',
        introspection: stack.workers === 1 ? 'cached' : introspection,
      });
      assert.ok(['asked', 'cached'].includes(introspection));
      await refused(stack, 'invented');
      await accepted(stack, await stack.token());
    });
  }
  for (const stack of fleet.stacks.slice(good.length)) {
    test(`${stack.name}: our fault, not the caller's`, async () => unavailable(stack, await opaque(stack)));
  }
});

describe('answers', async () => {
  const fleet = await startFleet({
    matrix: MODES, configure: introspecting(), environment: { CLIENT_SECRET: SECRET },
  });
  after(() => fleet.stop());
  const answer = (answers) => fleet.stacks[0].idp('PUT', '/answers', answers);

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      beforeEach(() => answer({}));
      after(() => answer({}));

      test('rfc7662_4: asked once for many calls, and for many at once', async () => {
        const token = await opaque(stack);
        await answer({ [ENDPOINT]: { delay: 300 } });
        const burst = () => Promise.all(Array.from({ length: 30 }, () => accepted(stack, token)));
        assert.ok(await asked(stack, burst) <= stack.workers, 'more than one request under way for a worker');
        assert.ok(await asked(stack, burst) <= stack.workers);
        assert.equal(await asked(stack, async () => { for (let turn = 0; turn < 5; turn += 1) await accepted(stack, token); }), 0);
      });
      test('an inactive token, asked once', async () => {
        const times = await asked(stack, async () => { for (let turn = 0; turn < 10; turn += 1) await refused(stack, 'invented-once'); });
        assert.ok(times >= 1 && times <= stack.workers, `${times} times`);
      });
      test('invented tokens do not push out good ones', async () => {
        const token = await opaque(stack);
        const often = () => Promise.all(Array.from({ length: 10 }, () => accepted(stack, token)));
        await often();
        await Promise.all(Array.from({ length: 200 }, (_, index) => whoami(stack, { token: `invented-${index}` })));
        assert.ok(await asked(stack, often) <= stack.workers);
      });
      test('rfc7662_2_2: revoked; what was cached ends with the cache, a rule may ask afresh', async () => {
        const token = await opaque(stack);
        const deleteDoc = () => stack.rpc('tools/call', { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } }, { token });
        await Promise.all(Array.from({ length: 10 }, () => accepted(stack, token)));
        const before = await deleteDoc();
        assert.equal(before.status, 200, before.text);
        await revoke(stack, token);
        await stack.forget();
        const fresh = await deleteDoc();
        assert.equal(fresh.status, 401, fresh.text);
        assert.equal((await stack.recordOf(fresh)).code, 'token_inactive');
        await stack.assertNothingReached();
        await sleep(CACHE);
        await refused(stack, token);
      });
      test('a rule asks afresh each time', async () => {
        const token = await opaque(stack);
        const call = () => stack.rpc('tools/call', { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } }, { token });
        const times = await asked(stack, async () => {
          for (let turn = 0; turn < 3; turn += 1) assert.equal((await call()).status, 200);
        });
        assert.ok(times >= 3, `${times} times`);
      });
      // The request waits in a callback of its body or of its trailers, in `stream` with its headers gone.
      test('a rule asks afresh: the whole body waits for the answer, however it is framed', async () => {
        const token = await opaque(stack);
        await Promise.all(Array.from({ length: 10 }, () => accepted(stack, token)));
        await answer({ [ENDPOINT]: { delay: 500 } });
        const parameters = { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } };
        const { headers, body } = rpcMessage('tools/call', parameters);
        const [start, end] = [body.slice(0, 20), body.slice(20)];
        const calls = () => Promise.all([
          stack.send({ token, headers, body }),
          stack.send({ token, headers, body: [body] }),
          stack.send({ token, headers, body: [start, end], pause: 50 }),
          http2Call(stack, { token, parameters }),
          http2Call(stack, { token, parameters, trailers: { 'x-trailer': '1' } }),
        ]);
        await stack.forget();
        const answers = calls();
        await sleep(300);
        assert.deepEqual((await stack.reached()).map(({ bytes }) => bytes).filter(Boolean), []);
        assert.deepEqual((await answers).map(({ status }) => status), [200, 200, 200, 200, 200]);
        assert.deepEqual((await stack.reached()).map((request) => [request.state, request.body]), Array(5).fill(['complete', body]));

        await revoke(stack, token);
        await stack.forget();
        assert.deepEqual((await calls()).map(({ status }) => status), [401, 401, 401, 401, 401]);
        await stack.assertNothingReached();
      });
      test('local checks stay: the audience, the scope', async () => {
        const foreign = await clientCredentials({
          issuer: stack.issuer, client: 'demo-opaque', resource: stack.urls.python, scope: 'mcp:connect',
        });
        const response = await whoami(stack, { token: foreign });
        assert.equal(response.status, 401);
        assert.equal((await stack.recordOf(response)).code, 'token_audience');
        const narrow = await opaque(stack, { scope: 'docs:admin' });
        assert.equal((await whoami(stack, { token: narrow })).status, 403);
      });

      const html = { 'content-type': 'text/html' };
      const json = { 'content-type': 'application/json' };
      const faults = {
        'rfc7662_2_3: 401': { status: 401, headers: json, body: '{"error":"invalid_client"}' },
        '403': { status: 403, headers: json, body: '{}' },
        '500': { status: 500, headers: json, body: '{}' },
        'HTML with 200': { status: 200, headers: html, body: '<p>' },
        'JSON in HTML': { status: 200, headers: html, body: '{"active":true}' },
        'no answer in time': { delay: TIMEOUT * 3 },
        'no JSON': { status: 200, headers: json, body: 'active' },
        'no `active`': { status: 200, headers: json, body: '{"scope":"mcp:connect"}' },
        '`active` is text': { status: 200, headers: json, body: '{"active":"true"}' },
        '`active` twice': { status: 200, headers: json, body: '{"active":false,"active":true}' },
        '20 MB': { status: 200, headers: json, body: `{"active":true,"x":"${'x'.repeat(20 << 20)}"}` },
      };
      for (const [name, fault] of Object.entries(faults)) {
        test(`${name}: 503, and good again afterwards`, async () => {
          const token = await opaque(stack);
          await answer({ [ENDPOINT]: fault });
          await unavailable(stack, token);
          await answer({});
          await sleep(FAILURE_MEMORY + (fault.delay ?? 0));
          await accepted(stack, token);
        });
      }
      test('nobody answers: tokens whose answer is known stay good', async () => {
        const token = await opaque(stack);
        await Promise.all(Array.from({ length: 10 }, () => accepted(stack, token)));
        await answer({ [ENDPOINT]: { status: 500 } });
        await accepted(stack, token);
        await unavailable(stack, await opaque(stack));
        await sleep(CACHE);
        await unavailable(stack, token);
        await answer({});
        await sleep(FAILURE_MEMORY);
      });
    });
  }
});

// The OAuth server of the demo does not introspect JWTs; another's answers are told to it.
describe('every token, JWTs as well', async () => {
  const fleet = await startFleet({
    matrix: MODES, configure: introspecting({ tokens: 'all', cache: '1s', negative_cache: '1s' }), environment: { CLIENT_SECRET: SECRET },
  });
  after(() => fleet.stop());
  const answer = (stack, body) => stack.idp('PUT', '/answers', {
    [ENDPOINT]: { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
  });

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      before(() => stack.idp('DELETE', '/requests'));

      test('active', async () => {
        await answer(stack, { active: true });
        await accepted(stack, await stack.token());
      });
      test('good by its signature, not active', async () => {
        await answer(stack, { active: false });
        await refused(stack, await stack.token());
      });
      test('active, but its signature is bad: nobody is asked', async () => {
        await answer(stack, { active: true });
        const [header, payload, signature] = (await stack.token()).split('.');
        const bad = [header, payload, signature.split('').reverse().join('')].join('.');
        assert.equal(await asked(stack, async () => assert.equal((await whoami(stack, { token: bad })).status, 401)), 0);
      });
      test('the answer is about somebody else', async () => {
        await answer(stack, { active: true, sub: 'mallory', client_id: 'another' });
        assert.equal((await whoami(stack, { token: await stack.token() })).status, 401);
      });
    });
  }
});
