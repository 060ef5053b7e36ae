// What a walk starts for an example's configuration.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { needsOf } from '../lib/walk.mjs';

const client = (env) => ({ client_secret: { env } });

test('the MCP server takes tokens of the last authorization server, and each client has its secret', () => {
  assert.deepEqual(needsOf({}), { exchange: undefined, secrets: [] });
  assert.deepEqual(
    needsOf({ exchanges: { chain: { cluster: 'idp', client: client('A'), then: { cluster: 'idp2', client: client('B') } }, cluster: {} } }),
    { exchange: 'idp2', secrets: ['A', 'B'] },
  );
  assert.equal(needsOf({ exchanges: { user: { cluster: 'idp' }, service: { cluster: 'idp' } } }).exchange, 'idp');
});

test('a configuration with tokens of two authorization servers is refused', () => {
  assert.throws(() => needsOf({ exchanges: { one: { cluster: 'idp' }, two: { cluster: 'entra' } } }), /one authorization server, not of idp and entra/);
});
