// Sends cases to one server, in sessions where they are of one.

import { JSON_TYPE, LEGACY, OPENING } from './messages.mjs';
import { Lane } from './wire.mjs';

/** Connections to each server at a time. */
const LANES = 4;

/** The value of `X-Case` by which a server's record finds its case. */
export function caseId(target, index) {
  return `${target}.${index}`;
}

/**
 * Sends all cases in several lanes, each with its own session, one request at a time in each.
 *
 * The target is `{ name, url, sessionUrl, extra }`, `extra` being headers for all; without
 * `sessionUrl` the cases in sessions are left out. Calls `done(index, response)`, see `Lane.post`.
 */
export async function send({ name, url, sessionUrl, extra = [] }, cases, done) {
  let next = 0;
  await Promise.all(Array.from({ length: LANES }, async () => {
    const plain = new Lane(url);
    const session = sessionUrl && new SessionLane(sessionUrl, extra);
    for (let index = next++; index < cases.length; index = next++) {
      const { headers, body, session: inSession } = cases[index];
      if (inSession && !session) continue;
      const lines = [['x-case', caseId(name, index)], ['accept', 'application/json, text/event-stream'], ...extra, ...headers];
      done(index, await (inSession ? session : plain).post(lines, body));
    }
    plain.close();
    session?.close();
  }));
}

/** A lane whose requests belong to a session, which is opened when there is none any more. */
class SessionLane {
  #lane;
  #extra;
  #session;

  constructor(url, extra) {
    this.#lane = new Lane(url);
    this.#extra = extra;
  }

  async post(headers, body) {
    this.#session ??= await this.#open();
    const response = await this.#lane.post([...headers, ['mcp-session-id', this.#session]], body);
    if (response.status !== 404) return response;
    // A hostile message ended the session: the next one needs its own.
    this.#session = undefined;
    return response;
  }

  async #open() {
    const lines = [['x-case', 'opening'], ['accept', 'application/json, text/event-stream'], JSON_TYPE, ...this.#extra];
    const [initialize, initialized] = OPENING.map((message) => Buffer.from(JSON.stringify(message)));
    const response = await this.#lane.post(lines, initialize);
    const id = response.headers['mcp-session-id'];
    if (!id) throw new Error(`${this.#lane.url} opened no session: ${response.status} ${response.text}`);
    await this.#lane.post([...lines, ['mcp-protocol-version', LEGACY], ['mcp-session-id', id]], initialized);
    return id;
  }

  close() {
    this.#lane.close();
  }
}
