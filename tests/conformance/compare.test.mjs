// What counts as worse.

import assert from 'node:assert/strict';
import test from 'node:test';

import { count, unexplained, worse } from './compare.mjs';

const check = (id, status, errorMessage) => ({ id, status, errorMessage });
const results = (scenarios) => new Map(Object.entries(scenarios));
const good = {
  ping: [check('ping', 'SUCCESS'), check('wire-schema-valid', 'SUCCESS')],
  headers: [check('reject', 'SUCCESS'), check('reject', 'SUCCESS')],
};
const direct = results(good);

test('the same results are no difference, whatever was noted on the way', () => {
  const through = results({ ...good, ping: [check('request', 'INFO'), ...good.ping] });
  assert.deepEqual(worse(direct, through), []);
});

test('a check that fails, warns or is not reached is worse', () => {
  for (const status of ['FAILURE', 'WARNING', 'SKIPPED', 'INFO']) {
    const through = results({ ...good, ping: [check('ping', status, 'why'), check('wire-schema-valid', 'SUCCESS')] });
    assert.deepEqual(worse(direct, through).map(({ scenario, check: id }) => [scenario, id]), [['ping', 'ping']], status);
  }
});

test('one of several checks with the same id is not hidden by the others', () => {
  const through = results({ ...good, headers: [check('reject', 'SUCCESS'), check('reject', 'FAILURE', 'why')] });
  assert.deepEqual(worse(direct, through), [{ scenario: 'headers', check: 'reject', message: 'why' }]);
});

test('a failure that only the filter causes is worse though nothing else is missing', () => {
  const through = results({ ...good, ping: [...good.ping, check('extra', 'FAILURE', 'why')] });
  assert.deepEqual(worse(direct, through), [{ scenario: 'ping', check: 'extra', message: 'why' }]);
});

test('a scenario that did not end is worse', () => {
  const through = new Map([...direct].slice(0, 1));
  assert.deepEqual(worse(direct, through).map(({ scenario }) => scenario), ['headers']);
});

test('what fails directly too is no difference', () => {
  const failing = results({ tasks: [check('create', 'FAILURE', 'no such tool')] });
  assert.deepEqual(worse(failing, failing), []);
});

test('policy explains one check of one scenario', () => {
  const found = ['ping', 'other'].map((id) => ({ scenario: 'ping', check: id, message: 'why' }));
  assert.deepEqual(unexplained(found, [{ scenario: 'ping', check: 'ping', why: 'denied' }]), [found[1]]);
  assert.deepEqual(unexplained(found, []), found);
});

test('scenarios and checks are counted as the suite counts them', () => {
  const scenarios = { a: [check('x', 'SUCCESS'), check('y', 'WARNING')], b: [check('z', 'FAILURE')], c: [check('s', 'SKIPPED')] };
  assert.deepEqual(count(results(scenarios)), { passed: 2, run: 3, checks: 1 });
});
