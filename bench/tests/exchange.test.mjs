// The authorization server and the users of the lanes with an exchange.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { SigningKey, accessToken } from '../credentials.mjs';
import { CALLS_PER_TOKEN, USERS, Users, newTokens, startAuthorizationServer } from '../exchange.mjs';

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const key = new SigningKey('ES256');

test('a token for a token: of the same user, for whom and what was asked for', async () => {
  const server = await startAuthorizationServer();
  after(() => server.stop());
  const subject_token = accessToken(key, { subject: 'user-7' });
  const body = new URLSearchParams({ subject_token, resource: 'https://mcp.internal.example/mcp', scope: 'docs:read' });
  const answer = await (await fetch(`http://127.0.0.1:${server.port}/token`, { method: 'POST', body })).json();
  const { sub, aud, scope } = claims(answer.access_token);
  assert.deepEqual([sub, aud, scope], ['user-7', 'https://mcp.internal.example/mcp', 'docs:read']);
  assert.equal(server.asked(), 1);
});

test('users come in turn, and so many of their tokens are new', () => {
  const users = new Users(key);
  const seen = new Set(users.everyone());
  assert.equal(seen.size, USERS);
  const counts = [200, 30, 1];
  const subjects = counts.flatMap((count) => {
    const tokens = users.next(count);
    assert.equal(tokens.filter((token) => !seen.has(token)).length, newTokens(count));
    for (const token of tokens) seen.add(token);
    return tokens.map((token) => claims(token).sub);
  });
  assert.equal(new Set(subjects).size, subjects.length);
  assert.equal(newTokens(200), 200 / CALLS_PER_TOKEN);
});
