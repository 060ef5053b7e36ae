// The rounds: lanes take turns, and what a lane costs is read from the scheduler around its batch.

import { setTimeout as sleep } from 'node:timers/promises';

import { cpuTime } from './cpu.mjs';
import { FORBIDDEN } from './lanes.mjs';
import { Client } from './load.mjs';

/** Requests under way at once in a lane. */
const CONNECTIONS = 8;

/** How long Envoy takes to become idle after a batch, in ms: what it does then belongs to the batch. */
const SETTLE = 10;

/**
 * CPU time of `envoy` per request, in µs: an array by the id of each of `lanes` (see `lanes.mjs`),
 * with an entry per round of `requests`, or of a lane's share of them. Lanes listen on `ports`, in the same order. `envoy` is
 * `{ pid, counters(names) }`, `progress` is called with the number of each round; round 0 warms up
 * and is not counted.
 *
 * Throws as soon as a lane is not what it stands for: any answer but the upstream's own 200, a
 * counter that did not rise by one per request, rules that are not enforced.
 */
export async function measure({ lanes, ports, envoy, rounds, requests, progress = () => {} }) {
  for (const [index, lane] of lanes.entries()) await checkRefusal(lane, ports[index]);
  const clients = await Promise.all(ports.map((port) => Client.open(port, CONNECTIONS)));
  try {
    const samples = Object.fromEntries(lanes.map(({ id }) => [id, []]));
    for (let round = 0; round <= rounds; round += 1) {
      progress(round);
      for (const [index, lane] of lanes.entries()) {
        const sample = await batch(lane, clients[index], envoy, requests);
        if (round > 0) samples[lane.id].push(sample);
      }
    }
    return samples;
  } finally {
    for (const client of clients) client.close();
  }
}

/** A lane that enforces rules refuses the forbidden call, another one lets it pass. */
async function checkRefusal({ id, request, enforces = false }, port) {
  const client = await Client.open(port, 1);
  const refused = await client.send([request(FORBIDDEN)]).then(() => false, () => true);
  client.close();
  if (refused !== enforces) throw new Error(`${id}: the forbidden call ${refused ? 'was refused' : 'passed'}`);
}

/** One lane in one round. Its requests are signed before the clock starts. */
async function batch({ id, request, counters = [], share = 1 }, client, envoy, most) {
  const requests = Math.ceil(most * share);
  const signed = Array.from({ length: requests }, () => request());
  const counted = await envoy.counters(counters);
  await sleep(SETTLE);
  const before = cpuTime(envoy.pid);
  await client.send(signed).catch((error) => { throw new Error(`${id}: ${error.message}`); });
  await sleep(SETTLE);
  const used = cpuTime(envoy.pid) - before;
  const now = await envoy.counters(counters);
  for (const name of counters) {
    const risen = now[name] - counted[name];
    if (risen !== requests) throw new Error(`${id}: ${name} rose by ${risen} in ${requests} requests`);
  }
  return used / requests;
}
