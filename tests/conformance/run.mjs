// `make conformance`: the official suite directly, and through Envoy with the filter. README.md says more.

import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { PYTHON } from '../../examples/demo/lib/paths.mjs';
import { startProcess, stopAll } from '../../examples/demo/lib/process.mjs';
import { table } from '../../examples/demo/lib/table.mjs';
import { ROOT, freePorts, startFleet } from '../envoy/support.mjs';
import { count, unexplained, worse } from './compare.mjs';
import { startShim } from './shim.mjs';
import { runSuite } from './suite.mjs';

/** Frozen lists of scenarios: the last revision with sessions, and the one without. */
const REVISIONS = ['2025-11-25', '2026-07-28'];

/** Two workers, since a session's requests are not all handled by one. */
const MATRIX = ['stream', 'hold'].map((mode) => ({ mode, workers: 2 }));

/** The name of the target without Envoy. */
const DIRECT = 'direct';

/** The origins written in `config.json`. */
const ORIGIN = 'http://127.0.0.1:10000';
const ISSUER = 'http://127.0.0.1:9000';

/** A token's life in seconds: longer than a run. */
const LIFETIME = 1800;

/** The results, the records and the logs of the last run. */
const directory = join(ROOT, 'target/conformance');

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });

const started = [];
try {
  const [port, ...shims] = await freePorts(1 + MATRIX.length);
  started.push(await startProcess({
    name: 'server',
    command: PYTHON,
    args: [join(import.meta.dirname, 'server/main.py')],
    env: { PORT: port },
    logFile: join(directory, 'server.log'),
    ready: `http://127.0.0.1:${port}/`,
  }));
  const fleet = await startFleet({
    ports: { mcp_python: port },
    matrix: MATRIX.map((entry, index) => ({ ...entry, configure: configuration(entry.mode, shims[index]) })),
  });
  started.push(fleet);
  const targets = [{ name: DIRECT, url: `http://127.0.0.1:${port}/mcp` }];
  for (const [index, stack] of fleet.stacks.entries()) {
    const origin = `http://127.0.0.1:${shims[index]}`;
    const url = `${origin}/python/mcp`;
    const claims = { aud: url, exp: Math.floor(Date.now() / 1000) + LIFETIME };
    const token = await stack.token({ scope: 'mcp:connect', claims });
    started.push(await startShim({ port: shims[index], origin: stack.origin, token }));
    targets.push({ name: `through (${stack.mode})`, url });
  }
  const results = [];
  for (const revision of REVISIONS) {
    for (const { name, url } of targets) {
      const own = join(directory, `${revision} ${name}`);
      results.push({ revision, name, ...await runSuite({ url, revision, directory: own }) });
    }
  }
  for (const stack of fleet.stacks) copyFileSync(stack.accessLog, join(directory, `audit.${stack.mode}.jsonl`));
  process.exitCode = report(results, targets);
} finally {
  await stopAll(started);
}

/** `config.json` as the configuration of the Envoy in `mode` whose clients come by the shim at `port`. */
function configuration(mode, port) {
  return ({ issuers }) => {
    const { issuer } = issuers.local;
    const text = readFileSync(join(import.meta.dirname, 'config.json'), 'utf8')
      .replaceAll(ORIGIN, `http://127.0.0.1:${port}`).replaceAll(ISSUER, issuer);
    return { ...JSON.parse(text), host_mode: mode };
  };
}

/** Prints the table and what is wrong; returns the exit code. */
function report(results, targets) {
  const problems = [];
  const rows = REVISIONS.map((revision) => {
    const [direct, ...through] = results.filter((result) => result.revision === revision);
    const { passed, run } = count(direct.scenarios);
    if (!direct.ok || passed < run) problems.push(`${revision}: the server under test fails on its own`);
    for (const { name, scenarios } of through) {
      for (const { scenario, check, message } of unexplained(worse(direct.scenarios, scenarios))) {
        problems.push(`${revision} ${name}: ${scenario}, ${check}: ${message}`);
      }
    }
    return [revision, ...[direct, ...through].map(({ scenarios }) => {
      const counts = count(scenarios);
      return `${counts.passed} of ${counts.run}, ${counts.checks} checks`;
    })];
  });
  console.log(table(['suite', ...targets.map(({ name }) => name)], rows).join('\n'));
  for (const problem of problems) console.log(`\n${problem}`);
  if (problems.length > 0) {
    console.log(`\n${problems.length} differences; ${directory} has the results and the records`);
    return 1;
  }
  const through = results.filter(({ name }) => name !== DIRECT).map(({ scenarios }) => count(scenarios).checks);
  console.log(`\n${through.reduce((sum, checks) => sum + checks, 0)} conformance checks passed through the filter`);
  return 0;
}
