// The tap is what other tests trust when they say that nothing reached the server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createTap } from '../servers/typescript/tap.mjs';

let server;
let control;

before(async () => {
  server = createServer((request, response) => request.resume().on('end', () => response.end('ok')));
  control = createTap(server);
  await Promise.all([server, control].map((each) => once(each.listen(0, '127.0.0.1'), 'listening')));
});
after(() => [server, control].forEach((each) => each.close().closeAllConnections()));
beforeEach(() => fetch(requestsUrl(), { method: 'DELETE' }));

test('keeps duplicate headers, their order and spelling', async () => {
  await send('POST /mcp HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}');
  const [entry] = await requests();
  assert.deepEqual(entry.headers.slice(1, 3), [['X-One', '1'], ['x-one', '2']]);
});

test('has the body without taking it from the server', async () => {
  const response = await fetch(`http://127.0.0.1:${server.address().port}/mcp`, { method: 'POST', body: 'grüße' });
  assert.equal(await response.text(), 'ok');
  const [entry] = await requests();
  assert.deepEqual([entry.method, entry.url, entry.bytes, entry.body, entry.state], ['POST', '/mcp', 7, 'grüße', 'complete']);
});

test('tells an aborted request from a complete one', async () => {
  const socket = connect(server.address().port, '127.0.0.1');
  socket.write('POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
  await until(async () => (await requests())[0]?.bytes === 4);
  assert.equal((await requests())[0].state, 'open');
  socket.destroy();
  await until(async () => (await requests())[0].state === 'aborted');
});

test('sees a CONNECT', async () => {
  await send('CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await requests())[0].method, 'CONNECT');
});

test('forgets when told to', async () => {
  await fetch(`http://127.0.0.1:${server.address().port}/`);
  assert.equal((await requests()).length, 1);
  await fetch(requestsUrl(), { method: 'DELETE' });
  assert.deepEqual(await requests(), []);
});

function requestsUrl() {
  return `http://127.0.0.1:${control.address().port}/requests`;
}

async function requests() {
  return (await fetch(requestsUrl())).json();
}

async function send(bytes) {
  const socket = connect(server.address().port, '127.0.0.1');
  socket.end(bytes);
  await once(socket.resume(), 'close');
}

async function until(holds) {
  for (let i = 0; i < 100; i += 1) {
    if (await holds()) return;
    await sleep(20);
  }
  assert.fail('never came true');
}
