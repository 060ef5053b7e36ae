// The examples' bootstraps are made from their configurations.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { examples, render } from '../../render.mjs';
import { ROOT } from '../lib/paths.mjs';

for (const name of examples()) {
  test(`envoy.yaml of ${name} is what \`make examples\` writes`, () => {
    assert.equal(readFileSync(join(ROOT, 'examples', name, 'envoy.yaml'), 'utf8'), render(name));
  });
}
