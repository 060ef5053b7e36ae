// `make bench` in small: every lane still runs, and does what it stands for.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { ROOT } from './support.mjs';

test('all lanes of the bench run on the real Envoy', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'bench/bench.mjs')], {
    env: { ...process.env, ROUNDS: '1', REQUESTS: '16', LANES: '' },
  });
  assert.match(stdout, /^router only +[\d.]+ /m);
  assert.match(stdout, /^ours, DPoP, ES256 +[\d.]+ /m);
  assert.doesNotMatch(stdout, /not run|NaN/);
});
