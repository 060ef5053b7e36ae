// Lists show what their reader may use, however the server frames them.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { LEGACY, MATRIX, MODERN, openSession as newSession, rpcMessage, startFleet, startStub } from './support.mjs';

const CONNECT = 'mcp:connect';
const READ = 'mcp:connect docs:read';
const ADMIN = 'mcp:connect docs:read docs:admin';

const fleet = await startFleet({ matrix: MATRIX });
after(() => fleet.stop());

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    const list = async (method, { scope, ...options }) => stack.rpc(method, {}, {
      token: await stack.token({ scope, server: options.server ?? 'typescript' }), ...options,
    });

    for (const [scope, tools] of [
      [CONNECT, ['whoami']],
      [READ, ['read_doc', 'search_docs', 'whoami']],
      [ADMIN, ['delete_doc', 'read_doc', 'search_docs', 'whoami']],
    ]) {
      for (const [server, era, type] of [
        ['typescript', MODERN, 'application/json'], ['typescript', LEGACY, 'text/event-stream'], ['python', MODERN, 'application/json'],
      ]) {
        test(`tools/list for "${scope}", ${server}, ${era}, ${type}`, async () => {
          const response = await list('tools/list', { scope, server, era });
          assert.equal(response.status, 200, response.text);
          assert.equal(response.header('content-type').split(';')[0], type);
          assert.deepEqual(response.json.result.tools.map(({ name }) => name).sort(), tools);
          // Not only out of the list, but out of the bytes.
          assert.doesNotMatch(response.text, /internal_debug/);
          for (const tool of response.json.result.tools) assert.ok(tool.inputSchema, 'what stays, stays whole');
          assert.ok(response.complete);
        });
      }

      test(`tools/list for "${scope}" in a session of the Python server`, async () => {
        const session = await openSession(stack, scope);
        const response = await list('tools/list', { scope, server: 'python', era: LEGACY, headers: [['mcp-session-id', session]] });
        assert.equal(response.status, 200, response.text);
        assert.deepEqual(response.json.result.tools.map(({ name }) => name).sort(), tools);
        assert.doesNotMatch(response.text, /internal_debug/);
      });
    }

    for (const [method, member] of [['prompts/list', 'prompts'], ['resources/list', 'resources']]) {
      for (const server of ['typescript', 'python']) {
        test(`${method}, ${server}`, async () => {
          const full = await list(method, { scope: READ, server });
          assert.ok(full.json.result[member].length > 0, full.text);
          const none = await list(method, { scope: CONNECT, server });
          assert.deepEqual(none.json.result[member], []);
          assert.doesNotMatch(none.text, /summarize|docs:\/\//);
        });
      }
    }

    test('pipelock_436: a client that asks for compression gets a filtered list', async () => {
      const response = await list('tools/list', { scope: CONNECT, headers: [['accept-encoding', 'gzip, br']] });
      assert.deepEqual(response.json.result.tools.map(({ name }) => name), ['whoami']);
    });

    test('what a list hides cannot be called either', async () => {
      const token = await stack.token({ scope: ADMIN });
      for (const era of [MODERN, LEGACY]) {
        await stack.forget();
        const response = await stack.rpc('tools/call', { name: 'internal_debug', arguments: {} }, { era, token });
        assert.equal(response.status, 200);
        assert.equal(response.json.error.code, -32602);
        await stack.assertNothingReached();
      }
    });
  });
}

// A stub, because the real servers of the demo keep no events to replay.
describe('a GET stream cannot show an unfiltered list', async () => {
  const tools = ['whoami', 'internal_debug', 'delete_doc'].map((name) => ({ name, inputSchema: {} }));
  const replay = JSON.stringify({ jsonrpc: '2.0', id: 7, result: { tools } });
  const notification = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'hello' } });
  const framings = {
    'one event': `id: 1\ndata: ${replay}\n\n`,
    'CR LF': `id: 1\r\nevent: message\r\ndata: ${replay}\r\n\r\n`,
    'several data lines': `data: ${replay.replace('"result"', '\ndata: "result"')}\n\n`,
    'after a notification': `: hi\n\ndata: ${notification}\n\ndata: ${replay}\n\n`,
  };
  let text;
  let split;
  const stub = await startStub(async (request, response) => {
    if (request.method === 'POST') {
      response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 's' });
      request.resume().on('end', () => response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} })));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let at = 0; at < text.length; at += split) {
      response.write(text.slice(at, at + split));
      // Each piece is a callback of its own for the filter.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    response.end();
  });
  const own = await startFleet({ ports: { mcp_typescript: stub.port } });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  for (const stack of own.stacks) {
    for (const [name, framing] of Object.entries(framings)) {
      for (const size of [10_000, 7]) {
        test(`${stack.name}: ${name}, in pieces of ${size}`, async () => {
          text = framing;
          split = size;
          const session = await newSession(stack);
          const response = await stack.send({
            method: 'GET',
            token: await stack.token({ scope: CONNECT }),
            headers: [['accept', 'text/event-stream'], ['mcp-protocol-version', LEGACY], ['mcp-session-id', session], ['last-event-id', '1']],
          });
          assert.equal(response.status, 200, response.text);
          assert.doesNotMatch(response.text, /internal_debug|delete_doc/);
          assert.deepEqual(response.json.result.tools.map((tool) => tool.name), ['whoami']);
          if (name === 'after a notification') assert.match(response.text, /hello/);
        });
      }
    }
  }
});

/** Opens a session of the revisions up to 2025-11-25 at the Python server; returns its id. */
async function openSession(stack, scope) {
  const token = await stack.token({ scope, server: 'python' });
  const params = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
  const response = await stack.send({ server: 'python', token, body: rpcMessage('initialize', params, { era: LEGACY }).body });
  assert.equal(response.status, 200, response.text);
  const session = response.header('mcp-session-id');
  assert.ok(session);
  const { headers, body } = rpcMessage('notifications/initialized', {}, { era: LEGACY, id: undefined });
  // `id: undefined` takes the default; a notification has none.
  const told = await stack.send({
    server: 'python', token, headers: [...headers, ['mcp-session-id', session]], body: body.replace('"id":1,', ''),
  });
  assert.equal(told.status, 202, told.text);
  return session;
}
