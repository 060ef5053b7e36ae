// Proofs are good once (RFC 9449, 11.1), whichever worker and connection they come to.

import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';

import { bound, confirmation, connectionManager, connectionsByWorker, dpop, inParallel, rpcMessage, startFleet } from './support.mjs';

const PROOFS = 10_000;

/** Each proof is sent this often at the same time, on different connections, */
const AT_ONCE = 2;

/** and once more when all of them were answered. */
const LATER = 1;

const WORKERS = 4;

/** Enough that the kernel gives every worker some. */
const CONNECTIONS = 64;

/** What the MCP server would say. Envoy says it: the figures are about the filter. */
const RESULT = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [], resultType: 'complete' } });

describe(`${PROOFS} proofs, each sent ${AT_ONCE + LATER} times, over ${WORKERS} workers and ${CONNECTIONS} connections`, async () => {
  const fleet = await startFleet({
    matrix: ['stream', 'hold'].map((mode) => ({ mode, workers: WORKERS })),
    configure: (configuration) => ({
      ...configuration,
      servers: configuration.servers.map((server) => ({ ...server, dpop: { mode: 'required' } })),
    }),
    edit: (bootstrap) => {
      const route = connectionManager(bootstrap).route_config.virtual_hosts[0].routes.find(({ match }) => !match.headers);
      delete route.route;
      route.direct_response = { status: 200, body: { inline_string: RESULT } };
      route.response_headers_to_add = [{ header: { key: 'content-type', value: 'application/json' } }];
    },
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    test(stack.name, { timeout: 120_000 }, async (context) => {
      const url = stack.urls.typescript;
      const keys = await dpop.generateKeyPair('ES256', { extractable: true });
      const token = await stack.token({ claims: { cnf: await confirmation(await exported(keys.publicKey)) } });
      const proofs = await Promise.all(Array.from({ length: PROOFS }, () => dpop.generateProof(keys, url, 'POST', undefined, token)));
      const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, scheduling: 'fifo' });
      after(() => agent.destroy());
      const send = (proof) => post(url, agent, token, proof);

      const started = Date.now();
      const first = await inParallel(proofs, CONNECTIONS / AT_ONCE, (proof) => (
        Promise.all(Array.from({ length: AT_ONCE }, () => send(proof)))));
      const later = await inParallel(proofs, CONNECTIONS, async (proof) => [await send(proof)]);
      const seconds = (Date.now() - started) / 1000;

      const uses = proofs.map((_, index) => [...first[index], ...later[index]]);
      const accepted = uses.map((statuses) => statuses.filter((status) => status === 200).length);
      const figures = {
        proofs: PROOFS,
        requests: uses.flat().length,
        'first uses accepted': accepted.filter((count) => count >= 1).length,
        'replays accepted': accepted.reduce((sum, count) => sum + Math.max(0, count - 1), 0),
        'replays refused': uses.flat().filter((status) => status === 401).length,
        'other answers': uses.flat().filter((status) => status !== 200 && status !== 401).length,
        'connections by worker': await connectionsByWorker(stack),
        seconds,
      };
      context.diagnostic(`${stack.name}: ${JSON.stringify(figures)}`);

      assert.deepEqual([figures['first uses accepted'], figures['replays accepted'], figures['other answers']], [PROOFS, 0, 0]);
      assert.equal(figures['replays refused'], PROOFS * (AT_ONCE + LATER - 1));
      assert.ok(accepted.every((_, index) => later[index][0] === 401), 'an accepted use came last');
      assert.equal(figures['connections by worker'].length, WORKERS);
      assert.ok(figures['connections by worker'].every((count) => count > 0), 'a worker had nothing to do');
      assert.equal((await stack.counters())['countersign.dpop.replays'], figures['replays refused']);
    });
  }
});

const { headers: MCP_HEADERS, body: BODY } = rpcMessage('tools/call', { name: 'whoami', arguments: {} });

/** The status of one call. */
async function post(url, agent, token, proof) {
  const outgoing = request(url, {
    method: 'POST',
    agent,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'content-length': BODY.length,
      ...Object.fromEntries([...MCP_HEADERS, ...bound(token, proof)]),
    },
  }).end(BODY);
  const [response] = await once(outgoing, 'response');
  await once(response.resume(), 'end');
  return response.statusCode;
}

async function exported(publicKey) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey);
  return { kty, crv, x, y };
}
