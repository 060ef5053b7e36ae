// What stands between the network and the provider: counts requests, serves the revocation list,
// and gives other answers than the provider's where it was told to.

import { setTimeout as sleep } from 'node:timers/promises';

/** Where the revocation list is. */
export const REVOCATIONS = '/revocations';

/** Events of a provider that are worth a line. */
const REFUSALS = [
  'authorization.error', 'grant.error', 'introspection.error', 'registration_create.error', 'revocation.error', 'server_error',
];

export class Front {
  /** The request listener behind. Another one takes over with the next request. */
  provider;

  /** Entries of the revocation list; README.md of the repository has their members. */
  revoked = [];

  /** Requests so far, by path. */
  counts = {};

  /** Token requests that were answered, by grant type: `{ issued, refused }`. */
  grants = {};

  /**
   * What to answer instead, by path: `{ delay, close, headers, status, body }`, all optional.
   * `delay` in ms comes first; `close` ends the connection without a word; `headers` are added to
   * the real answer unless there is a `status`.
   */
  answers = {};

  #log;

  constructor(log) {
    this.#log = log;
  }

  /** Puts an `oidc-provider` behind. */
  serve(provider) {
    for (const event of REFUSALS) {
      provider.on(event, (_ctx, error) => {
        this.#log({ event, error: error.message, detail: error.error_description ?? error.stack });
      });
    }
    provider.on('grant.success', (ctx) => this.countGrant(ctx.oidc.params.grant_type, 'issued'));
    provider.on('grant.error', (ctx) => this.countGrant(ctx.oidc.params?.grant_type, 'refused'));
    this.provider = provider.callback();
  }

  /** Counts a token request; `outcome` is `issued` or `refused`. */
  countGrant(type = 'none', outcome) {
    this.grants[type] ??= { issued: 0, refused: 0 };
    this.grants[type][outcome] += 1;
  }

  /** The listener for `node:http` and `node:https`. */
  listen = async (request, response) => {
    const path = request.url.split('?', 1)[0];
    this.counts[path] = (this.counts[path] ?? 0) + 1;
    response.on('finish', () => this.#log({ method: request.method, path, status: response.statusCode }));

    const { delay = 0, close, headers = {}, status, body = '' } = this.answers[path] ?? {};
    if (delay) await sleep(delay);
    if (close) return request.destroy();
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (status !== undefined) return response.writeHead(status).end(body);
    if (path !== REVOCATIONS) return this.provider(request, response);
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ revoked: this.revoked }));
  };
}
