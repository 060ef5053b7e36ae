// What is told about decisions, what is never told, and what happens without a configuration.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { renderBootstrap } from '../../examples/demo/lib/envoy.mjs';
import { BOOTSTRAPS, ENVOY, WASM } from '../../examples/demo/lib/paths.mjs';
import { LEGACY, MATRIX, MODERN, ROOT, resultText, rpcMessage, sleep, startFleet, startStub } from './support.mjs';

/** Longest part of a token that may be found in a log by chance. */
const PART = 16;

const fleet = await startFleet({
  matrix: MATRIX,
  logLevel: 'debug',
  configure: (configuration) => ({
    ...configuration,
    // Without DPoP its header means nothing, and is taken away.
    servers: configuration.servers.map(({ dpop: _dpop, ...server }) => server),
    audit: { ...configuration.audit, log: 'json' },
  }),
});
after(() => fleet.stop());

const call = (stack, tool, options = {}) => stack.rpc('tools/call', { name: tool, arguments: {} }, options);

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    const tokens = [];
    const token = async (options) => {
      const made = await stack.token(options);
      tokens.push(made);
      return made;
    };

    test('one record per decision, named in the response', async () => {
      for (const [tool, options, expected] of [
        ['whoami', {}, ['allow', 'allowed', 200]],
        ['delete_doc', {}, ['deny', 'scope_missing', 403]],
        ['internal_debug', {}, ['deny', 'object_unknown', 200]],
        ['whoami', { claims: { exp: 1 } }, ['deny', 'token_expired', 401]],
      ]) {
        const response = await call(stack, tool, { token: await token(options) });
        const record = await stack.recordOf(response);
        assert.deepEqual([record.outcome, record.code, response.status], expected);
        assert.equal(response.all('x-countersign-decision-id').length, 1);
        assert.match(record.decision_id, /^[0-9a-f]{32}$/);
        assert.equal(record.host_mode, stack.mode);
        assert.equal(record.server, stack.urls.typescript);
        if (record.code !== 'token_expired') {
          assert.deepEqual([record.subject, record.client_id, record.method, record.object], ['alice', 'tests', 'tools/call', { kind: 'tool', name: tool }]);
          assert.deepEqual([record.sender, record.dpop_key, record.stale, record.introspection], ['bearer', undefined, undefined, undefined]);
          assert.equal(record.token_cached, false);
        }
      }
      const refused = await call(stack, 'delete_doc', { token: await token() });
      assert.deepEqual((await stack.recordOf(refused)).scopes_required, ['docs:admin']);
    });

    test('decision ids do not repeat', async () => {
      const responses = await Promise.all(Array.from({ length: 20 }, async () => call(stack, 'whoami', { token: await token() })));
      assert.equal(new Set(responses.map((response) => response.header('x-countersign-decision-id'))).size, 20);
      for (const response of responses) await stack.recordOf(response);
    });

    test('a client that goes away leaves a record, and nothing at the server', async () => {
      await stack.forget();
      const known = stack.records().length;
      const { headers, body } = rpcMessage('tools/call', { name: 'whoami', arguments: {} });
      await assert.rejects(stack.send({
        token: await token(), headers: [...headers, ['content-length', String(body.length + 1)]], body, pause: 0, limit: 500,
      }), /no complete answer/);
      for (let i = 0; i < 50 && stack.records().length === known; i += 1) await sleep(50);
      const [record, ...others] = stack.records().slice(known);
      assert.deepEqual([record.outcome, record.code, others.length], ['deny', 'client_disconnected', 0]);
      await stack.assertNothingReached();
    });

    test('credentials and forged identity never go upstream', async () => {
      for (const name of ['x-countersign-subject', 'X-Countersign-Subject', 'x-countersign-anything', 'x-countersign-decision-id']) {
        await stack.forget();
        const secret = await token();
        const response = await call(stack, 'whoami', {
          token: secret,
          headers: [[name, 'mallory'], [name, 'mallory2'], ['cookie', 'session=secret'], ['dpop', 'proof'], ['proxy-authorization', 'Basic eA==']],
        });
        assert.equal(response.status, 200, response.text);
        const seen = JSON.parse(resultText(response));
        assert.equal(seen.headers['x-countersign-subject'], 'alice');
        assert.equal(seen.headers['x-countersign-decision-id'], response.header('x-countersign-decision-id'));
        const [request] = await stack.reached();
        const names = request.headers.map(([header]) => header.toLowerCase());
        for (const header of ['authorization', 'dpop', 'cookie', 'proxy-authorization', 'x-countersign-anything']) {
          assert.ok(!names.includes(header), header);
        }
        const text = JSON.stringify(request);
        assert.doesNotMatch(text, /mallory/);
        assert.ok(!text.includes(secret));
      }
    });

    test('two DPoP lines have two readings, also where none is read', async () => {
      const response = await call(stack, 'whoami', { token: await token(), headers: [['dpop', 'a'], ['dpop', 'b']] });
      assert.equal(response.status, 400, response.text);
      assert.equal((await stack.recordOf(response)).code, 'header_repeated');
    });

    test('forged x_countersign_subject is refused or stripped', async () => {
      await stack.forget();
      const response = await call(stack, 'whoami', { token: await token(), headers: [['x_countersign_subject', 'mallory']] });
      assert.ok([200, 400].includes(response.status));
      assert.doesNotMatch(JSON.stringify(await stack.reached()), /mallory/);
    });

    test('counters', async () => {
      const before = await stack.counters();
      const delta = async (name) => ((await stack.counters())[name] ?? 0) - (before[name] ?? 0);
      const same = await token();
      for (let i = 0; i < 6; i += 1) await call(stack, 'whoami', { token: same });
      await call(stack, 'delete_doc', { token: same });
      assert.equal(await delta('countersign.decisions.allow.allowed'), 6);
      assert.equal(await delta('countersign.decisions.deny.scope_missing'), 1);
      const hits = await delta('countersign.token_cache.hits');
      const misses = await delta('countersign.token_cache.misses');
      assert.equal(hits + misses, 7);
      assert.ok(misses >= 1 && misses <= stack.workers, `${misses} misses`);
      assert.ok((await stack.counters())['countersign.fetches.keys.succeeded'] >= 1);
    });

    // Last, over all that was sent above.
    test('no token, nor a part of one, is in a log or a record', async () => {
      const bad = await token({ claims: { aud: 'https://other.example' } });
      await call(stack, 'whoami', { token: bad });
      await call(stack, 'whoami', { token: `${bad}x` });
      await stack.recordOf(await call(stack, 'whoami', { headers: [['authorization', `Basic ${bad}`]] }));
      const logs = stack.logText() + readFileSync(stack.accessLog, 'utf8');
      assert.match(logs, /token_audience/, 'there is something to look through');
      const parts = new Set();
      for (const made of tokens) {
        // The header is the same for all and no secret; the payload and the signature are.
        const secret = made.split('.').slice(1).join('.');
        for (let at = 0; at + PART <= secret.length; at += 1) parts.add(secret.slice(at, at + PART));
      }
      const windows = new Set();
      for (let at = 0; at + PART <= logs.length; at += 1) windows.add(logs.slice(at, at + PART));
      assert.deepEqual([...parts].filter((part) => windows.has(part)), []);
    });

    test('nothing panicked', () => assert.doesNotMatch(stack.logText(), /panicked|wasm trap|Function: proxy_/));
  });
}

// A stub, because no real MCP server forges our headers.
describe('headers of ours that the upstream forges are replaced', async () => {
  const stub = await startStub((request, response) => {
    request.resume().on('end', () => response.writeHead(200, [
      ['content-type', 'application/json'],
      ['x-countersign-decision-id', 'forged'], ['X-Countersign-Decision-Id', 'forged2'],
      ['x-countersign-subject', 'forged'], ['x_countersign_subject', 'forged'],
    ].flat()).end('{"jsonrpc":"2.0","id":1,"result":{}}'));
  });
  const own = await startFleet({ ports: { mcp_typescript: stub.port } });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  for (const stack of own.stacks) {
    for (const method of ['tools/call', 'ping']) {
      test(`${stack.name}: ${method}`, async () => {
        const params = method === 'tools/call' ? { name: 'whoami', arguments: {} } : {};
        const era = method === 'ping' ? LEGACY : MODERN;
        const response = await stack.rpc(method, params, { era, token: await stack.token() });
        assert.doesNotMatch(response.raw, /forged/);
        assert.equal(response.all('x-countersign-decision-id').length, 1);
        assert.equal((await stack.recordOf(response)).outcome, 'allow');
      });
    }
  }
});

describe('configuration', () => {
  let directory;
  before(() => { directory = mkdtempSync(join(tmpdir(), 'countersign-')); });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs Envoy on a configuration until it gives up; in `validate` mode it always ends. */
  const run = (configure, args, edit) => new Promise((resolve) => {
    const bootstrap = renderBootstrap(readFileSync(BOOTSTRAPS.stream, 'utf8'), {
      ports: { mcp: 0, admin: 0 }, wasm: WASM, accessLog: '/dev/null', configure, edit,
    });
    const file = join(directory, 'envoy.json');
    writeFileSync(file, JSON.stringify(bootstrap));
    const options = { cwd: ROOT, timeout: 30_000 };
    execFile(ENVOY, ['-c', file, '--disable-hot-restart', ...args], options, (error, stdout, stderr) => {
      resolve({ failed: Boolean(error) && !error.killed, log: stdout + stderr });
    });
  });

  const wrong = [
    ['an unknown member', (c) => ({ ...c, isuers: {} }), /isuers/],
    ['an unknown issuer', (c) => ({ ...c, servers: [{ ...c.servers[0], issuers: ['loca'] }] }), /servers\[0\]\.issuers/],
    ['an unknown algorithm', (c) => ({ ...c, issuers: { local: { ...c.issuers.local, algorithms: ['HS256'] } } }), /issuers\.local\.algorithms/],
    ['a misspelt rule', (c) => ({ ...c, servers: [{ ...c.servers[0], tools: { rules: [{ name: ['x'], scopes: [] }] } }] }), /servers\[0\]\.tools\.rules\[0\]/],
  ];
  for (const [name, configure, path] of wrong) {
    test(`${name}: Envoy does not start, and says where`, async () => {
      const { failed, log } = await run(configure, []);
      assert.ok(failed, log);
      assert.match(log, path);
    });
  }
  test('a bad one: --mode validate fails, and says where', async () => {
    const [, configure, path] = wrong[0];
    const { failed, log } = await run(configure, ['--mode', 'validate']);
    assert.ok(failed, log);
    assert.match(log, path);
  });
  test('a good one: --mode validate succeeds', async () => {
    const { failed, log } = await run((c) => c, ['--mode', 'validate']);
    assert.ok(!failed, log);
  });
  test('none: Envoy does not start, so nothing is let through', async () => {
    const { failed, log } = await run(undefined, [], (bootstrap) => {
      const [{ typed_config }] = bootstrap.static_resources.listeners[0].filter_chains[0].filters;
      delete typed_config.http_filters[0].typed_config.config.configuration;
    });
    assert.ok(failed, log);
    assert.match(log, /no configuration|configuration rejected/);
  });
});
