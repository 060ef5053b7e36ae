// What the servers that stand for a vendor's have in common with the OAuth servers of the demo: a
// front that counts and breaks answers, an admin seam, a line for each request.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

import { createAdmin } from '../idp/admin.mjs';
import { Front } from '../idp/front.mjs';

/**
 * Listens at `port`, and with ADMIN_PORT at that one for the admin seam, with the routes `more`
 * besides. `answer` takes a request and returns `[status, body, headers?]`; `name` says for whom
 * the server stands.
 *
 * Returns `{ front }`.
 */
export function startVendor({ name, port, keys, answer, more }) {
  const log = (entry) => console.log(JSON.stringify({ time: new Date().toISOString(), ...entry }));
  const front = new Front(log);
  front.provider = async (request, response) => {
    const [status, body, headers] = await answer(request).catch((error) => {
      log({ event: 'server_error', error: error.stack });
      return [500, { error: 'server_error' }];
    });
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }).end(JSON.stringify(body));
  };
  const { ADMIN_PORT } = process.env;
  if (ADMIN_PORT) createAdmin({ keys, front, more }).listen(Number(ADMIN_PORT), '127.0.0.1');
  createServer(front.listen).listen(Number(port), '127.0.0.1', () => log({ event: 'listening', name }));
  process.once('SIGTERM', () => process.exit());
  return { front };
}

/** The parameters of a form, or of the JSON that some vendors take as well. */
export async function formOf(request) {
  const text = (await request.toArray()).join('');
  const json = request.headers['content-type']?.startsWith('application/json');
  return json ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text));
}

/** An identifier that follows from `parts`, and says nothing of them. */
export function digest(...parts) {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
