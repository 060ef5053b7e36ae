// What must be true of each step, of its records, and of what the server got.
//
// `expected` of a step, all optional:
//   outcome    "result" (default), "error" (a JSON-RPC error) or "refused" (an HTTP status)
//   statuses   of the MCP requests the step made, in order; default [200]
//   challenge  parameters that the first answer's WWW-Authenticate must have
//   reason     the code in the first answer's record
//   value      the result
//   code       the JSON-RPC error code
//   subject    the result is that of `whoami`, and this is who it must name

import { isDeepStrictEqual } from 'node:util';

import { CASE_HEADER } from './direct.mjs';

/** The methods by which a client connects, in either protocol era. */
const CONNECT = ['initialize', 'server/discover'];

/** The MCP requests of the step itself; what else an SDK sends on its own account is its affair. */
export function decided({ step, exchanges }) {
  const messages = step === 'connect' ? CONNECT : [step];
  return exchanges.filter(({ message }) => messages.includes(message));
}

/** What is wrong with a step, as sentences; `records` maps decision ids to audit records. */
export function checkStep(step, records) {
  const { expected, exchanges } = step;
  const outcome = expected.outcome ?? 'result';
  const requests = decided(step);
  const problems = [];
  const must = (fine, problem) => { if (!fine) problems.push(problem); };

  must(step.outcome === outcome, `${step.outcome} instead of ${outcome}: ${JSON.stringify(step.value)}`);
  const statuses = requests.map(({ status }) => status);
  must(isDeepStrictEqual(statuses, expected.statuses ?? [200]), `statuses ${statuses}`);
  if ('value' in expected) must(isDeepStrictEqual(step.value, expected.value), `value ${JSON.stringify(step.value)}`);
  if ('code' in expected) must(step.value?.code === expected.code, `code ${step.value?.code}`);
  if (expected.challenge) problems.push(...checkChallenge(requests[0]?.challenge, expected.challenge, step.url));
  if (expected.reason) {
    const { code } = records.get(requests[0]?.decision) ?? {};
    must(code === expected.reason, `reason ${code} instead of ${expected.reason}`);
    const offered = /(^|, )DPoP .*algs="[^"]+"/.test(requests[0]?.challenge);
    must(offered || !expected.reason.startsWith('dpop_'), `no DPoP challenge in ${requests[0]?.challenge}`);
  }
  if (expected.subject && step.outcome === 'result') problems.push(...checkIdentity(step, requests.at(-1)));
  if (step.step === 'connect') {
    const metadata = exchanges.find(({ request }) => request.includes('/.well-known/oauth-protected-resource'));
    must(metadata?.status === 200, 'the client did not find the resource metadata');
  }

  requests.forEach((request, index) => {
    const record = records.get(request.decision);
    const last = index === requests.length - 1;
    must(request.decision, 'answer without a decision id');
    must(record, `no audit record for decision ${request.decision}`);
    if (record) must(record.outcome === (last && outcome === 'result' ? 'allow' : 'deny'), `recorded as ${record.outcome}`);
  });
  return problems;
}

/** RFC 9728, 5.1 and RFC 6750, 3: the header a client acts upon. */
function checkChallenge(challenge, expected, url) {
  if (!challenge?.startsWith('Bearer ')) return [`challenge ${challenge}`];
  const { origin, pathname } = new URL(url);
  const wanted = { error: undefined, resource_metadata: `${origin}/.well-known/oauth-protected-resource${pathname}`, ...expected };
  return Object.entries(wanted)
    .map(([name, value]) => [name, value, new RegExp(`[ ,]${name}="([^"]*)"`).exec(challenge)?.[1]])
    .filter(([, value, actual]) => actual !== value)
    .map(([name, value, actual]) => `challenge ${name} is ${actual} instead of ${value}`);
}

/** The server knows the real caller, from us alone, and never sees his credentials. */
function checkIdentity({ expected, value, mode, issuer }, request) {
  if (!value.startsWith('{')) return [`whoami says ${value}`];
  const { headers, authorization, dpop } = JSON.parse(value);
  const wanted = {
    'x-countersign-subject': expected.subject,
    'x-countersign-issuer': issuer,
    'x-countersign-decision-id': request?.decision,
    ...(mode === 'hold' && { 'x-countersign-method': 'tools/call', 'x-countersign-object': 'whoami' }),
  };
  const problems = Object.entries(wanted)
    .filter(([name, wantedValue]) => headers[name] !== wantedValue)
    .map(([name, wantedValue]) => `${name} is ${headers[name]} instead of ${wantedValue}`);
  for (const name of ['x-countersign-client-id', 'x-countersign-scope']) {
    if (!headers[name]) problems.push(`${name} is missing`);
  }
  if (authorization) problems.push("the caller's Authorization reached the server");
  if (dpop) problems.push("the caller's DPoP reached the server");
  return problems;
}

/**
 * What of a step made by hand reached the server (`tap` is the list of servers/typescript/tap.mjs).
 * A call that was not allowed leaves no trace there in `hold`; in `stream` the server may have seen
 * headers of an authenticated caller, never a byte of the body.
 */
export function checkTap(step, tap) {
  const traces = tap.filter(({ headers }) => headers.some(([name, value]) => name.toLowerCase() === CASE_HEADER && value === step.tag));
  if (step.outcome === 'result') return traces.length === 1 ? [] : [`the server saw it ${traces.length} times`];
  const authenticated = !decided(step).some(({ status }) => status === 401);
  const allowed = step.mode === 'stream' && authenticated ? 1 : 0;
  if (traces.length > allowed) return ['a refused call reached the server'];
  return traces.some(({ bytes }) => bytes > 0) ? ["a refused call's body reached the server"] : [];
}
