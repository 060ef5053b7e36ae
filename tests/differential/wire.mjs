// A client that sends the headers and the bytes it is told to, one request at a time on a
// connection that stays open.

import { Agent, request as httpRequest } from 'node:http';

/** Longest wait for the head of an answer, in ms. What takes longer counts as no answer. */
const HEAD_LIMIT = 3_000;

/** Longest wait for the rest, in ms: a subscription's stream never ends. */
const BODY_LIMIT = 150;

/** One connection to `url` at a time. */
export class Lane {
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(url) {
    this.url = new URL(url);
  }

  /**
   * Posts `body` with `headers`, which are `[name, value]` pairs with all their duplicates.
   *
   * Resolves to `{ status, headers, text }`, `headers` as `node:http` has them; `status` is 0
   * where there was no answer.
   */
  async post(headers, body) {
    const response = await this.#try(headers, body);
    // A server may close a connection just when it is used again; nothing was read then.
    return response.status === 0 && response.reset ? this.#try(headers, body) : response;
  }

  #try(headers, body) {
    return new Promise((resolve) => {
      const chunks = [];
      let incoming;
      let timer;
      const finish = (outcome = {}) => {
        clearTimeout(timer);
        resolve({ status: incoming?.statusCode ?? 0, headers: incoming?.headers ?? {}, text: Buffer.concat(chunks).toString(), ...outcome });
      };
      const outgoing = httpRequest({
        host: this.url.hostname,
        port: this.url.port,
        path: this.url.pathname,
        method: 'POST',
        agent: this.#agent,
        headers: [['host', this.url.host], ['content-length', String(body.length)], ...headers].flat(),
      });
      const giveUp = () => {
        finish();
        outgoing.destroy();
      };
      timer = setTimeout(giveUp, HEAD_LIMIT);
      outgoing.on('error', (error) => finish({ reset: error.code === 'ECONNRESET' || error.code === 'EPIPE' }));
      outgoing.on('response', (response) => {
        incoming = response;
        clearTimeout(timer);
        timer = setTimeout(giveUp, BODY_LIMIT);
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => finish());
        response.on('error', () => finish());
      });
      outgoing.end(body);
    });
  }

  close() {
    this.#agent.destroy();
  }
}

/** The value of `Mcp-Name`: plain where a header can carry it, else in its Base64 form. */
export function nameHeader(name) {
  return /^[!-~](?:[ -~]*[!-~])?$/.test(name) && !name.startsWith('=?base64?') ? name : `=?base64?${Buffer.from(name).toString('base64')}?=`;
}
