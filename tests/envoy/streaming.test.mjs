// Streams pass as they come. The server holds back the second half of an event until the client
// has the first one, so a filter that waits for the whole event makes both wait in vain.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, describe, test } from 'node:test';

import { LEGACY, MODERN, resourceUrl, rpcMessage, sleep, startFleet, startStub } from './support.mjs';

/** How long either end waits for the other, in ms. */
const PATIENCE = 5_000;

const EVENT = `id: 1\nevent: message\ndata: ${JSON.stringify({
  jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'first half, second half' },
})}\n\n`;
const HALF = EVENT.indexOf('second half');

/** What the client of the running test has told the server. */
let acknowledged;

const stub = await startStub(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (body.includes('"initialize"')) {
    const result = { protocolVersion: LEGACY, capabilities: {}, serverInfo: { name: 'stub', version: '1' } };
    response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'session-of-the-stub' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result }));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  // The first byte by itself, then the rest of the half.
  for (const [from, to] of [[0, 1], [1, HALF]]) {
    response.write(EVENT.slice(from, to));
    if (!(await acknowledged.reaches(to))) {
      response.destroy();
      return;
    }
  }
  response.end(EVENT.slice(HALF));
});
const fleet = await startFleet({ ports: { mcp_typescript: stub.port } });
after(async () => {
  await fleet.stop();
  await stub.stop();
});

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    const call = (era) => rpcMessage('tools/call', { name: 'search_docs', arguments: { query: 'x' } }, { era });

    test('the answer to a call, 2026-07-28', async () => {
      await assertStreams(stack, { method: 'POST', token: await stack.token(), ...call(MODERN) });
    });

    test('the answer to a call in a session', async () => {
      const token = await stack.token();
      const { headers, body } = call(LEGACY);
      const session = await openSession(stack, token);
      await assertStreams(stack, { method: 'POST', token, headers: [...headers, session], body });
    });

    test('the GET stream of a session', async () => {
      const token = await stack.token();
      const session = await openSession(stack, token);
      await assertStreams(stack, { method: 'GET', token, headers: [['mcp-protocol-version', LEGACY], session] });
    });
  });
}

/** Sends a request, acknowledges what comes, and compares the whole stream at its end. */
async function assertStreams(stack, { method, token, headers, body }) {
  acknowledged = acknowledgements();
  const sent = request(resourceUrl(stack.origin, 'typescript'), {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/json, text/event-stream',
      ...(body && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...Object.fromEntries(headers),
    },
    signal: AbortSignal.timeout(3 * PATIENCE),
  });
  sent.end(body);
  const [response] = await once(sent, 'response');
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk;
      acknowledged.have(text.length);
    }
  } catch (error) {
    assert.fail(`${error.message} after ${JSON.stringify(text)}`);
  }
  assert.equal(response.statusCode, 200, text);
  assert.equal(text, EVENT);
}

/** What the client has told the server, beside the stream, of the bytes it has. */
function acknowledgements() {
  let bytes = 0;
  let wake = () => {};
  return {
    have: (number) => {
      bytes = number;
      wake();
    },
    /** Whether the client had that many before patience ended. */
    reaches: async (number) => {
      const deadline = Date.now() + PATIENCE;
      while (bytes < number && Date.now() < deadline) {
        await Promise.race([new Promise((resolve) => { wake = resolve; }), sleep(deadline - Date.now(), undefined, { ref: false })]);
      }
      return bytes >= number;
    },
  };
}

/** Opens a session; returns the header that continues it. */
async function openSession(stack, token) {
  const params = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
  const response = await stack.send({ token, body: rpcMessage('initialize', params, { era: LEGACY }).body });
  assert.equal(response.status, 200, response.text);
  return ['mcp-session-id', response.header('mcp-session-id')];
}
