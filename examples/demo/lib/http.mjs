// One POST, also with a client certificate, which `fetch` cannot show.

import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';

/**
 * Posts `body` on a connection of its own. `tls` is what `node:https` takes: `ca`, and the
 * client's `cert` and `key`.
 *
 * Returns `{ status, headers, text }`: `headers` a Fetch `Headers`.
 */
export async function post(url, { headers, body, tls = {} }) {
  const { request } = url.startsWith('https:') ? https : http;
  const outgoing = request(url, { method: 'POST', headers, agent: false, ...tls }).end(body);
  const [incoming] = await once(outgoing, 'response');
  const lines = Object.entries(incoming.headersDistinct).flatMap(([name, values]) => values.map((value) => [name, value]));
  return { status: incoming.statusCode, headers: new Headers(lines), text: Buffer.concat(await incoming.toArray()).toString() };
}
