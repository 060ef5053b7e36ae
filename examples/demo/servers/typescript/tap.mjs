// The tap: what really arrived at the server's socket. A test that claims "nothing reached the
// server" asks here, beneath the SDK, which would not notice a request it refuses.

import { createServer } from 'node:http';

/**
 * Remembers in memory each request that `server` (of `node:http`) receives.
 *
 * Returns a second server with `GET /requests` (the list, oldest first) and `DELETE /requests`
 * (forget). An entry is `{ method, url, headers, bytes, body, state }`: `headers` are
 * `[name, value]` pairs in the order and spelling received, duplicates and all; `bytes` counts the
 * body received so far and `body` is its text (UTF-8); `state` is `open`, `complete` (the whole
 * request came) or `aborted`.
 */
export function createTap(server) {
  const requests = [];
  server.prependListener('request', (request) => requests.push(record(request)));
  // Node drops a CONNECT that nobody listens for; it must be seen, too.
  server.on('connect', (request, socket) => {
    requests.push(record(request));
    socket.destroy();
  });
  return createServer((request, response) => {
    if (request.url !== '/requests') return response.writeHead(404).end();
    if (request.method === 'DELETE') {
      requests.length = 0;
      return response.writeHead(204).end();
    }
    const entries = requests.map(({ chunks, ...entry }) => {
      const body = Buffer.concat(chunks);
      return { ...entry, bytes: body.length, body: body.toString() };
    });
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(entries));
  });
}

function record(request) {
  const { method, url, rawHeaders } = request;
  const headers = [];
  for (let i = 0; i < rawHeaders.length; i += 2) headers.push([rawHeaders[i], rawHeaders[i + 1]]);
  const entry = { method, url, headers, chunks: [], state: 'open' };

  // A 'data' listener would start the flow before the SDK listens and take its bytes away; the
  // parser hands every chunk over through `push`, so that is where to look on.
  const push = request.push;
  request.push = function observedPush(chunk, ...rest) {
    if (chunk) entry.chunks.push(chunk);
    else entry.state = 'complete';
    return push.call(this, chunk, ...rest);
  };
  request.on('close', () => {
    if (!request.complete) entry.state = 'aborted';
  });
  return entry;
}
