// The shim adds a token and changes nothing else.

import assert from 'node:assert/strict';
import test from 'node:test';

import { exchange, freePorts, startStub } from '../envoy/support.mjs';
import { startShim } from './shim.mjs';

/** Sends `head` and `body` through a shim to `handler`. */
async function through(handler, head, { body = '', limit } = {}) {
  const stub = await startStub(handler);
  const [port] = await freePorts(1);
  const shim = await startShim({ port, origin: `http://127.0.0.1:${stub.port}`, token: 'a.b.c' });
  try {
    return await exchange(`http://127.0.0.1:${port}`, [Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1')], { limit });
  } finally {
    await shim.stop();
    await stub.stop();
  }
}

test('header lines arrive as they were sent, with the token after them', async () => {
  const sent = [
    'Host', 'evil.example.com', 'ORIGIN', 'http://evil.example.com', 'Mcp-Name', 'one', 'mcp-name', 'two',
    'Connection', 'close', 'Content-Length', '2',
  ];
  const lines = sent.flatMap((name, index) => (index % 2 ? [] : `${name}: ${sent[index + 1]}`));
  let received;
  const handler = (request, response) => {
    received = request.rawHeaders;
    response.end();
  };
  await through(handler, ['POST /python/mcp HTTP/1.1', ...lines], { body: '{}' });
  assert.deepEqual(received, [...sent, 'Authorization', 'Bearer a.b.c']);
});

test('the answer arrives as it was given', async () => {
  const handler = (_, response) => {
    response.sendDate = false;
    response.writeHead(404, 'Gone Fishing', ['Mcp-Session-Id', 'x', 'X-Twice', '1', 'x-twice', '2', 'Content-Length', '2']);
    response.end('no');
  };
  const { raw, text } = await through(handler, ['GET /python/mcp HTTP/1.1', 'Host: h', 'Connection: close']);
  assert.match(raw, /^HTTP\/1.1 404 Gone Fishing\r\nMcp-Session-Id: x\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: 2/);
  assert.equal(text, 'no');
});

test('an event passes while the stream goes on', async () => {
  let end;
  const handler = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    end = new Promise((resolve) => response.on('close', () => resolve(response.writableFinished)));
  };
  const head = ['GET /python/mcp HTTP/1.1', 'Host: h'];
  await assert.rejects(through(handler, head, { limit: 500 }), /data: 1/);
  assert.equal(await end, false, 'who disconnects is disconnected on the other side');
});
