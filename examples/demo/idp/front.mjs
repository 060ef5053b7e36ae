// What stands between the network and the provider: counts requests, serves the revocation list,
// and gives other answers than the provider's where it was told to.

import { setTimeout as sleep } from 'node:timers/promises';

/** Where the revocation list is. */
export const REVOCATIONS = '/revocations';

export class Front {
  /** The provider's request listener. Another one takes over with the next request. */
  provider;

  /** Entries of the revocation list; README.md of the repository has their members. */
  revoked = [];

  /** Requests so far, by path. */
  counts = {};

  /**
   * What to answer instead, by path: `{ delay, headers, status, body }`, all optional. `delay` in
   * ms comes first; `headers` are added to the real answer unless there is a `status`.
   */
  answers = {};

  #log;

  constructor(log) {
    this.#log = log;
  }

  /** The listener for `node:http` and `node:https`. */
  listen = async (request, response) => {
    const path = request.url.split('?', 1)[0];
    this.counts[path] = (this.counts[path] ?? 0) + 1;
    response.on('finish', () => this.#log({ method: request.method, path, status: response.statusCode }));

    const { delay = 0, headers = {}, status, body = '' } = this.answers[path] ?? {};
    if (delay) await sleep(delay);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (status !== undefined) {
      response.writeHead(status).end(body);
    } else if (path === REVOCATIONS) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ revoked: this.revoked }));
    } else {
      this.provider(request, response);
    }
  };
}
