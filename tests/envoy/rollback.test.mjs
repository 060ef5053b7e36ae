// A rollback on a real Envoy: in force until its time, and over by itself.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';

import { sleep, startFleet } from './support.mjs';

/** How long the rollback lasts from when the fleet is started, in ms: Envoy compiles the module first. */
const LASTS = 40_000;

/** A worker tells the end with its next tick, within a second. */
const TICK = 1_500;

const until = new Date(Date.now() + LASTS);

/** The policy that is back lets everybody delete. */
const rolledBack = (configuration) => ({
  ...configuration,
  policies: {
    before: {
      servers: Object.fromEntries(configuration.servers.map(({ resource }) => [resource, {
        tools: { rules: [{ names: ['*'], scopes: [] }] },
      }])),
    },
  },
  rollback: { policy: 'before', until: `${until.toISOString().slice(0, 19)}Z` },
});

const fleet = await startFleet({ configure: rolledBack, machines: false });
after(() => fleet.stop());

const remove = async (stack) => {
  const token = await stack.token();
  return stack.rpc('tools/call', { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } }, { token });
};
const logged = (stack, text) => readFileSync(stack.log, 'utf8').split('\n').filter((line) => line.includes(text)).length;

describe('until its time', () => {
  for (const stack of fleet.stacks) {
    test(`${stack.name}: the policy is in force, and each record says so`, async (context) => {
      if (Date.now() > until - TICK) return context.skip('Envoy took longer to start');
      const response = await remove(stack);
      assert.equal(response.status, 200, response.text);
      assert.equal((await stack.recordOf(response)).rollback, 'before');
      assert.ok(logged(stack, 'is in force instead of the servers\' own until') > 0);
      assert.equal(logged(stack, 'is over'), 0);
    });
  }
});

describe('after it', () => {
  for (const stack of fleet.stacks) {
    test(`${stack.name}: it is over by itself, and says so`, async () => {
      await sleep(Math.max(0, until - Date.now() + TICK));
      const response = await remove(stack);
      assert.equal(response.status, 403, response.text);
      assert.equal((await stack.recordOf(response)).rollback, undefined);
      assert.ok(logged(stack, 'is over; the servers\' own policies are in force') > 0);
    });
  }
});
