// The admin seam of an OAuth server, on a loopback port of its own: what the operator of a real
// one does at its console, and what tests need to know or to break.
//
//   GET    /keys           [{ kid, alg }], the signing key first
//   POST   /keys           adds a key, published and not signing yet; { kid }
//   PUT    /keys/KID       signs with it from now on
//   DELETE /keys/KID       publishes it no longer
//   PUT    /revocations    the entries of the revocation list
//   PUT    /answers        { PATH: answer }, see `Front.answers`; {} undoes
//   GET    /requests       { PATH: count }; DELETE starts again from nothing
//   GET    /grants         { GRANT_TYPE: { issued, refused } }, see `Front.grants`; DELETE as above

import { createServer } from 'node:http';

/**
 * `rotated` is called after the keys changed, and before the request that did it is answered;
 * `more` has other routes.
 */
export function createAdmin({ keys, front, rotated = () => {}, more = {} }) {
  const routes = {
    'GET /keys': () => keys.list.map(({ kid, alg }) => ({ kid, alg })),
    'POST /keys': async () => ({ kid: await keys.add() }),
    'PUT /keys/': (_body, kid) => keys.signWith(kid),
    'DELETE /keys/': (_body, kid) => keys.remove(kid),
    'PUT /revocations': (body) => { front.revoked = body; },
    'PUT /answers': (body) => { front.answers = body; },
    'GET /requests': () => front.counts,
    'DELETE /requests': () => { front.counts = {}; },
    'GET /grants': () => front.grants,
    'DELETE /grants': () => { front.grants = {}; },
    ...more,
  };
  return createServer(async (request, response) => {
    const [, resource, id] = request.url.split('/');
    const route = routes[`${request.method} /${resource}${id ? '/' : ''}`];
    try {
      if (!route) throw new Error('no such request');
      const text = (await request.toArray()).join('');
      const result = await route(text && JSON.parse(text), id);
      if (resource === 'keys') rotated();
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result ?? null));
    } catch (error) {
      response.writeHead(400, { 'content-type': 'text/plain' }).end(error.message);
    }
  });
}
