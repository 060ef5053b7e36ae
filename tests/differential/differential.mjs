// `make differential`: the same bytes to the filter and to real MCP servers. README.md says what
// counts. Environment: SEED, CASES (generated mutations), VECTORS (folder), MODE (stream or hold).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { stopAll } from '../../examples/demo/lib/process.mjs';
import { attackCases } from './attacks.mjs';
import { compare, recordedOperation } from './compare.mjs';
import { startGate } from './gate.mjs';
import { rightHeaders, validMessages } from './messages.mjs';
import { mutationCases } from './mutations.mjs';
import { Random } from './random.mjs';
import { report } from './report.mjs';
import { caseId, send } from './send.mjs';
import { startServers } from './servers.mjs';
import { vectorCases } from './vectors.mjs';

/** Generated mutations, unless CASES says otherwise: with these alone there are enough bodies. */
const DEFAULT_MUTATIONS = 5_000;

/** Time for what was accepted to have run, in ms. */
const SETTLED = 1_000;

const seed = process.env.SEED ? Number(process.env.SEED) : Date.now() % 2 ** 32;
const mode = process.env.MODE ?? 'hold';
const started = [];
const directory = mkdtempSync(join(tmpdir(), 'countersign-'));
try {
  process.exitCode = await run();
} finally {
  await stopAll(started);
  rmSync(directory, { recursive: true, force: true });
}

async function run() {
  console.log(`seed ${seed}, ${mode}`);
  const cases = allCases();
  const gate = await startGate({ directory, mode });
  started.push(gate);
  const servers = await startServers({ directory });
  started.push(servers);

  const results = cases.map(() => ({ ran: {} }));
  await Promise.all([
    askGate(gate, cases, results),
    ...servers.targets.map((target) => askServer(target, cases, results)),
  ]);
  await sleep(SETTLED);
  const verdicts = await gate.verdicts();
  await collect(servers.targets, cases, results);
  const outcomes = results.map((result, index) => judge(result, gate.received.get(caseId('gate', index)), cases[index], verdicts));
  return report(cases, outcomes, seed);
}

function allCases() {
  const vectors = vectorCases(process.env.VECTORS);
  if (vectors.length === 0) console.log('no VECTORS folder with json-test-suite: without JSONTestSuite');
  const valid = validMessages().map(({ era, session, message }) => ({
    kind: 'valid', note: `${message.method ?? 'answer'}, ${era}${session ? ', in a session' : ''}`, headers: rightHeaders(era, message), body: Buffer.from(JSON.stringify(message)), session,
  }));
  const mutations = mutationCases(new Random(seed), Number(process.env.CASES ?? DEFAULT_MUTATIONS));
  return [...valid, ...attackCases(), ...vectors, ...mutations];
}

/** Sends every case to the filter; notes status and decision id. */
async function askGate(gate, cases, results) {
  const authorization = ['authorization', `Bearer ${gate.token}`];
  await send({ name: 'gate', url: gate.url, sessionUrl: gate.url, extra: [authorization] }, cases, (index, response) => {
    results[index].decision = response.headers['x-countersign-decision-id'];
    results[index].status = response.status;
  });
}

async function askServer(target, cases, results) {
  await send(target, cases, (index, response) => {
    results[index].ran[target.name] = [];
    // Where the SDK keeps subscriptions to itself, its acknowledgement tells of them.
    results[index].acknowledged ??= {};
    results[index].acknowledged[target.name] = acknowledgement(response.text);
  });
}

async function collect(targets, cases, results) {
  for (const target of targets) {
    const ran = await target.ran();
    if (ran.unattributed) throw new Error(`${target.name} ran ${JSON.stringify(ran.unattributed)} for nobody knows what`);
    cases.forEach((_case, index) => {
      const result = results[index];
      if (!(target.name in result.ran)) return;
      const messages = ran[caseId(target.name, index)] ?? [];
      const acknowledged = result.acknowledged[target.name];
      const isNoted = messages.some(({ method }) => method === 'subscriptions/listen');
      result.ran[target.name] = acknowledged && !isNoted ? [...messages, acknowledged] : messages;
    });
  }
}

function acknowledgement(text) {
  for (const [, data] of text.matchAll(/^data: (.*)$/gm)) {
    if (!data.includes('notifications/subscriptions/acknowledged')) continue;
    return { method: 'subscriptions/listen', params: JSON.parse(data).params };
  }
  return undefined;
}

function judge({ decision, status, ran }, arrived, { body }, verdicts) {
  const record = verdicts.get(decision);
  if (decision && !record) throw new Error(`no record for decision ${decision}`);
  const verdict = {
    allowed: record?.outcome === 'allow',
    code: record?.code ?? `status ${status}`,
    operation: record && recordedOperation(record),
    arrived: arrived === undefined ? 'nothing' : arrived.equals(body) ? 'same' : 'differs',
  };
  return { verdict, ran, ...compare(verdict, ran) };
}
