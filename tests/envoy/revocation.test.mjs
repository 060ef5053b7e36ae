// The OAuth server's revocation list, also for tokens that were verified before.

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';

import { sleep, startFleet, whoami } from './support.mjs';

/** How often the list is fetched (the shortest the configuration takes), in ms. */
const REFRESH = 5_000;

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

const fleet = await startFleet({
  matrix: [{ mode: 'stream', workers: 1 }, { mode: 'hold', workers: 4 }], configure: withList,
});
after(() => fleet.stop());
const [{ backends }] = fleet.stacks;
const list = (entries) => fleet.stacks[0].admin('PUT', '/revocations', entries);
const answer = (answers) => fleet.stacks[0].admin('PUT', '/answers', answers);
const now = () => Math.floor(Date.now() / 1000);

/** The statuses of calls at all workers. */
async function statuses(stack, token) {
  const responses = await Promise.all(Array.from({ length: 12 }, () => whoami(stack, { token })));
  return [...new Set(responses.map(({ status }) => status))];
}

// Everybody passes again.
beforeEach(async () => {
  await answer({});
  await list([]);
  const tokens = await Promise.all(fleet.stacks.map((stack) => stack.token({ claims: { sub: 'bob' } })));
  for (let turn = 0; turn < 30; turn += 1) {
    const all = await Promise.all(fleet.stacks.map((stack, index) => statuses(stack, tokens[index])));
    if (all.flat().every((status) => status === 200)) return;
    await sleep(1_000);
  }
  assert.fail('the empty list never came');
});

describe('the list', () => {
  const cases = [
    ['jti', { jti: 'token-1' }, { jti: 'token-1' }, { jti: 'token-2' }],
    ['a subject', { sub: 'bob' }, { sub: 'bob' }, { sub: 'alice' }],
    ['a client', { client_id: 'stolen' }, { client_id: 'stolen' }, { client_id: 'tests' }],
    ['a session', { sid: 's1' }, { sid: 's1' }, { sid: 's2' }],
    ['a subject until now', { sub: 'alice', issued_before: now() - 60 }, { iat: now() - 120 }, { iat: now() }],
    ["a subject's session", { sub: 'alice', sid: 's1' }, { sid: 's1' }, { sub: 'bob', sid: 's1' }],
  ];
  test('reaches all workers, and tokens that were verified before', async () => {
    const tokens = await Promise.all(fleet.stacks.map((stack) => Promise.all(cases.map(async ([, , revoked, other]) => ({
      revoked: await stack.token({ claims: revoked }), other: await stack.token({ claims: other }),
    })))));
    for (const [index, stack] of fleet.stacks.entries()) {
      for (const { revoked, other } of tokens[index]) {
        assert.deepEqual(await statuses(stack, revoked), [200]);
        assert.deepEqual(await statuses(stack, other), [200]);
      }
    }
    await list(cases.map(([, entry]) => entry));
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
  });
  test('one fetch for all workers', async () => {
    const count = async () => (await fleet.stacks[0].admin('GET', '/requests'))['/revocations'];
    const before = await count();
    await sleep(4 * REFRESH);
    const fetched = await count() - before;
    // Two Envoys, with one worker and with four.
    assert.ok(fetched >= 2 * 3 && fetched <= 2 * 5, `${fetched} in four periods`);
  });
});

describe('a list that does not come', () => {
  for (const [name, fault] of Object.entries({
    500: { status: 500 },
    'a member nobody knows': { status: 200, headers: { 'content-type': 'application/json' }, body: '{"revoked":[{"device":"x"}]}' },
  })) {
    test(`${name}: the last one stays in force, for a while; then nobody passes`, async () => {
      await list([{ sub: 'bob' }]);
      await sleep(REFRESH + SLACK);
      await answer({ '/revocations': fault });
      for (const stack of fleet.stacks) {
        assert.deepEqual(await statuses(stack, await stack.token({ claims: { sub: 'bob' } })), [401]);
        assert.deepEqual(await statuses(stack, await stack.token()), [200]);
      }
      // Refetched not sooner than the shortest time between two attempts.
      await sleep(REFRESH + STALE + SLACK);
      for (const stack of fleet.stacks) {
        const response = await whoami(stack, { token: await stack.token() });
        assert.equal(response.status, 503, response.text);
        assert.equal((await stack.recordOf(response)).code, 'revocations_unavailable');
      }
    });
  }
});
