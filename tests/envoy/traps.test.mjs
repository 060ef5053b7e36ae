// What Envoy does that would let a request through, or hang it, if the filter forgot about it.

import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request as httpRequest } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { LEGACY, MATRIX, MODERN, MODES, ROOT, publicKey, resultText, rpcMessage, sleep, startFleet, startStub } from './support.mjs';

/** The filter with the faults that only tests inject (`--features test-faults`). */
const FAULTY = join(ROOT, 'target/faults/wasm32-wasip1/release/countersign.wasm');

/** How late the stub gives its keys, in ms: long enough for any body to arrive before. */
const LATE = 700;

/** Headers of which Envoy joins several lines into one. */
const JOINED = ['authorization', 'content-type', 'origin'];

/** What tool lists may not show to a reader of documents. */
const HIDDEN = /delete_doc|internal_debug/;

const hold = (bootstrap, flag) => {
  const [manager] = bootstrap.static_resources.listeners[0].filter_chains[0].filters;
  const { config } = manager.typed_config.http_filters[0].typed_config;
  if (flag) config.allow_on_headers_stop_iteration = true;
  else delete config.allow_on_headers_stop_iteration;
};
const idleTimeout = (bootstrap, timeout) => {
  bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stream_idle_timeout = timeout;
};

const fleet = await startFleet({ matrix: MATRIX });
after(() => fleet.stop());

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    describe('request trailers instead of END_STREAM on the body', () => {
      test('a denied tool stays denied', async () => {
        await stack.forget();
        const response = await http2Call(stack, { tool: 'delete_doc', trailers: { 'x-trailer': '1' } });
        assert.equal(response.headers[':status'], 403, response.text);
        await sleep(100);
        await stack.assertNothingReached();
      });

      test('an allowed tool passes, its trailers do not', async () => {
        await stack.forget();
        const response = await http2Call(stack, {
          tool: 'whoami', trailers: { 'x-trailer': '1', authorization: 'Bearer x', 'x-countersign-subject': 'mallory' },
        });
        assert.equal(response.headers[':status'], 200, response.text);
        assert.match(response.text, /alice/);
        const [request, ...others] = await stack.reached();
        assert.equal(others.length, 0);
        assert.equal(request.state, 'complete');
        assert.doesNotMatch(JSON.stringify(request), /x-trailer|mallory/);
      });

      test('trailers of a chunked HTTP/1 body', async () => {
        for (const [tool, status] of [['delete_doc', 403], ['whoami', 200]]) {
          await stack.forget();
          const { headers, body } = rpcMessage('tools/call', { name: tool, arguments: {} });
          const response = await stack.send({
            token: await stack.token(),
            headers: [...headers, ['transfer-encoding', `chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\nx-countersign-subject: mallory`]],
          });
          assert.equal(response.status, status, response.text);
          const requests = await stack.reached();
          assert.doesNotMatch(JSON.stringify(requests), /mallory/);
          if (status === 403) await stack.assertNothingReached();
        }
      });
    });

    describe('header bytes that are not UTF-8', () => {
      for (const [name, value] of [
        ['authorization', 'Bearer caf\xe9'], ['mcp-name', 'caf\xe9'], ['mcp-method', '\xff'], ['mcp-protocol-version', '\xc3\x28'],
        ['mcp-session-id', '\xe9'], ['content-type', 'application/json\xe9'], ['origin', 'http://\xe9'],
      ]) {
        test(`${name}: 400`, async () => {
          await stack.forget();
          const response = await whoami(stack, { headers: [[name, value]] });
          assert.equal(response.status, 400, response.text);
          assert.equal((await stack.recordOf(response)).code, 'header_malformed');
          await stack.assertNothingReached();
          await assertAlive(stack);
        });
      }
      for (const name of ['x-anything', 'user-agent', 'cookie', 'traceparent', 'x-request-id', 'x-countersign-subject']) {
        test(`${name}: of no interest`, async () => {
          const response = await whoami(stack, { headers: [[name, 'caf\xe9']] });
          assert.equal(response.status, 200, response.text);
          assert.doesNotMatch(resultText(response), /caf/);
          await stack.recordOf(response);
          await assertAlive(stack);
        });
      }
      test('path', async () => {
        const response = await whoami(stack, { path: '/typescript/mcp?\xe9' });
        assert.equal(response.status, 400, response.text);
        await assertAlive(stack);
      });
    });

    describe('the first of duplicate headers', () => {
      for (const [name, first, second] of [
        ['authorization', undefined, 'Bearer x'],
        ['mcp-name', 'whoami', 'delete_doc'],
        ['mcp-method', 'tools/call', 'tools/list'],
        ['mcp-protocol-version', MODERN, LEGACY],
        ['content-type', 'application/json', 'text/plain'],
        ['mcp-session-id', 'a', 'b'],
        ['dpop', 'a', 'b'],
        ['origin', 'http://a.example', 'http://b.example'],
      ]) {
        for (const [way, lines] of [
          ['a second line', (a, b) => [[name, a], [name, b]]],
          ['a second line first', (a, b) => [[name, b], [name, a]]],
          ['joined by a comma', (a, b) => [[name, `${a}, ${b}`]]],
        ]) {
          // A proof in DPoP joined to another is of no interest before DPoP is supported.
          if (name === 'dpop' && way === 'joined by a comma') continue;
          test(`${name}: ${way}`, async () => {
            await stack.forget();
            const token = await stack.token();
            const response = await whoami(stack, { token: undefined, headers: [
              ...(name === 'authorization' ? [] : [['authorization', `Bearer ${token}`]]),
              ...lines(first ?? `Bearer ${token}`, second),
            ] });
            assert.ok(response.status >= 400 && response.status < 500, response.raw);
            const { outcome, code } = await stack.recordOf(response);
            assert.equal(outcome, 'deny');
            // Envoy itself joins some headers by a comma: what arrives then is one line, which must not do.
            if (way !== 'joined by a comma' && !JOINED.includes(name)) assert.equal(code, 'header_repeated');
            await stack.assertNothingReached();
          });
        }
      }
    });

    describe('CR LF reflected into a challenge', () => {
      const evil = 'x\r\nset-cookie: stolen=1';
      const clean = (response) => {
        assert.equal(response.header('set-cookie'), undefined, response.raw);
        assert.doesNotMatch(response.raw, /stolen/);
        for (const challenge of response.all('www-authenticate')) {
          assert.match(challenge, /^Bearer resource_metadata="[!-~]+"(, error="[a-z_]+")?(, scope="[!-~ ]+")?$/);
        }
      };
      for (const [name, options] of [
        ['kid', { header: { kid: evil } }],
        ['typ', { header: { typ: evil } }],
        ['iss', { claims: { iss: evil } }],
        ['aud', { claims: { aud: evil } }],
        ['quotes in iss', { claims: { iss: 'x", realm="stolen' } }],
      ]) {
        test(`${name} of a token`, async () => {
          const response = await whoami(stack, { token: await stack.token(options) });
          assert.equal(response.status, 401, response.text);
          clean(response);
        });
      }
      for (const claim of ['sub', 'client_id', 'scope', 'jti']) {
        test(`${claim} of a good token`, async () => {
          await stack.forget();
          const token = await stack.token({ claims: { [claim]: evil, ...(claim === 'scope' ? { scope: `mcp:connect ${evil}` } : {}) } });
          for (const tool of ['whoami', 'delete_doc']) clean(await whoami(stack, { token, tool }));
          for (const { headers } of await stack.reached()) {
            assert.ok(!headers.some(([header]) => header.toLowerCase() === 'set-cookie'), JSON.stringify(headers));
          }
        });
      }
      test('name of a tool', async () => {
        for (const era of [MODERN, LEGACY]) {
          const response = await stack.rpc('tools/call', { name: evil, arguments: {} }, {
            era, token: await stack.token(), headers: era === MODERN ? [['mcp-name', `=?base64?${btoa(evil)}?=`]] : [],
          });
          clean(response);
          assert.equal(response.status, 200, response.text);
          assert.equal(response.json.error.code, -32602);
        }
      });
      test('path, percent-encoded', async () => {
        for (const path of ['/typescript/mcp%0d%0aset-cookie:%20stolen=1', '/typescript/mcp?%0d%0aset-cookie:%20stolen=1']) {
          clean(await whoami(stack, { token: undefined, path }));
        }
      });
      test('quotes in the path and the authority', async () => {
        for (const options of [{ path: '/typescript/mcp?"stolen"' }, { headers: [['host', 'x"stolen']] }]) {
          clean(await whoami(stack, { token: undefined, ...options }));
        }
      });
      test('CR alone and NUL in a header', async () => {
        for (const value of ['a\rset-cookie: stolen=1', 'a\0b', 'a\nset-cookie: stolen=1']) {
          const response = await whoami(stack, { headers: [['mcp-name', value]] });
          assert.equal(response.status, 400, response.raw);
          clean(response);
        }
      });
    });

    describe('stale content-length of a filtered list', () => {
      for (const [era, server] of [[MODERN, 'typescript'], [LEGACY, 'typescript'], [MODERN, 'python']]) {
        test(`HTTP/1, ${era}, ${server}: the connection serves another request`, async () => {
          const agent = new Agent({ keepAlive: true, maxSockets: 1 });
          try {
            const sockets = new Set();
            for (let i = 0; i < 3; i += 1) {
              const { status, text, socket } = await nodeCall(stack, agent, 'tools/list', { era, server });
              sockets.add(socket);
              assert.equal(status, 200, text);
              assert.match(text, /whoami/);
              assert.doesNotMatch(text, HIDDEN);
            }
            assert.equal(sockets.size, 1);
          } finally {
            agent.destroy();
          }
        });
      }
      test('HTTP/2: the connection serves another request', async () => {
        const session = connectHttp2(stack.origin);
        try {
          for (let i = 0; i < 3; i += 1) {
            const { headers, text } = await http2Call(stack, { session, method: 'tools/list' });
            assert.equal(headers[':status'], 200, text);
            assert.ok(JSON.parse(text).result.tools.length > 0);
            assert.doesNotMatch(text, HIDDEN);
          }
        } finally {
          session.close();
        }
      });
    });

    describe("Envoy's own replies pass through our callbacks", () => {
      test('ours to a denied list', async () => {
        const response = await stack.rpc('tools/list', {}, { token: await stack.token({ claims: { exp: 1 } }) });
        assert.equal(response.status, 401);
        assert.ok(response.complete);
      });
      test('400 for two content-lengths', async () => {
        const response = await whoami(stack, { headers: [['content-length', '3'], ['content-length', '5']] });
        assert.equal(response.status, 400, response.raw);
        await assertAlive(stack);
      });
    });

    test('a client that is slow to send its body is not taken for a host that hangs', async () => {
      // The headers, then three seconds of nothing, then the body.
      const { headers, body } = rpcMessage('tools/call', { name: 'whoami', arguments: {} });
      const response = await stack.send({ token: await stack.token(), headers, body, pause: 3000 });
      assert.equal(response.status, 200, response.text);
      assert.equal((await stack.counters())['countersign.host_self_check.failed'] ?? 0, 0);
    });
  });
}

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
    const overHttp2 = [
      ['HTTP/2', 'whoami', 200, undefined],
      ['HTTP/2, denied', 'delete_doc', 403, undefined],
      ['HTTP/2 with trailers', 'whoami', 200, { 'x-trailer': '1' }],
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
        assert.deepEqual(bodies, Array.from({ length: 4 }, () => body('whoami')));
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

// A stub, because no real MCP server misbehaves like this.
describe('replies from response phases: a list that cannot be filtered is not passed', async () => {
  const list = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'internal_debug', inputSchema: {} }] } });
  const answers = {
    gzip: [{ 'content-type': 'application/json', 'content-encoding': 'gzip' }, list],
    'other type': [{ 'content-type': 'text/html' }, list],
    'no type': [{}, list],
    'invalid JSON': [{ 'content-type': 'application/json' }, `${list.slice(0, -1)},`],
    'duplicate result': [{ 'content-type': 'application/json' }, `${list.slice(0, -1)},"result":{"tools":[]}}`],
    'another id': [{ 'content-type': 'application/json' }, list.replace('"id":1', '"id":2')],
    batch: [{ 'content-type': 'application/json' }, `[${list}]`],
    'byte order mark': [{ 'content-type': 'application/json' }, `\ufeff${list}`],
    'over 4 MiB': [{ 'content-type': 'application/json' }, list.replace('{}', `{"a":"${'x'.repeat(4.2 * 1024 * 1024)}"}`)],
    'SSE, invalid JSON': [{ 'content-type': 'text/event-stream' }, `data: ${list.slice(0, -1)}\n\n`],
    'SSE, unfinished event': [{ 'content-type': 'text/event-stream' }, `data: ${list}`],
    'SSE, data split over lines by CR': [{ 'content-type': 'text/event-stream' }, `data: ${list.replace('"result"', '\rdata: "result"')}\r\r`],
    'SSE, gzip': [{ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }, `data: ${list}\n\n`],
  };
  let current;
  const stub = await startStub((request, response) => {
    request.resume().on('end', () => {
      const [headers, body] = answers[current];
      response.writeHead(200, { ...headers, 'x-countersign-decision-id': 'forged' }).end(body);
    });
  });
  const own = await startFleet({ matrix: MODES, ports: { mcp_typescript: stub.port } });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  for (const stack of own.stacks) {
    for (const name of Object.keys(answers)) {
      test(`${stack.name}: ${name}`, async () => {
        current = name;
        const response = await stack.rpc('tools/list', {}, { token: await stack.token() });
        assert.doesNotMatch(response.text, /internal_debug/);
        assert.doesNotMatch(response.raw, /forged/);
        assert.ok(response.complete, response.raw);
        const record = await stack.recordOf(response);
        // An event that never ended is dropped, as every reader of event streams must; and one that
        // can be filtered whatever its line ends, is.
        if (/unfinished|CR/.test(name)) return;
        assert.ok(response.status === 502 || response.json.error, response.text);
        assert.deepEqual([record.outcome, record.code], ['deny', 'list_unreadable']);
      });
    }
  }
});

// A stub, because no real server hangs on purpose.
describe("Envoy's own 504, 503 and 404 pass", async () => {
  const stub = await startStub(() => {});
  const own = await startFleet({
    ports: { mcp_typescript: stub.port, mcp_python: 1 },
    edit: ({ static_resources: { listeners: [{ filter_chains: [{ filters: [{ typed_config }] }] }] } }) => {
      typed_config.route_config.virtual_hosts[0].routes[0].route.timeout = '1s';
    },
  });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  for (const stack of own.stacks) {
    for (const [name, server, method, status] of [
      ['504 to a list', 'typescript', 'tools/list', 504], ['504 to a call', 'typescript', 'tools/call', 504],
      ['503 to a list', 'python', 'tools/list', 503], ['503 to a call', 'python', 'tools/call', 503],
    ]) {
      test(`${stack.name}: ${name}`, async () => {
        const params = method === 'tools/call' ? { name: 'whoami', arguments: {} } : {};
        const response = await stack.rpc(method, params, { server, token: await stack.token({ server }) });
        assert.equal(response.status, status, response.text);
        assert.match(response.text, /upstream/);
        // In `stream` Envoy may find out before the body was decided upon.
        if (stack.mode === 'hold') await stack.recordOf(response);
      });
    }
  }
});

function whoami(stack, { tool = 'whoami', headers = [], ...options } = {}) {
  const message = rpcMessage('tools/call', { name: tool, arguments: {} });
  const given = new Set(headers.map(([name]) => name));
  const send = async () => stack.send({
    ...('token' in options ? {} : { token: await stack.token() }),
    ...options,
    headers: [...message.headers.filter(([name]) => !given.has(name)), ...headers],
    body: message.body,
  });
  return send();
}

async function assertAlive(stack) {
  const response = await whoami(stack);
  assert.equal(response.status, 200, response.text);
  assert.doesNotMatch(stack.logText(), /panicked|Function: proxy_on|wasm trap/);
}

/** One request over HTTP/2, with or without trailers. */
async function http2Call(stack, { session, tool, method = 'tools/call', trailers }) {
  const client = session ?? connectHttp2(stack.origin);
  try {
    const { headers, body } = rpcMessage(method, tool ? { name: tool, arguments: {} } : {});
    const stream = client.request({
      ':method': 'POST', ':path': '/typescript/mcp', 'content-type': 'application/json', accept: 'application/json, text/event-stream',
      authorization: `Bearer ${await stack.token()}`, ...Object.fromEntries(headers),
    }, { waitForTrailers: Boolean(trailers) });
    if (trailers) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.setTimeout(10_000, () => stream.destroy(new Error('no answer in 10 s')));
    stream.end(body);
    const [response] = await once(stream, 'response');
    let text = '';
    for await (const chunk of stream.setEncoding('utf8')) text += chunk;
    return { headers: response, text };
  } finally {
    if (!session) client.close();
  }
}

/** One request with Node's own client, which is strict about framing. */
async function nodeCall(stack, agent, method, { era, server }) {
  const { headers, body } = rpcMessage(method, {}, { era });
  const request = httpRequest(stack.urls[server], {
    agent,
    method: 'POST',
    headers: {
      'content-type': 'application/json', accept: 'application/json, text/event-stream',
      authorization: `Bearer ${await stack.token({ server })}`, ...Object.fromEntries(headers),
    },
  });
  request.setTimeout(10_000, () => request.destroy(new Error('no answer in 10 s')));
  request.end(body);
  const [response] = await once(request, 'response');
  const { socket } = response;
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, text, socket };
}
