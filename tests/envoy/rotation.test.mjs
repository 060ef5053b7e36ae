// Keys of the real OAuth server change while calls come in.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';

import { clientCredentials } from '../../examples/demo/lib/tokens.mjs';
import { jose, sleep, startFleet, whoami } from './support.mjs';

/** The shortest time between two fetches of an issuer's keys, in ms, and a little. */
const DEBOUNCE = 10_500;

/** How long the keys are used without asking again (the shortest the configuration takes), in ms. */
const REFRESH = 30_000;

/** How late a worker may be, in ms: the time between two of its ticks, and the fetch. */
const SLACK = 3_000;

/** Callers who call one after the other. */
const CALLERS = 8;

const refreshOften = (configuration) => ({
  ...configuration,
  issuers: { local: { ...configuration.issuers.local, jwks: { ...configuration.issuers.local.jwks, refresh: `${REFRESH / 1000}s` } } },
});

describe('rotation under load', async () => {
  const fleet = await startFleet({
    matrix: [{ mode: 'stream', workers: 2 }, { mode: 'hold', workers: 4 }], configure: refreshOften,
  });
  after(() => fleet.stop());

  test('old key, overlap, new key, removal', { timeout: 180_000 }, async (context) => {
    const [{ issuer }] = fleet.stacks;
    const [{ kid: old }] = await fleet.stacks[0].idp('GET', '/keys');
    const oldKey = JSON.parse(readFileSync(fleet.backends.keyFile, 'utf8')).keys[0];
    const token = (stack) => clientCredentials({ issuer, client: 'demo-reader', resource: stack.urls.typescript, scope: 'mcp:connect' });
    const kidOf = (jwt) => jose.decodeProtectedHeader(jwt).kid;
    let phase = 'old key';
    const calls = [];
    let stopped = false;

    const caller = async (stack) => {
      while (!stopped) {
        const during = phase;
        const bearer = await token(stack);
        const response = await whoami(stack, { token: bearer });
        const { status, took, text } = response;
        const problem = status === 200 ? undefined : `${status} ${text}: ${JSON.stringify(await stack.recordOf(response))}`;
        calls.push({ phase: during, kid: kidOf(bearer), problem, took });
        await sleep(20);
      }
    };
    const callers = fleet.stacks.flatMap((stack) => Array.from({ length: CALLERS }, () => caller(stack)));
    const during = async (name, ms) => {
      phase = name;
      await sleep(ms);
    };

    let removedAt;
    const late = [];
    let fresh;
    try {
      await during('old key', 3_000);
      const { kid } = await fleet.stacks[0].idp('POST', '/keys');
      fresh = kid;
      await during('both published, the old one signs', DEBOUNCE);
      // The filter has not seen the new key unless it refreshed: its first token makes it ask.
      await fleet.stacks[0].idp('PUT', `/keys/${fresh}`);
      await during('both published, the new one signs', 5_000);
      await fleet.stacks[0].idp('DELETE', `/keys/${old}`);
      removedAt = Date.now();
      phase = 'the old one removed';
      // Verified before the removal and cached, and never seen: both end with the refresh.
      const seen = await Promise.all(fleet.stacks.map((stack) => stack.token({ key: oldKey })));
      while (Date.now() < removedAt + REFRESH + SLACK + 5_000) {
        await Promise.all(fleet.stacks.map(async (stack, index) => {
          for (const bearer of [seen[index], await stack.token({ key: oldKey })]) {
            const sent = Date.now() - removedAt;
            late.push({ sent, status: (await whoami(stack, { token: bearer })).status });
          }
        }));
        await sleep(500);
      }
    } finally {
      stopped = true;
      await Promise.all(callers);
    }

    const refused = calls.filter(({ problem }) => problem);
    const afterRefresh = late.filter(({ sent }) => sent > REFRESH + SLACK);
    const phases = Object.groupBy(calls, (call) => call.phase);
    context.diagnostic(JSON.stringify({
      'valid calls': Object.fromEntries(Object.entries(phases).map(([name, list]) => [name, list.length])),
      'signed by the new key': calls.filter(({ kid }) => kid === fresh).length,
      'valid calls refused': refused.length,
      'longest answer in ms': Math.max(...calls.map(({ took }) => took)),
      'last use of the removed key in ms': Math.max(...late.filter(({ status }) => status === 200).map(({ sent }) => sent), 0),
      'removed key after refresh': { sent: afterRefresh.length, accepted: afterRefresh.filter(({ status }) => status === 200).length },
    }));
    assert.deepEqual(refused.map(({ phase: at, problem }) => [at, problem]), []);
    assert.ok(calls.some(({ kid }) => kid === fresh) && calls.some(({ kid }) => kid === old));
    assert.ok(afterRefresh.length > 0);
    assert.deepEqual(afterRefresh.filter(({ status }) => status !== 401), []);
  });
});
