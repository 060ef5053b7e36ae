// Every example of a policy, walked through on the real stack in both host modes.

import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { walk } from '../../examples/demo/lib/walk.mjs';
import { examples } from '../../examples/render.mjs';

for (const name of examples()) {
  test(name, async () => {
    const steps = await walk(name, { directory: mkdtempSync(join(tmpdir(), `walk-${name}-`)) });
    const wrong = steps.filter(({ problem }) => problem);
    assert.deepEqual(wrong.map(({ mode, who, what, problem }) => `${mode}: ${who}: ${what}: ${problem}`), []);
    assert.ok(steps.length > 0);
  });
}
