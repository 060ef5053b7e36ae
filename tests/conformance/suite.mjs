// The official suite: run as a process, its results read from the files it writes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';

const MAIN = join(import.meta.dirname, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');

/** Time for one scenario and for all of them, in ms. All together take some seconds when none hangs. */
const SCENARIO_LIMIT = 15_000;
const RUN_LIMIT = 120_000;

/** What the suite prints for each scenario; the folder has the scenario's results in `checks.json`. */
const SAVED = /^Results saved to (?<folder>.*\/server-(?<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z)$/gm;

/**
 * Runs the scenarios that `revision` requires against the MCP server at `url`. Output and results go
 * to the empty folder `directory`.
 *
 * Returns `{ ok, scenarios }`. `ok` is the suite's own verdict, on what it scores. `scenarios` is a Map
 * from a scenario's name to its checks, `{ id, name, status, errorMessage? }` each; a scenario that
 * did not end in time has none or is not in it.
 */
export async function runSuite({ url, revision, directory }) {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'output.txt');
  const output = createWriteStream(file);
  const args = ['server', '--url', url, '--requirements', revision, '--timeout', String(SCENARIO_LIMIT), '-o', directory];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  const timer = setTimeout(kill, RUN_LIMIT);
  process.once('exit', kill);
  for (const stream of [child.stdout, child.stderr]) stream.pipe(output, { end: false });
  const [code] = await once(child, 'close');
  process.off('exit', kill);
  clearTimeout(timer);
  output.end();
  await finished(output);
  const saved = [...readFileSync(file, 'utf8').matchAll(SAVED)].map(({ groups }) => groups);
  return { ok: code === 0, scenarios: new Map(saved.map(({ scenario, folder }) => [scenario, readChecks(folder)])) };
}

function readChecks(folder) {
  return JSON.parse(readFileSync(join(folder, 'checks.json'), 'utf8'));
}
