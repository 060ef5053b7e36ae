// Walks through an example of a policy on the real stack: see `../walk.mjs`.
//
// A step of `walk.json`:
//   as       who calls: `{ user, agent, scope, acr?, exchange? }` logs a person in through an agent
//            (`user` is a login_hint of `idp/people.mjs`), and `exchange` passes the token on to
//            agents, one after the other; or `{ workload, scope }`, a client on its own
//   calls    a tool, with `arguments` if it needs some; or
//   sees     the tools that its list has to have, and no others
//   with     headers besides
//   times    how often it is called, 1 if left out; what is expected is expected of the last
//   expect   `allow`, or why policy denies (`policy_reason` of the record) or another code of it
//   answer   what the client gets for it: an HTTP status, or a JSON-RPC code in a 200
//   record   members that the record has to have

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startEnvoy } from './envoy.mjs';
import { request } from './mcp.mjs';
import { ROOT } from './paths.mjs';
import { freePorts } from './ports.mjs';
import { stopAll } from './process.mjs';
import { startBackends } from './stack.mjs';
import { clientCredentials, exchangeToken, userToken } from './tokens.mjs';

const MODES = ['stream', 'hold'];

/** How long a record may take to be written, in ms. */
const RECORD_LIMIT = 5000;

/** Arguments that satisfy every tool of the stack. */
const ARGUMENTS = { uri: 'docs://roadmap', query: 'audit', id: '7', to: 'a contact', text: 'hello' };

/**
 * Walks through `examples/NAME` in each of `modes`; logs go to `directory`.
 *
 * Returns steps `{ mode, who, what, answer, record, problem }`: `problem` is undefined where the
 * step went as it should.
 */
export async function walk(name, { directory, modes = MODES }) {
  const example = join(ROOT, 'examples', name);
  const plan = JSON.parse(readFileSync(join(example, 'walk.json'), 'utf8'));
  const ports = await freePorts(modes.length);
  const started = [];
  try {
    const origins = ports.map((port) => `http://127.0.0.1:${port}`);
    const backends = await startBackends({ origins, directory, crm: true });
    started.push(backends);
    const steps = [];
    for (const [index, mode] of modes.entries()) {
      const envoy = await startEnvoy({
        mode, port: ports[index], backends, directory, bootstrap: join(example, 'envoy.yaml'),
        configure: (configuration) => ({ ...configuration, host_mode: mode }),
        edit: mode === 'hold' ? hold : undefined,
        machines: false,
      });
      started.push(envoy);
      const run = new Walk(mode, envoy, backends.issuer);
      for (const step of plan) steps.push(await run.step(step));
    }
    return steps;
  } finally {
    await stopAll(started.reverse());
  }
}

/** What `hold` needs of the host. */
function hold(bootstrap) {
  const filters = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters;
  const { config } = filters.find(({ name }) => name === 'countersign').typed_config;
  config.allow_on_headers_stop_iteration = true;
}

class Walk {
  #mode;
  #envoy;
  #issuer;
  #tokens = new Map();

  constructor(mode, envoy, issuer) {
    this.#mode = mode;
    this.#envoy = envoy;
    this.#issuer = issuer;
  }

  async step({ as, calls, sees, arguments: given, with: headers = {}, times = 1, server = 'typescript', expect = 'allow', answer, record: members = {} }) {
    const url = `${this.#envoy.origin}/${server}/mcp`;
    const authorization = `Bearer ${await this.#token(as, url)}`;
    const [method, params] = calls ? ['tools/call', { name: calls, arguments: given ?? ARGUMENTS }] : ['tools/list', {}];
    let response;
    for (let call = 0; call < times; call += 1) response = await request(url, method, params, { authorization, ...headers });
    const record = await this.#record(response.headers.get('x-countersign-decision-id'));
    const code = response.body?.error?.code;
    const told = response.status === 200 && code !== undefined ? code : response.status;
    const step = { mode: this.#mode, who: whoIs(as), what: calls ?? 'tools/list', answer: String(told), record };
    return { ...step, problem: problemOf({ response, record, told, expect, answer, members, sees }) };
  }

  /** Tokens are asked for once: most steps are about what one and the same caller may do. */
  #token(as, resource) {
    const key = JSON.stringify([as, resource]);
    if (!this.#tokens.has(key)) this.#tokens.set(key, this.#grant(as, resource));
    return this.#tokens.get(key);
  }

  async #grant({ workload, user, agent, scope, acr, exchange = [] }, resource) {
    const issuer = this.#issuer;
    if (workload) return clientCredentials({ issuer, client: workload, resource, scope });
    let token = await userToken({ issuer, client: agent, user, resource, scope, acr });
    for (const client of exchange) token = await exchangeToken({ issuer, client, token, resource });
    return token;
  }

  /** The record of a decision, which is written when its stream ends. */
  async #record(id) {
    for (const end = Date.now() + RECORD_LIMIT; Date.now() < end; await sleep(20)) {
      const lines = readFileSync(this.#envoy.accessLog, 'utf8').split('\n');
      const line = lines.find((candidate) => candidate.includes(`"decision_id":"${id}"`));
      if (line) return JSON.parse(line);
    }
    return undefined;
  }
}

function whoIs({ workload, user, agent, acr, exchange = [] }) {
  if (workload) return `${workload} itself`;
  return [`${user} by ${agent}`, ...exchange].join(' and ') + (acr ? ` (${acr})` : '');
}

function problemOf({ response, record, told, expect, answer, members, sees }) {
  if (!record) return 'no record';
  const allowed = expect === 'allow';
  if (record.outcome !== (allowed ? 'allow' : 'deny')) return `${record.outcome}, ${record.code}`;
  if (!allowed && ![record.policy_reason, record.code].includes(expect)) return `denied for ${record.policy_reason ?? record.code}`;
  if (allowed && told !== 200) return `answered ${told}`;
  if (answer !== undefined && told !== answer) return `answered ${told} instead of ${answer}`;
  for (const [name, value] of Object.entries(members)) {
    if (JSON.stringify(record[name]) !== JSON.stringify(value)) return `${name} is ${JSON.stringify(record[name])}`;
  }
  if (sees) {
    const seen = (response.body?.result?.tools ?? []).map(({ name }) => name).sort();
    if (JSON.stringify(seen) !== JSON.stringify([...sees].sort())) return `sees ${seen.join(', ') || 'nothing'}`;
  }
  return undefined;
}
