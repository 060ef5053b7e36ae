// Traps around waiting: for a body that Envoy does not show, for keys that come late, for a
// callback that traps.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { MODES, ROOT, http2Call, publicKey, rpcMessage, sleep, startFleet, startStub, whoami } from './support.mjs';

/** The filter with the faults that only tests inject (`--features test-faults`). */
const FAULTY = join(ROOT, 'target/faults/wasm32-wasip1/release/countersign.wasm');

/** How late the stub gives its keys, in ms: long enough for any body to arrive before. */
const LATE = 700;

const hold = (bootstrap, flag) => {
  const [manager] = bootstrap.static_resources.listeners[0].filter_chains[0].filters;
  const { config } = manager.typed_config.http_filters[0].typed_config;
  if (flag) config.allow_on_headers_stop_iteration = true;
  else delete config.allow_on_headers_stop_iteration;
};
const idleTimeout = (bootstrap, timeout) => {
  bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stream_idle_timeout = timeout;
};

describe('pause hang: a hold configuration on a host that cannot hold', () => {
  for (const workers of [1, 2]) {
    test(`workers: ${workers}`, async () => {
      const own = await startFleet({ matrix: [{ mode: 'hold', workers }], edit: (bootstrap) => hold(bootstrap, false) });
      try {
        const [stack] = own.stacks;
        const get = await stack.send({ method: 'GET', path: '/.well-known/oauth-protected-resource/typescript/mcp' });
        assert.equal(get.status, 200, 'what has no body does not hang');

        // Both workers have to find out for themselves.
        const tripped = await Promise.all(Array.from({ length: 16 }, () => whoami(stack)));
        for (const response of tripped) {
          assert.equal(response.status, 503, response.text);
          assert.equal((await stack.recordOf(response)).code, 'host_unsupported');
          assert.ok(response.header('retry-after'));
        }
        assert.ok(Math.max(...tripped.map(({ took }) => took)) < 6000);
        await stack.assertNothingReached();

        const lines = stack.logText().split('\n').filter((line) => line.includes('[critical]'));
        const { 'countersign.host_self_check.failed': failures } = await stack.counters();
        assert.equal(lines.length, failures, 'one critical line for each worker that noticed');
        assert.ok(failures >= 1 && failures <= workers, `${failures} failures`);

        if (workers === 1) {
          for (let i = 0; i < 3; i += 1) {
            const response = await whoami(stack);
            assert.equal(response.status, 503);
            assert.ok(response.took < 500, `${response.took} ms`);
          }
          const after = stack.logText().split('\n').filter((line) => line.includes('[critical]'));
          assert.equal(after.length, 1);
        }
      } finally {
        await own.stop();
      }
    });
  }
});

// A stub, because the trap is an answer that comes late, and real servers are prompt.
describe('Continue while a callout is pending', async () => {
  const configurations = [
    { mode: 'stream', workers: 1, name: 'stream' },
    { mode: 'hold', workers: 2, name: 'hold' },
    { mode: 'stream', workers: 2, name: 'stream with the hold flag', edit: (bootstrap) => hold(bootstrap, true) },
  ];
  for (const configuration of configurations) {
    const calls = [
      ['content-length', 'whoami', 200, (text) => text],
      ['chunked', 'whoami', 200, (text) => [text.slice(0, 20), text.slice(20)]],
      ['content-length, denied', 'delete_doc', 403, (text) => text],
      ['chunked, denied', 'delete_doc', 403, (text) => [text.slice(0, 20), text.slice(20)]],
    ];
    // Without the flag Envoy would send a request with trailers on without its body, so it is
    // refused as our failure, and a second try finds the keys.
    const losesBody = configuration.name === 'stream';
    const overHttp2 = [
      ['HTTP/2', 'whoami', 200, undefined],
      ['HTTP/2, denied', 'delete_doc', 403, undefined],
      ['HTTP/2 with trailers', 'whoami', losesBody ? 503 : 200, { 'x-trailer': '1' }],
      // A missing scope is told by the headers of 2026-07-28, before the trailers matter.
      ['HTTP/2 with trailers, denied', 'delete_doc', 403, { 'x-trailer': '1' }],
    ];
    describe(configuration.name, () => {
      let own;
      let stub;
      let answers;
      let bodies;
      const body = (tool) => rpcMessage('tools/call', { name: tool, arguments: {} }).body;
      before(async () => {
        let keys;
        stub = await startStub((_request, response) => {
          setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(keys)), LATE);
        });
        own = await startFleet({ matrix: [configuration], ports: { idp: stub.port } });
        const [stack] = own.stacks;
        keys = { keys: [publicKey(stack.key)] };
        const token = await stack.token();
        const sent = [
          ...calls.map(([, tool, , framing]) => stack.send({
            token, headers: rpcMessage('tools/call', { name: tool, arguments: {} }).headers, body: framing(body(tool)),
          })),
          ...overHttp2.map(([, tool, , trailers]) => http2Call(stack, { tool, trailers })
            .then(({ headers, text }) => ({ status: headers[':status'], text }))),
          stack.send({
            token: await stack.token({ claims: { aud: 'https://other.example' } }),
            headers: rpcMessage('tools/call', { name: 'whoami' }).headers, body: body('whoami'),
          }),
        ];
        await sleep(LATE / 2);
        assert.deepEqual(await stack.reached(), [], 'before the keys are there nothing goes on');
        answers = await Promise.all(sent);
        bodies = (await stack.reached()).filter(({ state }) => state === 'complete').map((request) => request.body);
      });
      after(async () => {
        await own?.stop();
        await stub?.stop();
      });
      for (const [index, [name, , status]] of [...calls, ...overHttp2, ['wrong audience', , 401]].entries()) {
        test(name, () => assert.equal(answers[index].status, status, answers[index].text));
      }
      test('the server got the allowed bodies and no others', () => {
        assert.deepEqual(bodies, Array.from({ length: losesBody ? 3 : 4 }, () => body('whoami')));
      });
    });
  }
});

describe('a trap in a callout callback', () => {
  for (const { mode, workers } of MODES) {
    test(`${mode}, workers: ${workers}`, async () => {
      const stub = await startStub((_request, response) => {
        setTimeout(() => response.writeHead(200).end('trap'), LATE);
      });
      const own = await startFleet({
        matrix: [{ mode, workers }], wasm: FAULTY, ports: { idp: stub.port }, edit: (bootstrap) => idleTimeout(bootstrap, '2s'),
      });
      try {
        const [stack] = own.stacks;
        const outcome = await whoami(stack).then(({ status, text }) => `${status} ${text}`, (error) => error.message);
        assert.match(stack.logText(), /trap|unreachable|abort/i, 'the fault was injected');
        assert.match(outcome, /^(408|503|504) |no response head/);
        assert.deepEqual(await stack.reached(), []);
      } finally {
        await own.stop();
        await stub.stop();
      }
    });
  }
});
