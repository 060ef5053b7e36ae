// Streams that are silent for an hour. Time is scaled: what the shipped bootstraps allow a silent
// stream, and how often servers break the silence, is divided by `SCALE` alike.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, describe, test } from 'node:test';

import { LEGACY, MODERN, MODES, openSession, rpcMessage, sleep, startFleet, startStub } from './support.mjs';

/** How much faster time goes here. */
const SCALE = 300;

/** The hour, in ms. */
const HOUR = 3_600_000 / SCALE;

/** How often the SDKs' servers send a comment to keep a stream open (15 s), in ms. */
const KEEP_ALIVE = 15_000 / SCALE;

/** How much later than it was sent a byte may come, in ms: far less than any buffer would hold it. */
const PROMPT = 1_000;

/** The settings that end a stream on which nothing happens. */
const LIMITS = ['stream_idle_timeout', 'idle_timeout', 'timeout', 'max_stream_duration', 'max_connection_duration'];

const NOTIFICATION = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"an hour later"}}';

// A stub, because no real server can be told when to be silent. It goes on when it is told to.
let connections = [];
const stub = await startStub((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => {
    const message = body && JSON.parse(body);
    if (message.method === 'initialize') {
      const result = { protocolVersion: LEGACY, capabilities: {}, serverInfo: { name: 'stub', version: '1' } };
      response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'stub-session' });
      return response.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }));
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    return connections.push(response);
  });
});
const fleet = await startFleet({
  matrix: MODES,
  ports: { mcp_typescript: stub.port },
  configure: (configuration) => {
    configuration.servers[0].methods.allow.push('subscriptions/listen');
    return configuration;
  },
  edit: ({ static_resources: { listeners: [{ filter_chains: [{ filters: [{ typed_config: manager }] }] }] } }) => scale(manager),
});
after(async () => {
  await fleet.stop();
  await stub.stop();
});

/** The streams on which a client waits for whatever comes. */
const STREAMS = {
  'GET of a session': async (stack) => ({
    method: 'GET',
    headers: [['accept', 'text/event-stream'], ['mcp-protocol-version', LEGACY], ['mcp-session-id', await openSession(stack)]],
  }),
  'subscriptions/listen': async () => ({
    method: 'POST', ...rpcMessage('subscriptions/listen', { notifications: { toolsListChanged: true } }),
  }),
};

describe('an hour of silence', { concurrency: true }, () => {
  for (const stack of fleet.stacks) {
    for (const [name, request] of Object.entries(STREAMS)) {
      test(`${stack.name}: ${name}, kept open by comments, each of which passes at once`, async () => {
        const { client, server } = await openStream(stack, await request(stack));
        const started = Date.now();
        let sent = 0;
        while (Date.now() - started < HOUR) {
          sent += 1;
          server.write(`: ${sent}\n\n`);
          await client.sees(`: ${sent}\n`);
          await sleep(KEEP_ALIVE);
        }
        await assertAlive(client, server);
        client.close();
      });

      test(`${stack.name}: ${name}, without a byte`, async () => {
        const { client, server } = await openStream(stack, await request(stack));
        await sleep(HOUR);
        await assertAlive(client, server);
        client.close();
      });
    }

    test(`${stack.name}: an answer that never comes is given up`, async () => {
      const { client } = await openStream(stack, { method: 'POST', ...rpcMessage('tools/call', { name: 'whoami', arguments: {} }) });
      await client.closed(HOUR);
    });
  }
});

describe('nothing is held back', () => {
  const call = (era) => rpcMessage('tools/call', { name: 'whoami', arguments: {} }, { era });
  const streams = {
    ...STREAMS,
    'a call': async () => ({ method: 'POST', ...call(MODERN) }),
    'a call in a session': async (stack) => {
      const { headers, body } = call(LEGACY);
      return { method: 'POST', headers: [...headers, ['mcp-session-id', await openSession(stack)]], body };
    },
  };
  for (const stack of fleet.stacks) {
    for (const [name, request] of Object.entries(streams)) {
      test(`${stack.name}: ${name}, the first byte of an event passes before the rest`, async () => {
        const { client, server } = await openStream(stack, await request(stack));
        for (const piece of [': ', 'hi', '\n', '\nid: 1\nda', 'ta: {"jsonrpc"', NOTIFICATION.slice(10), '\n', '\n']) {
          server.write(piece);
          await client.sees(piece);
        }
        client.close();
      });
    }
  }
});

/** Divides what the settings of `LIMITS` say, in place; the filter's own configuration is a text. */
function scale(node) {
  for (const [name, value] of Object.entries(node)) {
    if (LIMITS.includes(name)) node[name] = `${Number.parseFloat(value) / SCALE}s`;
    else if (value !== null && typeof value === 'object') scale(value);
  }
}

/** Opens a stream; `client` reads it, `server` is its response at the stub. */
async function openStream(stack, { method, headers, body = '' }) {
  const { host, hostname, port } = new URL(stack.origin);
  const socket = connect({ host: hostname, port: Number(port) });
  await once(socket, 'connect');
  const lines = [
    ['host', host], ['authorization', `Bearer ${await stack.token()}`],
    ...(body ? [
      ['content-type', 'application/json'], ['accept', 'application/json, text/event-stream'], ['content-length', body.length],
    ] : []),
    ...headers, ['x-test-stream', String(socket.localPort)],
  ];
  let received = '';
  let closed = false;
  socket.setEncoding('latin1').on('data', (chunk) => { received += chunk; }).on('close', () => { closed = true; }).on('error', () => {});
  socket.write(`${method} /typescript/mcp HTTP/1.1\r\n${lines.map((line) => `${line.join(': ')}\r\n`).join('')}\r\n${body}`);
  let at = 0;
  const client = {
    /** Waits for `text` in what came since the last call. */
    async sees(text, limit = PROMPT) {
      const deadline = Date.now() + limit;
      while (!received.slice(at).replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, '').includes(text)) {
        assert.ok(!closed, `closed after ${JSON.stringify(received.slice(-300))}`);
        assert.ok(Date.now() < deadline, `${JSON.stringify(text)} is held back; so far: ${JSON.stringify(received.slice(at))}`);
        await sleep(5);
      }
      at = received.length;
    },
    async closed(limit) {
      const deadline = Date.now() + limit;
      while (!closed) {
        assert.ok(Date.now() < deadline, 'still open');
        await sleep(20);
      }
    },
    close: () => socket.destroy(),
  };
  await client.sees('200 OK', 10_000);
  const own = (response) => response.req.headers['x-test-stream'] === String(socket.localPort);
  const server = connections.find(own);
  connections = connections.filter((response) => !own(response));
  return { client, server };
}

async function assertAlive(client, server) {
  server.write(`data: ${NOTIFICATION}\n\n`);
  await client.sees('an hour later');
}
