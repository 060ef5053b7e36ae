// `make walk EXAMPLE=name`: walks through an example on the real stack. Its `walk.json` says who
// calls what and what becomes of it; the calls go through a real Envoy with the example's own
// bootstrap, with tokens of the real OAuth server. Prints what happened; exits with 1 when
// anything differs.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './lib/paths.mjs';
import { table } from './lib/table.mjs';
import { walk } from './lib/walk.mjs';

const names = process.argv.slice(2);
if (names.length === 0) throw new Error('which example? one with a walk.json, such as roles-table');

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
let problems = 0;
for (const name of names) {
  const directory = join(ROOT, '.stack/walks', name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const steps = await walk(name, { directory });
  console.log(`\n${name}\n`);
  console.log(table(
    ['mode', 'who', 'what', 'answer', 'decision', 'why', 'as it should be'],
    steps.map(({ mode, who, what, answer, record, problem }) => [
      mode, who, what, answer, record?.outcome ?? '', [record?.policy_reason ?? record?.code, record?.refused_by].filter(Boolean).join(', '), problem ?? 'yes',
    ]),
  ).join('\n'));
  problems += steps.filter(({ problem }) => problem).length;
}
console.log(`\n${problems} problems`);
process.exitCode = problems ? 1 : 0;
