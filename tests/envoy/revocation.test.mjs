// The OAuth server's revocation list, also for tokens that were verified before.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { sleep, startFleet, whoami } from './support.mjs';

/** How often the list is fetched (the shortest the configuration takes), in ms. */
const REFRESH = 10_000;

/** How late a worker may be, in ms: the time between two of its ticks, and the fetch. */
const SLACK = 2_500;

/** How long a list is used while there is no newer one, in ms. */
const STALE = 5_000;

const withList = ({ issuers: { local }, ...configuration }) => ({
  ...configuration,
  issuers: {
    local: {
      ...local,
      revocation: { uri: `${local.issuer}/revocations`, cluster: 'idp', refresh: `${REFRESH}ms`, stale_for: `${STALE}ms` },
    },
  },
});

const FAULTS = {
  500: { status: 500 },
  'a member nobody knows': { status: 200, headers: { 'content-type': 'application/json' }, body: '{"revoked":[{"device":"x"}]}' },
};

const now = () => Math.floor(Date.now() / 1000);

/** The statuses of calls at all workers. */
async function statuses(stack, token) {
  const responses = await Promise.all(Array.from({ length: 12 }, () => whoami(stack, { token })));
  return [...new Set(responses.map(({ status }) => status))];
}

// Each waits for periods to pass: all at the same time, each with an OAuth server of its own.
describe('the revocation list', { concurrency: true, timeout: 120_000 }, async () => {
  const matrix = [{ mode: 'stream', workers: 1 }, { mode: 'hold', workers: 4 }];
  const start = () => startFleet({ matrix, configure: withList });
  const [fleet, counted, ...failing] = await Promise.all([start(), start(), ...Object.keys(FAULTS).map(start)]);
  after(() => Promise.all([fleet, counted, ...failing].map((each) => each.stop())));

  test('reaches all workers, and tokens that were verified before', async () => {
    const cases = [
      ['jti', { jti: 'token-1' }, { jti: 'token-1' }, { jti: 'token-2' }],
      ['a subject', { sub: 'bob' }, { sub: 'bob' }, { sub: 'alice' }],
      ['a client', { client_id: 'stolen' }, { client_id: 'stolen' }, { client_id: 'tests' }],
      ['a session', { sid: 's1' }, { sid: 's1' }, { sid: 's2' }],
      ['a subject until now', { sub: 'alice', issued_before: now() - 60 }, { iat: now() - 120 }, { iat: now() }],
      ["a subject's session", { sub: 'alice', sid: 's3' }, { sid: 's3' }, { sub: 'carol', sid: 's3' }],
    ];
    const tokens = await Promise.all(fleet.stacks.map((stack) => Promise.all(cases.map(async ([, , revoked, other]) => ({
      revoked: await stack.token({ claims: revoked }), other: await stack.token({ claims: other }),
    })))));
    for (const [index, stack] of fleet.stacks.entries()) {
      for (const { revoked, other } of tokens[index]) {
        assert.deepEqual(await statuses(stack, revoked), [200]);
        assert.deepEqual(await statuses(stack, other), [200]);
      }
    }
    await fleet.stacks[0].idp('PUT', '/revocations', cases.map(([, entry]) => entry));
    await sleep(REFRESH + SLACK);
    for (const [index, stack] of fleet.stacks.entries()) {
      for (const [at, [name]] of cases.entries()) {
        assert.deepEqual(await statuses(stack, tokens[index][at].revoked), [401], `${stack.name}: ${name}`);
        assert.deepEqual(await statuses(stack, tokens[index][at].other), [200], `${stack.name}: not ${name}`);
      }
      const response = await whoami(stack, { token: tokens[index][0].revoked });
      assert.equal((await stack.recordOf(response)).code, 'token_revoked');
      assert.match(response.header('www-authenticate'), /error="invalid_token"/);
    }
    await fleet.stacks[0].idp('PUT', '/revocations', []);
    await sleep(REFRESH + SLACK);
    assert.deepEqual(await statuses(fleet.stacks[1], tokens[1][1].revoked), [200], 'taken off the list');
  });

  test('one fetch for all workers', async (context) => {
    const count = async () => (await counted.stacks[0].idp('GET', '/requests'))['/revocations'];
    const before = await count();
    await sleep(3 * REFRESH + SLACK);
    const fetched = await count() - before;
    context.diagnostic(`${fetched} in three periods, by two Envoys, with one worker and with four`);
    assert.ok(fetched >= 2 * 2 && fetched <= 2 * 4, `${fetched} in three periods`);
  });

  for (const [index, [name, fault]] of Object.entries(FAULTS).entries()) {
    test(`${name}: the last one stays in force, for a while; then nobody passes`, async () => {
      const { stacks } = failing[index];
      await stacks[0].idp('PUT', '/revocations', [{ sub: 'bob' }]);
      const revoked = async (stack) => statuses(stack, await stack.token({ claims: { sub: 'bob' } }));
      for (const stack of stacks) {
        while ((await revoked(stack)).includes(200)) await sleep(200);
      }
      await stacks[0].idp('PUT', '/answers', { '/revocations': fault });
      for (const stack of stacks) {
        assert.deepEqual(await revoked(stack), [401]);
        assert.deepEqual(await statuses(stack, await stack.token()), [200]);
      }
      await sleep(REFRESH + STALE + SLACK);
      for (const stack of stacks) {
        const response = await whoami(stack, { token: await stack.token() });
        assert.equal(response.status, 503, response.text);
        assert.ok(Number(response.header('retry-after')) > 0);
        assert.equal((await stack.recordOf(response)).code, 'revocations_unavailable');
      }
      await stacks[0].idp('PUT', '/answers', {});
      await sleep(REFRESH + SLACK);
      for (const stack of stacks) {
        assert.deepEqual(await revoked(stack), [401]);
        assert.deepEqual(await statuses(stack, await stack.token()), [200]);
      }
    });
  }
});
