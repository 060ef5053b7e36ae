// HTTP+SSE of 2024-11-05 where it is configured: real clients at real servers see through the filter
// what they see without it, except what policy refuses; and nobody is told a server's own session.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { NODE, PYTHON } from '../../examples/demo/lib/paths.mjs';
import { startProcess } from '../../examples/demo/lib/process.mjs';
import { MODES, ROOT, freePorts, rpcMessage, sleep, startFleet, startStub } from './support.mjs';
import { httpSse, tour } from '../clients/sdk-v1.mjs';

const SCRIPT = join(ROOT, 'tests/clients/http_sse.py');
const EVERYTHING = join(ROOT, 'tests/clients/node_modules/@modelcontextprotocol/server-everything/dist/index.js');

/** The servers, and the paths that they tell their clients to post to. */
const ANNOUNCED = { everything: '/message', python: '/messages/', stub: '/messages' };
const SERVERS = Object.keys(ANNOUNCED);

/** Tools that no rule names, and one that needs a scope nobody here has. */
const UNNAMED = ['get-env', 'internal_debug'];
const SCOPED = 'get-tiny-image';

/** How long a stream may take to bring what is waited for, or to end, in ms. */
const PATIENCE = 5_000;

const directory = mkdtempSync(join(tmpdir(), 'countersign-http-sse-'));
const [everythingPort, pythonPort] = await freePorts(2);
const start = (name, command, args, port) => startProcess({
  name, command, args, env: { PORT: port }, logFile: join(directory, `${name}.log`), ready: `http://127.0.0.1:${port}/`,
});
const running = await Promise.all([
  start('everything', NODE, ['--import', join(ROOT, 'tests/clients/loopback.mjs'), EVERYTHING, 'sse'], everythingPort),
  start('python', PYTHON, [SCRIPT, 'serve'], pythonPort),
]);
/** What the stub sends on the stream, piece by piece, and what was posted to it. */
const hostile = { pieces: [], posted: [] };
const stub = await startStub(async (request, response) => {
  if (request.method === 'POST') {
    hostile.posted.push(request.url);
    request.resume().on('end', () => response.writeHead(202).end('Accepted'));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const piece of hostile.pieces) {
    response.write(piece);
    await sleep(20);
  }
});
const ports = { everything: everythingPort, python: pythonPort, stub: stub.port };
const path = (server) => `/${server}/sse`;
const fleet = await startFleet({ matrix: MODES, configure, edit: route });
after(async () => {
  await fleet.stop();
  for (const { stop } of [...running, stub]) await stop();
  rmSync(directory, { recursive: true });
});

const direct = (server) => `http://127.0.0.1:${ports[server]}/sse`;
const through = (stack, server) => stack.origin + path(server);
const token = (stack, server, claims = {}) => stack.token({ claims: { aud: through(stack, server), ...claims } });
const bearer = async (stack, server, claims) => ({ authorization: `Bearer ${await token(stack, server, claims)}` });

describe('TypeScript SDK 1.x at server-everything: both directions, every feature', () => {
  let expected;
  before(async () => {
    expected = await tour(direct('everything'), {}, httpSse);
    assert.deepEqual(expected.asked.map(({ method }) => method).sort(), ['elicitation/create', 'roots/list', 'sampling/createMessage']);
  });
  for (const stack of fleet.stacks) {
    test(stack.name, async () => {
      const seen = await tour(through(stack, 'everything'), await bearer(stack, 'everything'), httpSse);
      const refused = ['environment', 'image', 'no such tool'];
      for (const name of refused) assert.match(seen.steps[name].message, /HTTP 403/, name);
      for (const [name, outcome] of Object.entries(expected.steps)) {
        if (!refused.includes(name)) assert.deepEqual(withoutTasks(seen.steps[name]), withoutTasks(visible(outcome)), name);
      }
      assert.deepEqual(seen.asked, expected.asked);
      assert.deepEqual(seen.told, expected.told);
    });
  }
});

describe('Python SDK at its own server', () => {
  const visit = async (url, given) => JSON.parse((await promisify(execFile)(PYTHON, [SCRIPT, 'visit', url, given], { timeout: 60_000 })).stdout);
  let expected;
  before(async () => {
    expected = await visit(direct('python'), '');
    assert.equal(expected.denied, 'secret');
    assert.match(expected.roots, /^file:\/\/\/shelf/);
  });
  for (const stack of fleet.stacks) {
    test(stack.name, async () => {
      const { denied, ...seen } = await visit(through(stack, 'python'), await token(stack, 'python'));
      // It drops what is refused with an HTTP error, and waits.
      assert.ok(denied.error, denied);
      const { denied: _denied, tools, ...rest } = expected;
      assert.deepEqual(seen, { ...rest, tools: tools.filter((name) => !UNNAMED.includes(name)) });
    });
  }
});

describe('a client that tries Streamable HTTP first learns that it is not there', () => {
  for (const stack of fleet.stacks) {
    for (const server of ['everything', 'python']) {
      test(`${stack.name}, ${server}`, async () => {
        const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
        const { body } = rpcMessage('initialize', params, { era: '2025-11-25' });
        const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
        const { status } = await fetch(direct(server), { method: 'POST', headers, body });
        assert.ok([404, 405].includes(status), status);
        const response = await stack.send({ path: path(server), token: await token(stack, server), body });
        assert.equal(response.status, status, response.text);
      });
    }
  }
});

describe('a message is for a session of its sender', () => {
  for (const stack of fleet.stacks) {
    for (const server of ['everything', 'python']) {
      test(`${stack.name}, ${server}`, async () => {
        const stream = await open(stack, server);
        const url = await stream.endpoint();
        assert.match(url, new RegExp(`^/${server}${ANNOUNCED[server]}\\?sessionId=[\\w-]{60,}$`));
        const send = async (target, claims) => stack.send({
          path: target, token: await token(stack, server, claims), body: rpcMessage('ping', {}, { era: '2024-11-05', id: 9 }).body,
        });
        const foreign = await open(stack, server, { sub: 'bob' });
        const other = await foreign.endpoint();
        const forged = url.slice(0, -1) + (url.endsWith('A') ? 'B' : 'A');
        for (const target of [other, forged, `${url}&x=1`, url.split('?')[0]]) {
          const response = await send(target);
          assert.equal(response.status, 404, response.text);
          assert.equal((await stack.recordOf(response)).code, 'session_unknown');
        }
        assert.equal((await send(url, { sub: 'bob' })).status, 404);
        assert.equal((await stack.send({ path: url, body: '{}' })).status, 401);

        const response = await send(url);
        assert.equal(response.status, 202, response.text);
        await stream.until(/"id":9/);
        const record = await stack.recordOf(response);
        assert.deepEqual([record.outcome, record.method], ['allow', 'ping']);
        await Promise.all([stream, foreign].map((each) => each.close()));
        const opened = await stack.recordOf(stream.response);
        assert.deepEqual([opened.outcome, opened.session], ['allow', record.session]);
      });
    }
  }
});

describe('nothing of a hostile endpoint event passes', () => {
  const endpoint = (url) => `event: endpoint\ndata: ${url}\n\n`;
  const good = endpoint('/messages?sessionId=servers-own');
  const rows = {
    'another origin': [endpoint('https://evil.example/messages?sessionId=evil')],
    'an authority': [endpoint('//evil.example/messages?sessionId=evil')],
    'another path': [endpoint('/evil?sessionId=1')],
    'no session': [endpoint('/messages#evil')],
    'a message first': ['event: message\ndata: {"jsonrpc":"2.0","method":"evil"}\n\n', good],
    'a second one': [good, endpoint('/messages?sessionId=evil')],
    'a second one, after messages': [good, 'data: {"jsonrpc":"2.0","method":"fine"}\n\n', endpoint('https://evil.example/')],
    'a second one, in pieces': [good, 'eve', 'nt: end', 'point\ndata: ev', 'il\n\n'],
    'too long': [endpoint(`/messages?sessionId=evil${'x'.repeat(10_000)}`)],
  };
  for (const stack of fleet.stacks) {
    for (const [name, pieces] of Object.entries(rows)) {
      test(`${stack.name}: ${name}`, async () => {
        hostile.pieces = pieces;
        const stream = await open(stack, 'stub');
        const text = await stream.rest();
        assert.doesNotMatch(text, /evil|servers-own/);
        assert.equal(/event: endpoint/.test(text), pieces.length > 1 && pieces[0] === good, text);
        const record = await stack.recordOf(stream.response);
        assert.deepEqual([record.outcome, record.code], ['deny', 'session_unusable']);
      });
    }
    test(`${stack.name}: a good one, whose query alone goes upstream`, async () => {
      Object.assign(hostile, { pieces: [good], posted: [] });
      const stream = await open(stack, 'stub');
      const body = rpcMessage('tools/call', { name: 'echo', arguments: {} }, { era: '2024-11-05' }).body;
      const response = await stack.send({ path: await stream.endpoint(), token: await token(stack, 'stub'), body });
      assert.equal(response.status, 202);
      await stream.close();
      assert.deepEqual(hostile.posted, ['/messages?sessionId=servers-own']);
    });
  }
});

/** Opens a stream; `response` of it is for `recordOf`. */
async function open(stack, server, claims) {
  const controller = new AbortController();
  const response = await fetch(through(stack, server), {
    headers: { accept: 'text/event-stream', ...await bearer(stack, server, claims) }, signal: controller.signal,
  });
  assert.equal(response.status, 200);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const more = async () => {
    const { done, value } = await Promise.race([reader.read(), sleep(PATIENCE, 'late', { ref: false })]);
    assert.notEqual(value, undefined, `the stream ended after ${text}`);
    assert.ok(!done);
    text += value;
  };
  const until = async (pattern) => {
    while (!pattern.test(text)) await more();
    return pattern.exec(text);
  };
  return {
    response: { status: response.status, header: (name) => response.headers.get(name) ?? undefined },
    until,
    endpoint: async () => (await until(/event: endpoint\ndata: (\S+)\n\n/))[1],
    /** All that comes until it is cut off. */
    rest: async () => {
      await assert.rejects(async () => { for (;;) await more(); }, (error) => error.name !== 'AssertionError');
      return text;
    },
    close: async () => {
      controller.abort();
      await reader.cancel().catch(() => {});
    },
  };
}

/** A list without what policy hides; anything else as it is. */
function visible(result) {
  if (!Array.isArray(result?.tools)) return result;
  return { ...result, tools: result.tools.filter(({ name }) => ![...UNNAMED, SCOPED].includes(name)) };
}

/** Tasks are not in this policy, so they need not be announced. */
function withoutTasks(outcome) {
  if (!outcome?.capabilities) return outcome;
  const { tasks: _tasks, ...capabilities } = outcome.capabilities;
  return { ...outcome, capabilities };
}

/** The filter's configuration with the servers of this file, whose paths a route rewrites. */
function configure(configuration, { origin }) {
  const [{ dpop: _dpop, ...template }] = configuration.servers;
  configuration.servers = SERVERS.map((server) => ({
    ...template,
    resource: origin + path(server),
    http_sse: { messages_path: `/${server}${ANNOUNCED[server]}`, announced_path: ANNOUNCED[server] },
    methods: { allow: [...template.methods.allow, 'logging/setLevel'] },
    tools: {
      rules: [
        { names: ['echo', 'roots', 'get-a*', 'get-r*', 'get-s*', 'gzip-*', 'simulate-*', 'toggle-*', 'trigger-*'], scopes: ['mcp:connect'] },
        { names: [SCOPED], scopes: ['images:read'] },
      ],
    },
    prompts: { rules: [{ names: ['*'], scopes: ['mcp:connect'] }] },
    resources: { rules: [{ uris: ['*'], scopes: ['mcp:connect'] }] },
  }));
  return configuration;
}

/** A bootstrap with the ways to them, the query left as it is. */
function route({ static_resources: { listeners: [{ filter_chains: [{ filters: [{ typed_config: manager }] }] }], clusters } }) {
  const { routes } = manager.route_config.virtual_hosts[0];
  for (const server of SERVERS) {
    const cluster = structuredClone(clusters.find(({ name }) => name === 'mcp_typescript'));
    cluster.name = server;
    cluster.load_assignment.cluster_name = server;
    cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value = ports[server];
    clusters.push(cluster);
    for (const own of ['/sse', ANNOUNCED[server]]) {
      routes.push({
        match: { path: `/${server}${own}` },
        route: { cluster: server, prefix_rewrite: own, host_rewrite_literal: `127.0.0.1:${ports[server]}`, timeout: '0s' },
      });
    }
  }
}
