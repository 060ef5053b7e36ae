// The suite cannot send a token. This proxy adds one and changes nothing else.

import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';

/**
 * Listens on `port` of loopback and forwards everything to `origin`, with one more header line:
 * `Authorization: Bearer <token>`.
 *
 * Header lines go both ways as they came: their order, their case and their number, wrong ones and
 * missing ones too. Bodies are streamed, and who disconnects is disconnected on the other side.
 * Returns `{ stop() }`.
 */
export async function startShim({ port, origin, token }) {
  const { hostname, port: target } = new URL(origin);
  const agent = new Agent({ keepAlive: true });
  const server = createServer({ requireHostHeader: false }, (received, answer) => {
    const { method, url: path, rawHeaders } = received;
    // Every header line of an answer is the other side's, `Date` included.
    answer.sendDate = false;
    const headers = [...rawHeaders, 'Authorization', `Bearer ${token}`];
    const sent = request({ agent, hostname, port: target, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode, response.statusMessage, response.rawHeaders);
      // The head of a stream that is silent for now.
      answer.flushHeaders();
      response.on('error', () => answer.destroy());
      response.pipe(answer);
    });
    sent.on('error', () => answer.destroy());
    answer.on('close', () => sent.destroy());
    received.pipe(sent);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    stop: async () => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}
