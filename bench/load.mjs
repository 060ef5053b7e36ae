// Both ends of the Envoy that is measured: a client with a few connections that stay open, and an
// upstream that always answers the same. Both run in this process, whose CPU time does not count.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const HEAD_END = '\r\n\r\n';

/** What is shown of an answer that is not the expected one, in bytes. */
const EXCERPT = 600;

/** How long a batch may make no progress, in ms. Nothing here takes that long unless it hangs. */
const SILENCE_LIMIT = 20_000;

/** The upstream's answer to every request. */
const ANSWER = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: 'ok' }] } }));
const RESPONSE = Buffer.concat([
  Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${ANSWER.length}${HEAD_END}`),
  ANSWER,
]);

/** Starts the upstream on a free loopback port: `{ port, stop() }`. */
export async function startUpstream() {
  const sockets = new Set();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Envoy closes connections when it stops, and its requests then fail where they are checked.
    socket.on('error', () => {});
    messages(socket, () => socket.write(RESPONSE));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Connections to one listener, which stay open from batch to batch; one request at a time on each. */
export class Client {
  static async open(port, connections) {
    const sockets = Array.from({ length: connections }, () => connect({ port, host: '127.0.0.1', noDelay: true }));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    return new Client(sockets);
  }

  constructor(sockets) {
    this.sockets = sockets;
    for (const socket of sockets) {
      socket.on('error', (error) => this.fail?.(error));
      socket.on('close', () => this.fail?.(new Error('connection closed')));
      messages(socket, (head, body) => this.answered(socket, head, body));
    }
  }

  /**
   * Sends all `requests` (Buffers), each as soon as a connection is free, and returns when all are
   * answered. Throws at the first answer that is not status 200 with the upstream's own body: a
   * denial may be cheap, and may travel in a 200.
   */
  async send(requests) {
    await new Promise((resolve, reject) => {
      Object.assign(this, { requests, next: 0, left: requests.length, done: resolve, fail: reject });
      this.timer = setTimeout(() => reject(new Error(`no answer in ${SILENCE_LIMIT} ms`)), SILENCE_LIMIT);
      for (const socket of this.sockets) this.sendNext(socket);
    }).finally(() => {
      this.fail = undefined;
      clearTimeout(this.timer);
    });
  }

  close() {
    for (const socket of this.sockets) socket.destroy();
  }

  sendNext(socket) {
    if (this.next < this.requests.length) socket.write(this.requests[this.next++]);
  }

  answered(socket, head, body) {
    if (!head.startsWith('HTTP/1.1 200 ') || !body.equals(ANSWER)) {
      this.fail?.(new Error(`an answer that is not the upstream's 200: ${head}${HEAD_END}${body}`.slice(0, EXCERPT)));
      return;
    }
    this.timer.refresh();
    this.left -= 1;
    if (this.left === 0) this.done();
    else this.sendNext(socket);
  }
}

/** Calls `handle` with the head, as text, and the body of each HTTP/1.1 message with a `content-length`. */
function messages(socket, handle) {
  let pending = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    pending = pending.length ? Buffer.concat([pending, chunk]) : chunk;
    for (;;) {
      const end = pending.indexOf(HEAD_END);
      if (end < 0) return;
      const head = pending.latin1Slice(0, end);
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      if (length === undefined) {
        socket.destroy(new Error(`a message without content-length: ${head.slice(0, EXCERPT)}`));
        return;
      }
      const start = end + HEAD_END.length;
      const next = start + Number(length);
      if (pending.length < next) return;
      handle(head, pending.subarray(start, next));
      pending = pending.subarray(next);
    }
  });
}
