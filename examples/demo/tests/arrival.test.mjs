// What walks notice of what reached the MCP server.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { arrivalProblem, claimsOf } from '../lib/arrival.mjs';

const CALLERS = jwt({ sub: 'amira' }, 'c2lnbmVkIGJ5IHRoZSBpc3N1ZXI');
const EXCHANGED = jwt({ sub: 'amira', scope: 'crm.records.read', act: { sub: 'countersign', act: { sub: 'support-bot' } } }, 'YW5vdGhlciBzaWduYXR1cmU');

function jwt(claims, signature) {
  return `${btoa('{"alg":"ES256"}')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
}

function problem(arrives, { authorization, headers = [], ...more } = {}) {
  const own = authorization ? [['Authorization', `Bearer ${authorization}`]] : [];
  return arrivalProblem({ arrived: [{ headers: [...own, ...headers], bytes: 9, body: '{"id": 1}', ...more }], token: CALLERS, arrives });
}

test("the caller's token is noticed wherever it is, and its signature alone", () => {
  for (const leak of [
    { authorization: CALLERS },
    { headers: [['X-Other', `a ${CALLERS} b`]] },
    { body: CALLERS },
    { url: `/mcp?token=${CALLERS.split('.')[2]}` },
  ]) {
    for (const arrives of [undefined, null, true, {}]) assert.match(problem(arrives, leak) ?? '', /caller's token/, JSON.stringify(leak));
  }
  assert.equal(problem(undefined, { authorization: EXCHANGED }), undefined);
});

test('a token has to say what was wanted of it, and may say more', () => {
  assert.equal(problem({ sub: 'amira', act: { sub: 'countersign' } }, { authorization: EXCHANGED }), undefined);
  assert.match(problem({ act: { act: { sub: 'mail-bot' } } }, { authorization: EXCHANGED }), /arrived with/);
  assert.match(problem({ sub: 'amira' }, { authorization: 'opaque' }), /arrived with null/);
  assert.equal(problem(true, { authorization: 'opaque' }), undefined);
  for (const arrives of [true, { sub: 'amira' }]) assert.match(problem(arrives), /without a token/);
});

test('where nothing may arrive, headers without a token may', () => {
  assert.match(problem(null), /it reached/);
  assert.match(problem(null, { authorization: EXCHANGED, bytes: 0, body: '' }), /it reached/);
  assert.equal(problem(null, { bytes: 0, body: '' }), undefined);
});

test('what is no JWT says nothing', () => {
  assert.equal(claimsOf(undefined), undefined);
  assert.equal(claimsOf('gho_opaque'), null);
});
