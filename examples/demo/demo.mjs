// `make demo`: real clients, a real Envoy with the filter in both host modes, real MCP servers, a
// real OAuth server; then a table of what happened. Exits with 1 when anything differs from what
// it should be. KEEP=1 leaves everything running until Ctrl-C.

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startEnvoy } from './lib/envoy.mjs';
import { ROOT } from './lib/paths.mjs';
import { freePorts } from './lib/ports.mjs';
import { stopAll } from './lib/process.mjs';
import { SERVERS, resourceUrl, startBackends, withTlsServers } from './lib/stack.mjs';
import { table } from './lib/table.mjs';
import { clientCredentials } from './lib/tokens.mjs';
import { runBound } from './scenarios/bound.mjs';
import { checkStep, checkTap, decided } from './scenarios/check.mjs';
import { runDirect } from './scenarios/direct.mjs';
import { CLIENTS, runSdk } from './scenarios/sdk.mjs';

const MODES = ['stream', 'hold'];

/** The MCP servers where proofs of possession need a nonce, as `envoy/envoy.*.yaml` have it. */
const NONCE = ['typescript'];

/** Time for the last audit records to be written, in ms: a stream is recorded when it ends. */
const RECORDS_LIMIT = 10_000;

/** The MCP Inspector that KEEP=1 proposes; it needs Node 22.19 or newer, as installed here. */
const INSPECTOR = '@modelcontextprotocol/inspector@2.12.0';

/** Logs, rendered bootstraps and audit records of the last run. */
const directory = join(ROOT, '.stack/demo');

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });

const started = [];
try {
  const ports = await freePorts(2 * MODES.length);
  const listeners = MODES.map((mode, index) => ({ mode, port: ports[2 * index], tlsPort: ports[2 * index + 1] }));
  const backends = await startBackends({
    origins: listeners.flatMap(({ port, tlsPort }) => [`http://127.0.0.1:${port}`, `https://127.0.0.1:${tlsPort}`]),
    directory,
    dpopNonce: 'required',
  });
  started.push(backends);
  for (const listener of listeners) {
    started.push(await startEnvoy({ ...listener, backends, directory, configure: withTlsServers }));
  }
  const envoys = started.slice(1);

  const steps = [];
  for (const envoy of envoys) {
    for (const server of SERVERS) steps.push(...await runServer(envoy, server, backends));
  }
  const records = await readRecords(envoys, steps);
  const tap = await (await fetch(backends.tap)).json();
  process.exitCode = report(steps, records, tap) ? 0 : 1;
  if (process.env.KEEP) await keep(envoys, backends);
} finally {
  await stopAll(started);
}

/** All clients against one MCP server behind one Envoy; each is a process of its own. */
async function runServer({ mode, origin, tlsOrigin }, server, backends) {
  const { issuer } = backends;
  const url = resourceUrl(origin, server);
  const foreign = resourceUrl(origin, SERVERS.find((other) => other !== server));
  const nonce = NONCE.includes(server);
  const tag = `${mode} ${server}`;
  const runs = await Promise.all([
    runDirect({ url, foreign, issuer, tag }),
    runBound({ url, nonce, tlsUrl: resourceUrl(tlsOrigin, server), backends, tag }),
    ...CLIENTS.map((client) => runSdk(client, { url, nonce })),
  ]);
  return runs.flat().map((step) => ({ mode, server, url, issuer, ...step }));
}

/** Audit records by decision id; waits until each answered request has its own. */
async function readRecords(envoys, steps) {
  const wanted = steps.flatMap((step) => step.exchanges).map(({ decision }) => decision).filter(Boolean);
  const deadline = Date.now() + RECORDS_LIMIT;
  for (;;) {
    // Envoy may be in the middle of the last line.
    const lines = envoys.flatMap(({ accessLog }) => readFileSync(accessLog, 'utf8').split('\n').slice(0, -1));
    const records = new Map(lines.map((line) => JSON.parse(line)).map((record) => [record.decision_id, record]));
    if (wanted.every((id) => records.has(id)) || Date.now() > deadline) return records;
    await sleep(100);
  }
}

/** Prints everything; returns whether all of it is as it should be. */
function report(steps, records, tap) {
  const head = ['call', 'client', 'identity', 'decision', 'reason', 'status', 'mode', 'server'];
  console.log(table(head, rows(steps, records)).join('\n'));

  console.log('\nAudit records (calls by hand, hold, typescript; Envoy wrote them to its access log):');
  for (const step of steps) {
    if (!step.tag?.startsWith('hold typescript')) continue;
    for (const { decision } of step.exchanges) console.log(JSON.stringify(records.get(decision) ?? null));
  }

  const problems = steps.flatMap((step) => [
    ...checkStep(step, records),
    ...(step.tag && step.server === 'typescript' ? checkTap(step, tap) : []),
  ].map((problem) => `${step.step}, ${step.client}, ${step.mode}, ${step.server}: ${problem}`));
  const unrecorded = steps.flatMap((step) => step.exchanges)
    .filter(({ decision }) => decision && !records.has(decision)).length;
  if (unrecorded) problems.push(`${unrecorded} decisions have no audit record`);

  console.log(`\n${steps.length} calls, ${records.size} audit records, ${problems.length} problems; logs in ${relative(process.cwd(), directory)}`);
  for (const problem of problems) console.log(`  ${problem}`);
  return problems.length === 0;
}

/** One row per request; rows that differ in mode and server only are one. */
function rows(steps, records) {
  const merged = new Map();
  for (const step of steps) {
    decided(step).forEach((exchange, index) => {
      const { subject, outcome, code } = records.get(exchange.decision) ?? {};
      const cells = [
        exchange.message,
        step.client,
        subject ?? '-',
        outcome ?? '?',
        [code, index === 0 ? step.expected.challenge?.scope : undefined].filter(Boolean).join(' ') || '-',
        String(exchange.status),
      ];
      const key = JSON.stringify([cells, step.step, index]);
      const row = merged.get(key) ?? { cells, modes: new Set(), servers: new Set() };
      row.modes.add(step.mode);
      row.servers.add(step.server);
      merged.set(key, row);
    });
  }
  return [...merged.values()].map(({ cells, modes, servers }) => [...cells, [...modes].join(' '), [...servers].join(' ')]);
}

/** Tells how to play on, and waits for Ctrl-C. */
async function keep(envoys, { issuer, tap }) {
  console.log(`\nRunning until Ctrl-C.\n  OAuth server   ${issuer}\n  tap            ${tap}`);
  for (const { mode, origin, admin } of envoys) {
    console.log(`  Envoy, ${mode.padEnd(7)} ${SERVERS.map((server) => resourceUrl(origin, server)).join('  ')}  admin ${admin}`);
  }
  const url = resourceUrl(envoys.at(-1).origin, 'typescript');
  const token = await clientCredentials({ issuer, client: 'demo-reader', resource: url, scope: 'mcp:connect docs:read' });
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami', arguments: {} } };
  console.log(`
curl -i ${url} \\
  -H 'authorization: Bearer ${token}' \\
  -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \\
  -d '${JSON.stringify(message)}'

PATH=${join(ROOT, '.stack/bin')}:$PATH npx ${INSPECTOR} --cli ${url} --transport http \\
  --method tools/list --header 'Authorization: Bearer ${token}'
`);
  await new Promise(() => {});
}
