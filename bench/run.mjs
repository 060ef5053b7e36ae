// The rounds: lanes take turns, and what a lane costs is read from the scheduler around its batch.

import { setTimeout as sleep } from 'node:timers/promises';

import { cpuTime } from './cpu.mjs';
import { FORBIDDEN } from './lanes.mjs';
import { Client } from './load.mjs';

/** Requests under way at once in a lane, unless it says otherwise. */
const CONNECTIONS = 8;

/** How long Envoy takes to become idle after a batch, in ms: what it does then belongs to the batch. */
const SETTLE = 10;

/** Among the counters, requests at the authorization server: not Envoy's count but its own. */
const ASKED = 'exchanges';

/**
 * CPU time of `envoy` per request, in µs: an array by the id of each of `lanes` (see `lanes.mjs`),
 * with an entry per round of `requests`, or of a lane's own number of them. Lanes listen on `ports`,
 * in the same order. `envoy` is `{ pid, counters(names) }`, `authorizationServer` is `{ asked() }`,
 * `progress` is called with the number of each round; round 0 warms up and is not counted.
 *
 * Throws as soon as a lane is not what it stands for: any answer but the upstream's own 200, a
 * counter that did not rise as it must, an exchange too many or too few, rules that are not
 * enforced.
 */
export async function measure({ lanes, ports, envoy, authorizationServer, rounds, requests, progress = () => {} }) {
  const counters = async (names) => ({ ...await envoy.counters(names), [ASKED]: authorizationServer.asked() });
  const counting = { pid: envoy.pid, counters };
  for (const [index, lane] of lanes.entries()) await checkRefusal(lane, ports[index]);
  const clients = await Promise.all(ports.map((port) => Client.open(port, CONNECTIONS)));
  try {
    for (const [index, lane] of lanes.entries()) if (lane.warmUp) await send(lane, clients[index], lane.warmUp());
    const samples = Object.fromEntries(lanes.map(({ id }) => [id, []]));
    for (let round = 0; round <= rounds; round += 1) {
      progress(round);
      for (const [index, lane] of lanes.entries()) {
        const sample = lane.crowd
          ? await crowded(lane, ports[index], counting)
          : await batch(lane, clients[index], counting, Math.ceil(requests * (lane.share ?? 1)));
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

/**
 * One lane in one round, all its requests at once. Their connections are there for so long only, so
 * that other lanes do not pay for them.
 */
async function crowded(lane, port, envoy) {
  const client = await Client.open(port, lane.crowd);
  try {
    return await batch(lane, client, envoy, lane.crowd);
  } finally {
    client.close();
    await sleep(SETTLE);
  }
}

/** One lane in one round. Its requests are signed before the clock starts. */
async function batch(lane, client, envoy, requests) {
  const { id, request, counters = {}, exchanges = () => 0 } = lane;
  const { calls = (count) => Array.from({ length: count }, () => request()) } = lane;
  const signed = calls(requests);
  const names = Object.keys(counters);
  const counted = await envoy.counters(names);
  await sleep(SETTLE);
  const before = cpuTime(envoy.pid);
  await send(lane, client, signed);
  await sleep(SETTLE);
  const used = cpuTime(envoy.pid) - before;
  const now = await envoy.counters(names);
  for (const [name, expected] of Object.entries({ ...counters, [ASKED]: exchanges })) {
    const risen = now[name] - counted[name];
    if (risen !== expected(requests)) throw new Error(`${id}: ${name} rose by ${risen} in ${requests} requests`);
  }
  return used / requests;
}

async function send({ id }, client, requests) {
  await client.send(requests).catch((error) => { throw new Error(`${id}: ${error.message}`); });
}
