// Clients and MCP servers that go away in the middle of things: one record each, which says how far
// it came, and nothing of them stays with Envoy.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { after, describe, test } from 'node:test';

import {
  LEGACY, MODES, assertNoGrowth, openSession, publicKey, rpcMessage, sleep, startFleet, startStub, whoami,
} from './support.mjs';

/** How many go away at once in each phase. */
const CROWD = 50;

/** How long Envoy may take to notice and to write its records, in ms. */
const SETTLE_LIMIT = 10_000;

/** Time in which bytes that were sent arrive, in ms. */
const ARRIVAL = 50;

const LIST = JSON.stringify({
  jsonrpc: '2.0', id: 1, result: { tools: ['whoami', 'internal_debug'].map((name) => ({ name, inputSchema: {} })) },
});
const INITIALIZED = JSON.stringify({
  jsonrpc: '2.0', id: 1, result: { protocolVersion: LEGACY, capabilities: {}, serverInfo: { name: 'stub', version: '1' } },
});
const HELLO = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}\n\n';
const half = (text) => text.slice(0, text.length / 2);
const json = (response) => response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
const thenGone = (response, text) => response.write(text, () => setTimeout(() => response.destroy(), ARRIVAL));
const sse = (response) => response.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' });

/** What the MCP server does, after it has read the request unless it says otherwise. */
const SERVERS = {
  silent: () => {},
  'a new session': (response) => json(response.setHeader('mcp-session-id', 'stub-session')).end(INITIALIZED),
  'gone before the body': { early: (request) => request.socket.destroy() },
  'gone after the body': (response) => response.socket.destroy(),
  'a list, half': (response) => json(response).write(half(LIST)),
  'an event, half a list': (response) => sse(response).write(`${HELLO}data: ${half(LIST)}`),
  'an event, and half of another': (response) => sse(response).write(HELLO + half(HELLO)),
  'a list, half, and gone': (response) => thenGone(json(response), half(LIST)),
  'an event, half a list, and gone': (response) => thenGone(sse(response), `${HELLO}data: ${half(LIST)}`),
  'an event, half of another, and gone': (response) => thenGone(sse(response), HELLO + half(HELLO)),
};

const list = rpcMessage('tools/list');
const call = rpcMessage('tools/call', { name: 'whoami', arguments: {} });

const listening = async (stack) => {
  behaviour = SERVERS['a new session'];
  return { method: 'GET', headers: [['mcp-protocol-version', LEGACY], ['mcp-session-id', await openSession(stack)]], body: '' };
};

/** Outcome and code of records. */
const undecided = ['deny', 'client_disconnected'];
const allowed = ['allow', 'allowed'];

/**
 * `sent`: how much of a request the client sends; `until`: what it waits to see, or for the request
 * to be at the server, or else at Envoy; `record`: what its record says.
 */
const CLIENT_PHASES = {
  'before the body': { message: call, sent: 'head', record: undecided },
  'in the middle of the body': { message: call, sent: 'half', record: undecided },
  'before the answer': { message: call, sent: 'all', server: 'silent', until: 'server', record: allowed },
  'in the middle of a list': { message: list, sent: 'all', server: 'a list, half', until: '200 OK', record: allowed },
  'in the middle of a list, SSE': { message: list, sent: 'all', server: 'an event, half a list', until: 'hello', record: allowed },
  'in the middle of an event': { message: call, sent: 'all', server: 'an event, and half of another', until: 'hello', record: allowed },
  'in the middle of the stream of a session': {
    message: listening, sent: 'all', server: 'an event, and half of another', until: 'hello', record: allowed,
  },
};
const HTTP2_PHASES = ['before the body', 'in the middle of the body', 'before the answer', 'in the middle of an event'];
const SERVER_PHASES = {
  // In `stream` it has the headers, and goes while the filter still waits for the body.
  'before the body': {
    message: call, server: 'gone before the body', status: 503, pause: 2 * ARRIVAL, record: { stream: undecided, hold: allowed },
  },
  'before the answer': { message: call, server: 'gone after the body', status: 503, record: allowed },
  'in the middle of a list': { message: list, server: 'a list, half, and gone', status: 200, record: allowed },
  'in the middle of a list, SSE': { message: list, server: 'an event, half a list, and gone', status: 200, record: allowed },
  'in the middle of an event': { message: call, server: 'an event, half of another, and gone', status: 200, record: allowed },
};

let behaviour = SERVERS.silent;
let asked = 0;
const stub = await startStub((request, response) => {
  behaviour.early?.(request);
  request.resume().on('error', () => {}).on('end', () => {
    asked += 1;
    if (!behaviour.early) behaviour(response, request);
  });
});
// Keys that do not come before they are let go.
let keys;
const waiting = [];
const idp = await startStub((_request, response) => {
  const answer = () => json(response).end(JSON.stringify(keys));
  if (keys) answer();
  else waiting.push(answer);
});
const fleet = await startFleet({
  matrix: MODES,
  ports: { mcp_typescript: stub.port, idp: idp.port },
  configure: (configuration) => {
    configuration.issuers.local.jwks.timeout = '10s';
    return configuration;
  },
  // Nothing is kept for later, so that what is left is a leak.
  edit: ({ static_resources: { clusters } }) => {
    for (const cluster of clusters) {
      cluster.typed_extension_protocol_options = {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          common_http_protocol_options: { idle_timeout: '0.1s' },
          explicit_http_config: { http_protocol_options: {} },
        },
      };
    }
  },
});
after(async () => {
  await fleet.stop();
  await stub.stop();
  await idp.stop();
});

describe('clients gone while the keys are awaited', () => {
  for (const stack of fleet.stacks) {
    test(stack.name, async () => {
      const token = await stack.token();
      const round = async () => {
        await assertRecords(stack, () => crowd(() => leave(stack, { message: call, sent: 'all', token })), ({ outcome, code, reason }) => {
          assert.deepEqual([outcome, code, reason], [...undecided, 'the stream ended while its credential waited to be judged']);
        });
        // The keys are still asked for: other clients want them, too.
        await assertIdle(stack, ['idp']);
      };
      await round();
      await assertNoGrowth(stack, round);
    });
  }

  test('an upload of 3 MiB that waits as long is refused when they come', async () => {
    const message = rpcMessage('tools/call', { name: 'search_docs', arguments: { query: 'x'.repeat(3 * 1024 * 1024) } });
    const sent = fleet.stacks.map(async (stack) => stack.send({ token: await stack.token(), ...message }));
    await sleep(10 * ARRIVAL);
    keys = { keys: [publicKey(fleet.stacks[0].key)] };
    for (const answer of waiting.splice(0)) answer();
    for (const response of await Promise.all(sent)) assert.equal(response.status, 413, response.text);
    assert.equal(asked, 0, 'something undecided reached the server');
    for (const stack of fleet.stacks) await assertSound(stack);
  });
});

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    const phases = [
      // The filter has no stream yet; Envoy itself accounts for it.
      ['clients gone in the middle of the headers', async () => {
        const token = await stack.token();
        await assertRecords(stack, () => crowd(() => leave(stack, { message: call, sent: 'half head', token })), ({ outcome }) => {
          assert.equal(outcome, 'no_decision');
        });
        await assertIdle(stack);
      }],
      ...Object.entries(CLIENT_PHASES).map(([name, phase]) => [`clients gone ${name}`, async () => {
        const { record, server = 'silent', message, ...how } = phase;
        const what = typeof message === 'function' ? await message(stack) : message;
        behaviour = SERVERS[server];
        const token = await stack.token();
        await assertRecords(stack, () => crowd(() => leave(stack, { token, message: what, ...how })), assertIs(record));
        await assertIdle(stack);
      }]),
      ...HTTP2_PHASES.map((name) => [`clients gone ${name}, HTTP/2`, async () => {
        const { record, server = 'silent', ...phase } = CLIENT_PHASES[name];
        behaviour = SERVERS[server];
        const { hostname, port } = new URL(stack.origin);
        const socket = connect({ host: hostname, port: Number(port) });
        const session = connectHttp2(stack.origin, { createConnection: () => socket }).on('error', () => {});
        const token = await stack.token();
        await assertRecords(stack, async () => {
          await crowd(() => cancel(stack, session, { token, ...phase })).finally(() => socket.resetAndDestroy());
        }, assertIs(record));
        await assertIdle(stack);
      }]),
      ...Object.entries(SERVER_PHASES).map(([name, phase]) => [`servers gone ${name}`, async () => {
        const { message: { headers, body }, server, status, pause, record } = phase;
        behaviour = SERVERS[server];
        const token = await stack.token();
        await assertRecords(stack, () => crowd(async () => {
          const response = await stack.send({ token, headers, body: pause ? [half(body), body.slice(half(body).length)] : body, pause });
          assert.equal(response.status, status, response.text);
          assert.doesNotMatch(response.text, /internal_debug/);
          // What was begun must not look finished.
          assert.equal(response.complete, status !== 200, response.raw);
        }), assertIs(record[stack.mode] ?? record));
        await assertIdle(stack);
      }]),
    ];
    for (const [name, run] of phases) {
      test(name, async () => {
        await run();
        await assertSound(stack);
      });
    }

    test('and again and again: nothing of them stays', async () => {
      await assertNoGrowth(stack, async () => {
        for (const [, run] of phases) await run();
      });
      await assertSound(stack);
    });
  });
}

function assertIs([outcome, code]) {
  return (record) => assert.deepEqual([record.outcome, record.code], [outcome, code], JSON.stringify(record));
}

/** Runs it for everybody at once; nobody goes before all have come as far. */
let askedBefore;
let arrival;
function crowd(run) {
  askedBefore = asked;
  arrival = undefined;
  return Promise.all(Array.from({ length: CROWD }, run));
}

/** Sends as much as said over a connection of its own, waits, and goes: every second one with a reset. */
let leavers = 0;
async function leave(stack, { token, message: { method = 'POST', headers, body }, sent, until }) {
  const { host, hostname, port } = new URL(stack.origin);
  const head = [
    `${method} /typescript/mcp HTTP/1.1`, `host: ${host}`, `authorization: Bearer ${token}`, 'accept: application/json, text/event-stream',
    ...(body ? ['content-type: application/json', `content-length: ${body.length}`] : []),
    ...headers.map((pair) => pair.join(': ')), '\r\n',
  ].join('\r\n');
  const bytes = { 'half head': half(head), head, half: head + half(body), all: head + body }[sent];
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let received = '';
  socket.on('data', (chunk) => { received += chunk; });
  await once(socket, 'connect');
  socket.write(bytes);
  await arrived(stack, until, () => received);
  leavers += 1;
  if (leavers % 2) socket.resetAndDestroy();
  else socket.destroy();
}

/** The same for a stream of an HTTP/2 connection; to go amid the request is left to the connection. */
async function cancel(stack, session, { token, message: { headers, body }, sent, until }) {
  const stream = session.request({
    ':method': 'POST', ':path': '/typescript/mcp', 'content-type': 'application/json', accept: 'application/json, text/event-stream',
    authorization: `Bearer ${token}`, ...Object.fromEntries(headers),
  });
  stream.on('error', () => {});
  let received = '';
  stream.setEncoding('utf8').on('data', (chunk) => { received += chunk; });
  if (sent === 'half') stream.write(half(body));
  if (sent === 'all') stream.end(body);
  await arrived(stack, until, () => received);
  // Node would end the request before it cancels.
  if (sent === 'all') stream.close(constants.NGHTTP2_CANCEL);
}

async function arrived(stack, until, received) {
  if (until === 'server') {
    await eventually(() => asked - askedBefore >= CROWD, () => `${asked - askedBefore} at the server`);
  } else if (until) {
    await eventually(() => received().includes(until), received);
  } else {
    const stat = 'http.mcp.downstream_rq_active';
    const active = async () => Number((await (await fetch(`${stack.admin}/stats?filter=^${stat}$`)).text()).replace(`${stat}: `, ''));
    arrival ??= eventually(async () => await active() >= CROWD, () => 'not all are at Envoy');
    await arrival;
  }
  await sleep(ARRIVAL);
}

/** One record for each of the crowd that `run` sends, in which `check` finds nothing wrong. */
async function assertRecords(stack, run, check) {
  const before = stack.records().length;
  await run();
  const records = () => stack.records().slice(before);
  await eventually(() => records().length >= CROWD, () => `${records().length} records`);
  await sleep(2 * ARRIVAL);
  assert.equal(records().length, CROWD, 'one record each');
  records().forEach(check);
}

/** Nothing is under way any more, neither with clients nor with servers but those of `except`. */
async function assertIdle(stack, except = []) {
  const active = async () => {
    const text = await (await fetch(`${stack.admin}/stats?filter=(http.mcp|cluster).*(_rq|_cx|_pending)_active$`)).text();
    return text.trim().split('\n')
      .filter((line) => !line.endsWith(': 0') && !except.some((cluster) => line.startsWith(`cluster.${cluster}.`)));
  };
  let left;
  await eventually(async () => {
    left = await active();
    return left.length === 0;
  }, () => left.join(', '));
}

/** It decides as before, and no virtual machine had to be replaced. */
async function assertSound(stack) {
  behaviour = (response) => json(response).end('{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"sound"}]}}');
  const good = await whoami(stack);
  assert.equal(good.status, 200, good.text);
  assert.match(good.text, /sound/);
  const bad = await whoami(stack, { tool: 'delete_doc' });
  assert.equal(bad.status, 403, bad.text);
  for (const response of [good, bad]) await stack.recordOf(response);
  const text = await (await fetch(`${stack.admin}/stats?filter=wasm`)).text();
  const stats = Object.fromEntries(text.trim().split('\n').map((line) => line.split(': ')));
  // One for each worker, the main thread's, and the one they are copied from.
  assert.equal(Number(stats['wasm.envoy.wasm.runtime.v8.active']), stack.workers + 2);
  assert.equal(Number(stats['wasm.countersign.vm_reload'] ?? 0), 0);
}

async function eventually(holds, account) {
  const deadline = Date.now() + SETTLE_LIMIT;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `not in ${SETTLE_LIMIT} ms: ${account()}`);
    await sleep(10);
  }
}
