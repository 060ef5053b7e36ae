// `make demo` fails when an outcome differs: each deviation alone must be found.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CASE_HEADER } from '../scenarios/direct.mjs';
import { checkStep, checkTap } from '../scenarios/check.mjs';

const SERVER = 'http://127.0.0.1:1/typescript/mcp';
const METADATA = 'http://127.0.0.1:1/.well-known/oauth-protected-resource/typescript/mcp';
const message = 'tools/call whoami';

/** A step-up that went well, and its records. */
function stepUp() {
  const value = JSON.stringify({
    headers: {
      'x-countersign-subject': 'alice',
      'x-countersign-issuer': 'http://127.0.0.1:5',
      'x-countersign-client-id': 'c',
      'x-countersign-scope': 'mcp:connect',
      'x-countersign-decision-id': 'd2',
      'x-countersign-method': 'tools/call',
      'x-countersign-object': 'whoami',
    },
    authorization: false,
    dpop: false,
  });
  const step = {
    step: message, url: SERVER, mode: 'hold', issuer: 'http://127.0.0.1:5', outcome: 'result', value,
    exchanges: [
      {
        request: 'POST', message, status: 403, decision: 'd1',
        challenge: `Bearer error="insufficient_scope", scope="docs:read", resource_metadata="${METADATA}"`,
      },
      { request: 'POST', message: 'tools/list', status: 200, decision: 'd3' },
      { request: 'POST', message, status: 200, decision: 'd2' },
    ],
    expected: {
      subject: 'alice', statuses: [403, 200], challenge: { error: 'insufficient_scope', scope: 'docs:read' },
    },
  };
  const records = new Map([['d1', { outcome: 'deny' }], ['d2', { outcome: 'allow' }], ['d3', { outcome: 'allow' }]]);
  return { step, records };
}

test('a good step has no problems', () => {
  const { step, records } = stepUp();
  assert.deepEqual(checkStep(step, records), []);
});

const deviations = [
  [/^error instead of result/, ({ step }) => { step.outcome = 'error'; }],
  [/^statuses 200$/, ({ step }) => { step.exchanges.shift(); }],
  [/^statuses 401,200$/, ({ step }) => { step.exchanges[0].status = 401; }],
  [/^challenge undefined$/, ({ step }) => { delete step.exchanges[0].challenge; }],
  [/^challenge scope is docs:admin/, ({ step }) => replace(step.exchanges[0], 'challenge', 'docs:read', 'docs:admin')],
  [/^challenge error is invalid_token/, ({ step }) => replace(step.exchanges[0], 'challenge', 'insufficient_scope', 'invalid_token')],
  [/^challenge resource_metadata is .*python/, ({ step }) => replace(step.exchanges[0], 'challenge', '/typescript', '/python')],
  [/^x-countersign-subject is mallory instead/, ({ step }) => replace(step, 'value', 'alice', 'mallory')],
  [/^x-countersign-subject is mallory, alice/, ({ step }) => replace(step, 'value', 'alice', 'mallory, alice')],
  [/^x-countersign-method is undefined/, ({ step }) => replace(step, 'value', 'x-countersign-method', 'x-other')],
  [/^x-countersign-scope is missing/, ({ step }) => replace(step, 'value', 'x-countersign-scope', 'x-other')],
  [/Authorization reached/, ({ step }) => replace(step, 'value', '"authorization":false', '"authorization":true')],
  [/DPoP reached/, ({ step }) => replace(step, 'value', '"dpop":false', '"dpop":true')],
  [/^whoami says no$/, ({ step }) => { step.value = 'no'; }],
  [/^value /, ({ step }) => { step.expected.value = 'something else'; }],
  [/^answer without a decision id/, ({ step }) => { delete step.exchanges[0].decision; }],
  [/^no audit record for decision d1/, ({ records }) => { records.delete('d1'); }],
  [/^recorded as allow/, ({ records }) => { records.set('d1', { outcome: 'allow' }); }],
  [/^recorded as deny/, ({ records }) => { records.set('d2', { outcome: 'deny' }); }],
  [/^the client did not find/, ({ step }) => { step.step = 'connect'; }],
];
for (const [problem, deviate] of deviations) {
  test(`found: ${problem.source}`, () => {
    const run = stepUp();
    deviate(run);
    const problems = checkStep(run.step, run.records);
    assert.ok(problems.some((found) => problem.test(found)), problems.join('\n'));
  });
}

function replace(object, key, from, to) {
  assert.ok(object[key].includes(from));
  object[key] = object[key].replace(from, to);
}

test('found: the wrong JSON-RPC error', () => {
  const exchanges = [{ request: 'POST', message, status: 200, decision: 'd1' }];
  const step = { step: message, url: SERVER, exchanges, outcome: 'error', value: { code: -32601 }, expected: { outcome: 'error', code: -32602 } };
  assert.deepEqual(checkStep(step, new Map([['d1', { outcome: 'deny' }]])), ['code -32601']);
});

test('found: a proof refused for another reason, or without an offer to try again', () => {
  const challenge = `Bearer resource_metadata="${METADATA}", scope="mcp:connect", DPoP error="invalid_dpop_proof", algs="ES256"`;
  const step = {
    step: message, url: SERVER, outcome: 'refused', value: {}, exchanges: [{ request: 'POST', message, status: 401, decision: 'd1', challenge }],
    expected: {
      outcome: 'refused', statuses: [401], reason: 'dpop_replay', challenge: { scope: 'mcp:connect', error: 'invalid_dpop_proof' },
    },
  };
  const check = (code) => checkStep(step, new Map([['d1', { outcome: 'deny', code }]]));
  assert.deepEqual(check('dpop_replay'), []);
  assert.deepEqual(check('dpop_jkt'), ['reason dpop_jkt instead of dpop_replay']);
  step.exchanges[0].challenge = challenge.replace('DPoP', 'Other');
  assert.match(check('dpop_replay').join(), /^no DPoP challenge/);
});

test('the tap decides what a refused call may leave behind', () => {
  const refused = (mode, status) => ({ step: message, mode, tag: 't', outcome: 'refused', exchanges: [{ message, status }] });
  const trace = (bytes) => [{ headers: [[CASE_HEADER, 't']], bytes }];
  assert.deepEqual(checkTap(refused('hold', 403), []), []);
  assert.deepEqual(checkTap(refused('stream', 403), trace(0)), []);
  assert.notDeepEqual(checkTap(refused('hold', 403), trace(0)), []);
  assert.notDeepEqual(checkTap(refused('stream', 403), trace(1)), []);
  assert.notDeepEqual(checkTap(refused('stream', 401), trace(0)), []);
  const allowed = { ...refused('hold', 200), outcome: 'result' };
  assert.deepEqual(checkTap(allowed, trace(5)), []);
  assert.notDeepEqual(checkTap(allowed, []), []);
});
