// Walks through an example of a policy on the real stack: see `../walk.mjs`.
//
// A step of `walk.json`:
//   as       who calls: `{ user, agent, scope, acr?, exchange? }` logs a person in through an agent
//            (`user` is a login_hint of `idp/people.mjs`), and `exchange` passes the token on to
//            agents, one after the other; or `{ workload, scope }`, a client on its own; or
//            `{ entra, acrs? }` or `{ auth0 }`, a user of who stands for that vendor
//   calls    a tool, with `arguments` if it needs some; or
//   sees     the tools that its list has to have, and no others
//   with     headers besides
//   times    how often it is called, 1 if left out; what is expected is expected of the last
//   within   seconds in which it has to go as it should, 0 if left out: it is called until then
//   expect   `allow`, or why policy denies (`policy_reason` of the record) or another code of it
//   answer   what the client gets for it: an HTTP status, or a JSON-RPC code in a 200
//   tells    headers of the answer by name, and text that each has to have
//   record   members that the record has to have, and members of these
//   arrives  claims of the token with which it has to reach the MCP server (`true`: any token, which
//            need not be a JWT); `null`: no token may, and not a byte of a body
//   hops     true: worth showing whose token went how far
//
// Whatever the step, the caller's token must not reach the MCP server.
//
// Steps without a call: `{ breaks, path, how }` makes an authorization server, by its cluster, fail at
// a path in one of the ways of `admin.mjs`; `{ mends }` makes it well again.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { SECRET } from '../idp/clients.mjs';
import { failWith, recover } from './admin.mjs';
import { arrivalProblem, claimsOf, has, tokenOf } from './arrival.mjs';
import { startEnvoy } from './envoy.mjs';
import { request } from './mcp.mjs';
import { ROOT } from './paths.mjs';
import { freePorts } from './ports.mjs';
import { stopAll } from './process.mjs';
import { startBackends } from './stack.mjs';
import { clientCredentials, exchangeToken, userToken } from './tokens.mjs';
import { auth0UserToken, entraUserToken } from './vendors.mjs';

const MODES = ['stream', 'hold'];

/** Vendors' origins by cluster, and where `stack.mjs` expects who stands for them. */
const VENDORS = {
  entra: ['https://login.microsoftonline.com', 'http://127.0.0.1:9020'],
  auth0: ['https://example.eu.auth0.com', 'http://127.0.0.1:9030'],
};

/** How long a record may take to be written, in ms. */
const RECORD_LIMIT = 5000;

/** Time between two calls of a step that has some to go as it should, in ms. */
const AGAIN = 500;

/** Arguments that satisfy every tool of the stack. */
const ARGUMENTS = { uri: 'docs://roadmap', query: 'audit', id: '7', to: 'a contact', text: 'hello' };

/**
 * Walks through `examples/NAME` in each of `modes`; logs go to `directory`.
 *
 * Returns steps `{ mode, who, what, answer, record, problem, hops }`: `problem` is undefined where
 * the step went as it should; `hops`, where they are worth showing, is `{ given, arrived }`, the claims
 * of the caller's token and of the one that reached the MCP server: `null` if it is no JWT,
 * `undefined` if none did.
 */
export async function walk(name, { directory, modes = MODES }) {
  const example = join(ROOT, 'examples', name);
  const plan = JSON.parse(readFileSync(join(example, 'walk.json'), 'utf8'));
  const ports = await freePorts(modes.length);
  const started = [];
  try {
    const origins = ports.map((port) => `http://127.0.0.1:${port}`);
    const { secrets, exchange } = needsOf(JSON.parse(readFileSync(join(example, 'config.json'), 'utf8')));
    const backends = await startBackends({ origins, directory, crm: true, exchange });
    started.push(backends);
    const bootstrap = join(directory, 'envoy.yaml');
    writeFileSync(bootstrap, withoutVendors(readFileSync(join(example, 'envoy.yaml'), 'utf8')));
    const steps = [];
    for (const [index, mode] of modes.entries()) {
      const envoy = await startEnvoy({
        mode, port: ports[index], backends, directory, bootstrap,
        environment: Object.fromEntries(secrets.map((secret) => [secret, SECRET])),
        configure: (configuration) => ({ ...configuration, host_mode: mode }),
        edit: (rendered) => adapt(rendered, mode),
        machines: false,
      });
      started.push(envoy);
      const run = new Walk(mode, envoy, backends);
      for (const step of plan) steps.push(await run.step(step));
    }
    return steps;
  } finally {
    await stopAll(started.reverse());
  }
}

/**
 * What a configuration needs of the stack: `secrets`, variables with the secret of the demo's clients,
 * and `exchange` of `startBackends`, whose tokens the MCP server takes. It takes those of one
 * authorization server: a configuration with more is refused.
 */
export function needsOf({ exchanges = {} }) {
  const issuers = Object.values(exchanges).map(({ cluster, then }) => then?.cluster ?? cluster).filter(Boolean);
  const [exchange, another] = new Set(issuers);
  if (another) throw new Error(`the MCP server takes tokens of one authorization server, not of ${exchange} and ${another}`);
  const clients = Object.values(exchanges).flatMap(({ client, then }) => [client, then?.client]).filter(Boolean);
  return { exchange, secrets: clients.map((client) => client.client_secret?.env).filter(Boolean) };
}

/** A bootstrap with who stands for a vendor in its place. */
function withoutVendors(text) {
  return Object.values(VENDORS).reduce((result, [vendor, local]) => result.replaceAll(vendor, local), text);
}

/** Fits a bootstrap to the host mode and to vendors at loopback. */
function adapt({ static_resources: { listeners, clusters } }, mode) {
  const filters = listeners[0].filter_chains[0].filters[0].typed_config.http_filters;
  const { config } = filters.find(({ name }) => name === 'countersign').typed_config;
  // What `hold` needs of the host, and `stream` must not have.
  config.allow_on_headers_stop_iteration = mode === 'hold';
  for (const cluster of clusters.filter(({ name }) => name in VENDORS)) {
    cluster.type = 'STATIC';
    delete cluster.transport_socket;
    cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address = '127.0.0.1';
  }
}

class Walk {
  #mode;
  #envoy;
  #backends;
  #tokens = new Map();

  constructor(mode, envoy, backends) {
    this.#mode = mode;
    this.#envoy = envoy;
    this.#backends = backends;
  }

  async step(step) {
    if (step.breaks) return this.#breakServer(step);
    if (step.mends) return this.#mendServer(step);
    for (const end = Date.now() + (step.within ?? 0) * 1000; ; await sleep(AGAIN)) {
      const done = await this.#call(step);
      if (!done.problem || Date.now() > end) return done;
    }
  }

  async #breakServer({ breaks, path, how }) {
    await failWith(this.#backends.servers[breaks].admin, path, how);
    return this.#said(breaks, `${path}: ${how}`);
  }

  async #mendServer({ mends }) {
    await recover(this.#backends.servers[mends].admin);
    return this.#said(mends, 'is well again');
  }

  #said(who, what) {
    return { mode: this.#mode, who, what, answer: '-' };
  }

  async #call({ as, calls, sees, arguments: given, with: headers = {}, times = 1, server = 'typescript', hops, ...wanted }) {
    const url = `${this.#envoy.origin}/${server}/mcp`;
    const token = await this.#token(as, url);
    const [method, params] = calls ? ['tools/call', { name: calls, arguments: given ?? ARGUMENTS }] : ['tools/list', {}];
    await fetch(this.#backends.tap, { method: 'DELETE' });
    let response;
    for (let call = 0; call < times; call += 1) {
      response = await request(url, method, params, { authorization: `Bearer ${token}`, ...headers });
    }
    const record = await this.#record(response.headers.get('x-countersign-decision-id'));
    const arrived = await (await fetch(this.#backends.tap)).json();
    const code = response.body?.error?.code;
    const told = response.status === 200 && code !== undefined ? code : response.status;
    const step = { mode: this.#mode, who: whoIs(as), what: calls ?? 'tools/list', answer: String(told), record };
    return {
      ...step,
      problem: problemOf({ response, record, told, sees }, wanted) ?? arrivalProblem({ arrived, token, arrives: wanted.arrives }),
      ...(hops && { hops: { given: claimsOf(token), arrived: claimsOf(tokenOf(arrived.at(-1))) } }),
    };
  }

  /** Tokens are asked for once: most steps are about what one and the same caller may do. */
  #token(as, resource) {
    const key = JSON.stringify([as, resource]);
    if (!this.#tokens.has(key)) this.#tokens.set(key, this.#grant(as, resource));
    return this.#tokens.get(key);
  }

  async #grant({ workload, user, agent, scope, acr, exchange = [], entra, auth0, acrs }, resource) {
    const { issuer, servers } = this.#backends;
    if (entra) return entraUserToken({ admin: servers.entra.admin, user: entra, acrs, xms_cc: ['cp1'] });
    if (auth0) return auth0UserToken({ admin: servers.auth0.admin, user: auth0 });
    if (workload) return clientCredentials({ issuer, client: workload, resource, scope });
    let token = await userToken({ issuer, client: agent, user, resource, scope, acr });
    for (const client of exchange) token = await exchangeToken({ issuer, client, token, resource });
    return token;
  }

  /** The record of a decision, which is written when its stream ends. */
  async #record(id) {
    for (const end = Date.now() + RECORD_LIMIT; Date.now() < end; await sleep(20)) {
      // The last one may be half written.
      const lines = readFileSync(this.#envoy.accessLog, 'utf8').split('\n').slice(0, -1);
      const line = lines.find((candidate) => candidate.includes(`"decision_id":"${id}"`));
      if (line) return JSON.parse(line);
    }
    return undefined;
  }
}

function whoIs({ workload, user, agent, acr, exchange = [], entra, auth0, acrs }) {
  if (workload) return `${workload} itself`;
  if (entra || auth0) return (entra ?? auth0) + (acrs ? ` (${acrs})` : '');
  return [`${user} by ${agent}`, ...exchange].join(' and ') + (acr ? ` (${acr})` : '');
}

function problemOf({ response, record, told, sees }, { expect = 'allow', answer, tells = {}, record: members = {} }) {
  if (!record) return 'no record';
  const allowed = expect === 'allow';
  if (record.outcome !== (allowed ? 'allow' : 'deny')) return `${record.outcome}, ${record.code}`;
  if (!allowed && ![record.policy_reason, record.code].includes(expect)) return `denied for ${record.policy_reason ?? record.code}`;
  if (allowed && told !== 200) return `answered ${told}`;
  const body = JSON.stringify(response.body);
  // Refusals of the MCP server are results, in JSON or in the text of an event.
  if (allowed && /"isError\\?":true/.test(body)) return `the MCP server says ${body}`;
  if (answer !== undefined && told !== answer) return `answered ${told} instead of ${answer}`;
  for (const [name, value] of Object.entries(members)) {
    if (!has(record[name], value)) return `${name} is ${JSON.stringify(record[name])}`;
  }
  for (const [name, text] of Object.entries(tells)) {
    if (!response.headers.get(name)?.includes(text)) return `${name} is ${response.headers.get(name)}`;
  }
  if (sees) {
    const seen = (response.body?.result?.tools ?? []).map(({ name }) => name).sort();
    if (JSON.stringify(seen) !== JSON.stringify([...sees].sort())) return `sees ${seen.join(', ') || 'nothing'}`;
  }
  return undefined;
}
