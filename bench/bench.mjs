// `make bench`: what a request costs Envoy, without and with filters. README.md says how to read it.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ENVOY, ROOT } from '../examples/demo/lib/paths.mjs';
import { freePorts } from '../examples/demo/lib/ports.mjs';
import { startProcess, stopAll } from '../examples/demo/lib/process.mjs';
import { table } from '../examples/demo/lib/table.mjs';
import { bootstrap } from './envoy.mjs';
import { CLUSTER, startAuthorizationServer } from './exchange.mjs';
import { figure, verdict } from './figures.mjs';
import { EXCHANGES, ROUTER, STEPS, TARGETS, makeLanes, overhead } from './lanes.mjs';
import { startUpstream } from './load.mjs';
import { startCost } from './policies.mjs';
import { measure } from './run.mjs';

const rounds = setting('ROUNDS', 60);
const requests = setting('REQUESTS', 200);

/** The rendered bootstrap, Envoy's log and the generated modules of the last run. */
const directory = join(ROOT, 'target/bench');

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });

const lanes = chosen(makeLanes(directory), process.env.LANES);
const started = [];
try {
  const upstream = await startUpstream();
  started.push(upstream);
  const authorizationServer = await startAuthorizationServer();
  started.push(authorizationServer);
  const clusters = { upstream: upstream.port, [CLUSTER]: authorizationServer.port };
  const [admin, ...ports] = await freePorts(lanes.length + 1);
  const envoy = await startEnvoy(bootstrap({ lanes, ports, clusters, admin }), admin);
  started.push(envoy);
  const progress = (round) => process.stderr.isTTY && process.stderr.write(`\rround ${round} of ${rounds} `);
  report(await measure({ lanes, ports, envoy, authorizationServer, rounds, requests, progress }));
  await envoy.stop();
  await reportStarts(clusters);
} finally {
  await stopAll(started);
}

/** Starts Envoy with one worker: `{ pid, counters(names), stop() }`. */
async function startEnvoy(config, adminPort) {
  const file = join(directory, 'envoy.json');
  writeFileSync(file, JSON.stringify(config, null, 2));
  const admin = `http://127.0.0.1:${adminPort}`;
  const { pid, stop } = await startProcess({
    name: 'envoy',
    command: ENVOY,
    args: ['-c', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning'],
    cwd: ROOT,
    logFile: join(directory, 'envoy.log'),
    ready: `${admin}/ready`,
  });
  const counters = async (names) => {
    if (names.length === 0) return {};
    const filter = encodeURIComponent(`^(${names.join('|')})$`);
    const { stats } = await (await fetch(`${admin}/stats?format=json&type=Counters&filter=${filter}`)).json();
    return Object.fromEntries(names.map((name) => [name, stats.find((stat) => stat.name === name)?.value ?? 0]));
  };
  return { pid, counters, stop };
}

/** What it costs to start with each of the lanes that differ in size: what it takes to load them. */
async function reportStarts(clusters) {
  const sized = lanes.filter(({ id }) => /^(rules|issuers)-\d+$/.test(id));
  const rows = [];
  for (const lane of sized) {
    const [admin, port] = await freePorts(2);
    const envoy = await startEnvoy(bootstrap({ lanes: [lane], ports: [port], clusters, admin }), admin);
    const { cpu, memory } = await startCost(envoy.pid).finally(() => envoy.stop());
    rows.push([lane.name, cpu.toFixed(0), memory.toFixed(0)]);
  }
  if (rows.length > 0) console.log(`\n${table(['start of Envoy, one worker, module compiled', 'CPU, ms', 'memory, MiB'], rows).join('\n')}`);
}

/** Prints the figures. A missed target is said aloud and is not an error: only a void run is. */
function report(samples) {
  const print = (head, rows) => console.log(`\n${table(head, rows).join('\n')}`);
  console.log(`\nCPU time of Envoy, ${rounds} × ${requests} requests per lane: median of the rounds [quartiles]`);
  print(['lane', 'µs/request', 'above router, µs', 'of the native chain', 'router included'], lanes.map(({ id, name, peer, base }) => [
    name,
    show(figure(samples, { of: { [id]: 1 } }), 1),
    id.startsWith(ROUTER) ? '' : show(figure(samples, { of: overhead(id, base) }), 1),
    peer ? show(figure(samples, { of: overhead(id, base), to: overhead(peer, base) }), 2) : '',
    peer ? show(figure(samples, { of: { [id]: 1 }, to: { [peer]: 1 } }), 2) : '',
  ]));
  print(['with an exchange / without', 'CPU per request', 'above router'], EXCHANGES.map(({ name, with: id, without, base }) => [
    name,
    show(figure(samples, { of: { [id]: 1 }, to: { [without]: 1 } }), 3),
    show(figure(samples, { of: overhead(id, base), to: overhead(without, base) }), 2),
  ]));
  print(['step, by subtraction', 'µs'], STEPS.map((step) => [step.name, show(figure(samples, step), 1)]));
  print(['target', 'measured', 'at most', ''], TARGETS.map((target) => {
    const measured = figure(samples, target);
    return [target.name, show(measured, target.digits), String(target.limit), verdict(measured, target.limit)];
  }));
}

function show(measured, digits) {
  if (!measured) return 'not run';
  const [median, low, high] = [measured.median, measured.low, measured.high].map((value) => value.toFixed(digits));
  return `${median} [${low} ${high}]`;
}

/** A whole number from the environment. */
function setting(name, standard) {
  const value = Number(process.env[name] || standard);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} must be a whole number from 1`);
  return value;
}

/** The lanes named in `list`, separated by commas, and the router; all without a list. */
function chosen(all, list) {
  if (!list) return all;
  const ids = new Set([ROUTER, ...list.split(',')]);
  const unknown = [...ids].filter((id) => !all.some((lane) => lane.id === id));
  if (unknown.length > 0) throw new Error(`LANES: no ${unknown.join()}; there are ${all.map(({ id }) => id).join()}`);
  return all.filter(({ id }) => ids.has(id));
}
