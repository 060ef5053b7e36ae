// Authorization servers that fail while a token is exchanged: no call goes on without its
// credential, none hangs, and the answer blames who can mend it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { SECRET } from '../../examples/demo/idp/clients.mjs';
import { MATRIX, MODES, addCluster, eventually, freePorts, startFleet, startRecorder } from './support.mjs';
import { answers, exchangeAt, good, issues, startTokenEndpoint } from './token_endpoint.mjs';

/** How long an answer is waited for, in ms. */
const TIMEOUT = 1_000;

/** How long a call may take whose exchange fails, in ms: Envoy may try a connection once more. */
const PATIENCE = 2 * TIMEOUT + 1_000;

/** How long until a mended authorization server is asked again, in ms. */
const RECOVERY = 30_000;

/** Scopes of the rules, and of what goes on. */
const FRONT = 'docs:read';
const BACK = ['docs.read', 'docs.list'];
const WIDER = [...BACK, 'docs.admin'].join(' ');

const HTML = { 'content-type': 'text/html' };

const error = (status, code) => answers(status, { error: code, error_description: 'said to nobody' });
const unavailable = { status: 503, code: 'exchange_unavailable' };
const ours = (code) => ({ status: 502, code });
const theirs = (code) => ({ status: 403, code });

/** What the authorization server does, and what the caller is told. Each has a tool and a path of its own. */
const FAULTS = {
  'nobody listens': { ...unavailable, cluster: 'closed' },
  'no answer in time': { does: () => {}, ...unavailable },
  'gone without an answer': { does: ({ response }) => response.destroy(), ...unavailable },
  'gone in the middle of the answer': {
    does: ({ response }) => response.writeHead(200, { 'content-length': 1000 }).write('{"access_token":', () => response.destroy()),
    ...unavailable,
  },
  '500': { does: answers(500, {}), ...unavailable },
  '503 with Retry-After': { does: answers(503, {}, { 'retry-after': '7' }), ...unavailable, retryAfter: 7 },
  'HTML with 200': { does: answers(200, '<p>', HTML), ...ours('exchange_answer_malformed') },
  'no JSON': { does: answers(200, 'access_token=x'), ...ours('exchange_answer_malformed') },
  '300 KiB': { does: issues({ x: 'x'.repeat(300 << 10) }), ...ours('exchange_answer_too_large') },
  'rfc6749_5_2: 401 invalid_client': { does: error(401, 'invalid_client'), ...ours('exchange_client_rejected') },
  'rfc6749_5_2: unauthorized_client': { does: error(400, 'unauthorized_client'), ...ours('exchange_client_rejected') },
  'rfc8693_2_2_2: invalid_target': { does: error(400, 'invalid_target'), ...ours('exchange_target_rejected') },
  'rfc8693_2_2_2: invalid_request': { does: error(400, 'invalid_request'), ...ours('exchange_request_rejected') },
  'rfc6749_5_2: invalid_grant': { does: error(400, 'invalid_grant'), status: 401, code: 'exchange_subject_rejected' },
  'rfc6749_5_2: invalid_scope': { does: error(400, 'invalid_scope'), ...theirs('exchange_scope_refused') },
  // A good answer, which is kept like any, and others may do with it.
  'rfc6749_3_3: less than the operation takes': {
    does: issues({ scope: 'docs.list' }, { scope: 'docs.list' }), lasts: true, ...theirs('exchange_scope_refused'),
  },
  'rfc6749_4_1_2_1: access_denied': { does: error(400, 'access_denied'), ...theirs('exchange_denied') },
  'rfc6749_3_3: more than was asked for': {
    does: issues({ scope: WIDER }, { scope: WIDER }), ...ours('exchange_answer_wider'),
  },
  'more in the token than in the answer': { does: issues({}, { scope: WIDER }), ...ours('exchange_answer_wider') },
  'rfc8693_2_2_1: N_A': { does: issues({ token_type: 'N_A' }), ...ours('exchange_token_type') },
  'rfc8693_2_2_1: another issued_token_type': {
    does: issues({ issued_token_type: 'urn:ietf:params:oauth:token-type:saml2' }), ...ours('exchange_issued_token_type'),
  },
  'another audience': { does: issues({}, { aud: 'https://another.example/mcp' }), ...ours('exchange_token_audience') },
  'another subject': { does: issues({}, { sub: 'mallory' }), ...ours('exchange_token_subject') },
  'expired on arrival': { does: issues({}, { exp: Math.floor(Date.now() / 1000) - 120 }), ...ours('exchange_token_expired') },
  'rfc9449_6_1: bound to a key': { does: issues({}, { cnf: { jkt: 'x'.repeat(43) } }), ...ours('exchange_token_bound') },
  'no JWT': { does: issues({ access_token: 'opaque' }), ...ours('exchange_token_no_jwt') },
  "the caller's own token": {
    does: ({ form, issue, reply }) => issue(form).then((answer) => reply(200, { ...answer, access_token: form.get('subject_token') })),
    ...ours('exchange_token_unchanged'),
  },
};
const CASES = Object.entries(FAULTS).map(([name, fault], index) => ({ name, tool: `fault-${index}`, path: `/fault-${index}`, ...fault }));

/** The demo's configuration with `exchanges`, each of which a tool of the same name takes; the first is the server's. */
function exchanging(exchanges) {
  const names = Object.keys(exchanges);
  return (configuration) => ({
    ...configuration,
    exchanges,
    servers: configuration.servers.map((server, index) => (index > 0 ? server : {
      ...server,
      exchange: names[0],
      tools: { rules: names.map((name) => ({ names: [name], scopes: [FRONT], exchange: name, downstream_scopes: BACK })) },
    })),
  });
}

const call = (stack, tool, token, options = {}) => stack.rpc('tools/call', { name: tool, arguments: {} }, { token, ...options });

/** A caller who was never there before. */
let callers = 0;
const caller = (stack) => {
  callers += 1;
  return stack.token({ claims: { sub: `caller-${callers}` } });
};

/** Nothing at all reached the MCP server: also in `stream`, headers go with their credential or not at all. */
function assertNothingReached(recorder) {
  assert.equal(recorder.bytes().toString(), '');
}

/** What reached the MCP server has credentials of the token endpoint, and nothing of the caller's. */
function assertExchanged(recorder, endpoint, token) {
  assert.ok(recorder.requests.length > 0);
  for (const { headers } of recorder.requests) assert.ok(endpoint.issued.has(headers.authorization?.replace('Bearer ', '')));
  assert.ok(!recorder.bytes().includes(token));
}

async function accepted(stack, tool, token) {
  const response = await call(stack, tool, token);
  assert.equal(response.status, 200, response.text);
  return stack.recordOf(response);
}

async function refused(stack, tool, token, { status, code, retryAfter }) {
  const response = await call(stack, tool, token);
  assert.equal(response.status, status, response.text);
  const wait = response.header('retry-after');
  if (status < 500) assert.equal(wait, undefined);
  else assert.ok(Number(wait) >= (retryAfter ?? 1), `retry-after: ${wait}`);
  const challenge = response.header('www-authenticate');
  if (status === 401) assert.match(challenge, /^Bearer resource_metadata="[^"]+", error="invalid_token"/);
  else assert.equal(challenge, undefined);
  assert.ok(!response.text.includes('said to nobody'), 'what the authorization server wrote');
  assert.ok(response.took < PATIENCE, `${response.took} ms`);
  const { outcome, code: recorded, exchange } = await stack.recordOf(response);
  assert.deepEqual([outcome, recorded, exchange.name, exchange.outcome], ['deny', code, tool, code]);
  return response;
}

const environment = { CLIENT_SECRET: SECRET };
const cluster = (name, ...ports) => (bootstrap) => addCluster(bootstrap, name, ...ports);

describe('what goes wrong', async () => {
  const [endpoint, recorder, [closed]] = await Promise.all([startTokenEndpoint(), startRecorder(), freePorts(1)]);
  const exchanges = Object.fromEntries(CASES.map(({ tool, path, cluster: where }) => [tool, exchangeAt(path, { cluster: where })]));
  const fleet = await startFleet({
    matrix: MATRIX,
    ports: { mcp_typescript: recorder.port },
    configure: exchanging(exchanges),
    environment,
    edit: (bootstrap) => {
      addCluster(bootstrap, 'exchange', endpoint.port);
      addCluster(bootstrap, 'closed', closed);
    },
  });
  after(async () => {
    await fleet.stop();
    await Promise.all([endpoint.stop(), recorder.stop()]);
  });

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      // A caller for each, who was never there before.
      const tokens = {};
      before(async () => {
        recorder.forget();
        for (const { path, tool, does } of CASES) {
          endpoint.does[path] = does;
          tokens[tool] = await caller(stack);
        }
      });

      describe('all fail', { concurrency: true }, () => {
        for (const { name, tool, path, does, ...expected } of CASES) {
          test(`${name}: ${expected.status} ${expected.code}`, { timeout: RECOVERY }, async () => {
            await refused(stack, tool, tokens[tool], expected);
            assertNothingReached(recorder);
            // What failed once is not asked for again by each call, but by each worker.
            const earlier = endpoint.count(path);
            const again = { ...expected, retryAfter: undefined };
            await Promise.all(Array.from({ length: 5 }, () => refused(stack, tool, tokens[tool], again)));
            assert.ok(endpoint.count(path) - earlier <= stack.workers, `asked ${endpoint.count(path) - earlier} times`);
            assertNothingReached(recorder);
          });
        }
      });

      describe('all are good again', { concurrency: true }, () => {
        before(() => {
          for (const { path } of CASES) endpoint.does[path] = good;
        });
        for (const { name, tool } of CASES.filter(({ does, lasts }) => does && !lasts)) {
          test(name, { timeout: RECOVERY }, async () => {
            await eventually('good again', async () => (await call(stack, tool, tokens[tool])).status === 200, RECOVERY);
            assertExchanged(recorder, endpoint, tokens[tool]);
          });
        }
      });

      test('of secrets, nothing is written or told', async () => {
        const text = stack.logText() + JSON.stringify(stack.records());
        for (const token of [...endpoint.issued, ...endpoint.asked.map(({ form }) => form.get('subject_token'))]) {
          assert.ok(!text.includes(token.split('.')[2]));
        }
        assert.ok(!text.includes(SECRET));
        assert.ok(!text.includes('said to nobody'));
      });
    });
  }
});

describe('an authorization server that is down for a while', async () => {
  const [endpoint, recorder] = await Promise.all([startTokenEndpoint(), startRecorder()]);
  const fleet = await startFleet({
    matrix: MODES.map((entry) => ({ ...entry, workers: 1 })),
    ports: { mcp_typescript: recorder.port },
    configure: exchanging({ docs: exchangeAt('/docs') }),
    environment,
    edit: cluster('exchange', endpoint.port),
  });
  after(async () => {
    await fleet.stop();
    await Promise.all([endpoint.stop(), recorder.stop()]);
  });
  const open = async (stack) => (await stack.counters())['countersign.exchange_circuits.open.docs'] ?? 0;

  for (const stack of fleet.stacks) {
    test(`${stack.name}: the circuit opens, is seen, lets cached credentials pass, closes again`, { timeout: 3 * RECOVERY }, async () => {
      const known = await caller(stack);
      await accepted(stack, 'docs', known);
      assert.equal(await open(stack), 0);

      endpoint.does['/docs'] = answers(500, {});
      const openedBefore = (await stack.counters())['countersign.exchange_circuits.opened'] ?? 0;
      await eventually('the circuit opens', async () => {
        await refused(stack, 'docs', await caller(stack), unavailable);
        return await open(stack) === 1;
      }, RECOVERY);
      assert.equal((await stack.counters())['countersign.exchange_circuits.opened'], openedBefore + 1);

      const asked = endpoint.count('/docs');
      recorder.forget();
      for (let turn = 0; turn < 20; turn += 1) {
        const { took } = await refused(stack, 'docs', await caller(stack), unavailable);
        assert.ok(took < TIMEOUT, `${took} ms`);
      }
      assertNothingReached(recorder);
      // It may have been let one through to see.
      assert.ok(endpoint.count('/docs') - asked <= 1, `asked ${endpoint.count('/docs') - asked} times`);
      assert.equal((await accepted(stack, 'docs', known)).exchange.outcome, 'cached');

      endpoint.does['/docs'] = good;
      const token = await caller(stack);
      await eventually('good again', async () => (await call(stack, 'docs', token)).status === 200, 2 * RECOVERY);
      assert.equal(await open(stack), 0);
      await accepted(stack, 'docs', await caller(stack));
    });

    test(`${stack.name}: what is the caller's own fault opens nothing`, async () => {
      endpoint.does['/docs'] = error(400, 'invalid_grant');
      for (let turn = 0; turn < 30; turn += 1) {
        await refused(stack, 'docs', await caller(stack), { status: 401, code: 'exchange_subject_rejected' });
      }
      endpoint.does['/docs'] = good;
      await accepted(stack, 'docs', await caller(stack));
      assert.equal(await open(stack), 0);
    });
  }
});

describe('once more where nothing was sent, and never else', async () => {
  const [endpoint, recorder, [closed]] = await Promise.all([startTokenEndpoint(), startRecorder(), freePorts(1)]);
  const fleet = await startFleet({
    matrix: MODES,
    ports: { mcp_typescript: recorder.port },
    configure: exchanging({ docs: exchangeAt('/docs'), half: exchangeAt('/half', { cluster: 'half' }) }),
    environment,
    edit: (bootstrap) => {
      addCluster(bootstrap, 'exchange', endpoint.port);
      // Envoy takes turns.
      addCluster(bootstrap, 'half', closed, endpoint.port);
    },
  });
  after(async () => {
    await fleet.stop();
    await Promise.all([endpoint.stop(), recorder.stop()]);
  });

  for (const stack of fleet.stacks) {
    test(`${stack.name}: one of two addresses is closed, and nobody notices`, async () => {
      const earlier = endpoint.count('/half');
      for (let turn = 0; turn < 10; turn += 1) await accepted(stack, 'half', await caller(stack));
      assert.equal(endpoint.count('/half') - earlier, 10);
    });

    test(`${stack.name}: a request that arrived is not repeated`, async () => {
      endpoint.does['/docs'] = ({ response }) => response.destroy();
      const earlier = endpoint.count('/docs');
      await refused(stack, 'docs', await caller(stack), unavailable);
      assert.equal(endpoint.count('/docs') - earlier, 1);
      endpoint.does['/docs'] = good;
    });
  }
});

test('an authorization server that restarts: connections that it closed are not used', { timeout: 60_000 }, async () => {
  let endpoint = await startTokenEndpoint();
  const recorder = await startRecorder();
  const fleet = await startFleet({
    matrix: MODES,
    ports: { mcp_typescript: recorder.port },
    configure: exchanging({ docs: exchangeAt('/docs') }),
    environment,
    edit: cluster('exchange', endpoint.port),
  });
  try {
    for (const stack of fleet.stacks) {
      for (let turn = 0; turn < 3; turn += 1) {
        await accepted(stack, 'docs', await caller(stack));
        await endpoint.stop();
        endpoint = await startTokenEndpoint({ port: endpoint.port });
        await accepted(stack, 'docs', await caller(stack));
        assert.equal(endpoint.count('/docs'), 1);
      }
    }
  } finally {
    await fleet.stop();
    await Promise.all([endpoint.stop(), recorder.stop()]);
  }
});
