// What is measured, what each lane must have done to count, and what is concluded from it.

import { sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SHAPES, largeCall } from './bodies.mjs';
import { RESOURCE, SigningKey, accessToken, dpopProof } from './credentials.mjs';
import { countersignChain, nativeChain, wasmChain } from './envoy.mjs';
import { CALLS_PER_TOKEN, CROWD, EXCHANGE, USERS, Users, newTokens } from './exchange.mjs';
import { ISSUERS, RULES, manyIssuers, manyRules } from './policies.mjs';
import { noopModule, verifyingModule } from './wasm.mjs';

/** The lane that the others are compared with. */
export const ROUTER = 'router';

/** Our filter's counters of tokens that were, and were not, verified before. */
const HIT = 'wasmcustom.countersign.token_cache.hits';
const MISS = 'wasmcustom.countersign.token_cache.misses';

/** Our filter's counter of credentials for the MCP server that were there. */
const EXCHANGED_BEFORE = 'wasmcustom.countersign.exchange_cache.hits';

/** What a counter rises by in `count` requests: with each of them, or by those whose token is known. */
const each = (count) => count;
const known = (count) => count - newTokens(count);

/** One request and no session. */
const REVISION = '2026-07-28';
const META = { 'io.modelcontextprotocol/protocolVersion': REVISION, 'io.modelcontextprotocol/clientCapabilities': {} };

/** A call of 1 MiB takes some ten times the CPU of a small one, and its lanes no more of the run. */
const LARGE_SHARE = 0.1;

/** The tool that all lanes call. */
const CALLED = 'search_docs';

/** A tool whose scope no token here has. */
export const FORBIDDEN = 'delete_doc';

/**
 * All lanes, in the order in which a round runs them. Modules made here go to `directory`.
 *
 * - `id`: the listener and the name for `LANES=`
 * - `name`: in the table
 * - `chain`: of Envoy's filters, the router left out
 * - `request(tool)`: a new call, signed as it is made
 * - `calls(count)`: the calls of a round, which are so many of `request()` unless told
 * - `warmUp()`: calls before the first round
 * - `enforces`: whether it must refuse the forbidden tool
 * - `counters`: for counters of Envoy, what so many requests must have raised each by; a lane that is
 *   not what its name says, such as a hit that misses, is an error
 * - `exchanges(count)`: how often these must have asked the authorization server: never, unless told
 * - `peer`: the lane of Envoy's own filters with which it is compared
 * - `base`: the lane of the router with the same body, `ROUTER` unless told
 * - `share`: of the requests of a round, all unless told
 * - `crowd`: so many requests in every round, and all at once
 */
export function makeLanes(directory) {
  const keys = Object.fromEntries(['ES256', 'RS256', 'PS256', 'EdDSA'].map((alg) => [alg, new SigningKey(alg)]));
  const jwks = { keys: Object.values(keys).map(({ published }) => published) };
  // Native filters take no key of an algorithm they do not know.
  const nativeJwks = { keys: [keys.ES256.published, keys.RS256.published] };
  // Each issuer has a set of its own.
  const issuerJwks = { keys: [keys.ES256.published] };
  const proofKeys = { ES256: new SigningKey('ES256'), EdDSA: new SigningKey('EdDSA') };

  const bearer = (token, tool) => message({ authorization: `Bearer ${token}` }, tool);
  const same = (alg) => {
    const token = accessToken(keys[alg]);
    return (tool) => bearer(token, tool);
  };
  const another = (alg) => (tool) => bearer(accessToken(keys[alg]), tool);
  const proven = (alg) => {
    const token = accessToken(keys.ES256, { confirmed: proofKeys[alg] });
    return (tool) => message({ authorization: `DPoP ${token}`, dpop: dpopProof(proofKeys[alg], token) }, tool);
  };
  const wasm = (id, module) => {
    const file = join(directory, `${id}.wasm`);
    writeFileSync(file, module);
    return wasmChain(id, file);
  };
  const native = (id, alg, cache) => ({
    id,
    name: `native chain, ${alg}, ${cache ? 'JWT cache' : 'no cache'}`,
    chain: nativeChain({ jwks: nativeJwks, cache }),
    request: same(alg),
    enforces: true,
    counters: { [`http.${id}.jwt_authn.${cache ? 'jwt_cache_hit' : 'allowed'}`]: each },
  });
  const ours = (id, name, { mode = 'stream', request, counter = HIT, peer, ...options }) => ({
    id,
    name: `ours, ${name}`,
    chain: countersignChain({ mode, jwks, ...options }),
    request,
    enforces: true,
    counters: { [counter]: each },
    peer,
    log: options.log,
  });
  const large = (shape) => {
    const { name } = SHAPES[shape];
    const token = accessToken(keys.ES256);
    // As it is always the same, it is made once.
    const calls = new Map();
    const request = (tool = CALLED) => {
      if (!calls.has(tool)) calls.set(tool, message({ authorization: `Bearer ${token}` }, tool, largeCall(shape, tool, META)));
      return calls.get(tool);
    };
    const [base, peer] = [`${ROUTER}-${shape}`, `native-${shape}`];
    return [
      { id: base, name: `router only, 1 MiB: ${name}`, chain: [], request },
      { ...native(peer, 'ES256', true), name: `native chain, 1 MiB: ${name}`, request, base },
      { ...ours(shape, `1 MiB: ${name}`, { request, peer }), base },
      { ...ours(`${shape}-hold`, `1 MiB: ${name}, hold`, { mode: 'hold', request, peer }), base },
    ].map((lane) => ({ ...lane, share: LARGE_SHARE }));
  };
  const dpop = { server: { dpop: { mode: 'required' } } };
  // What goes on: the caller's token in no lane, and in these another one in its place.
  const exchanging = { exchanges: { bench: EXCHANGE }, server: { exchange: 'bench' } };
  const exchanged = (id, name, mode) => {
    const lane = ours(id, name, { mode, request: same('ES256'), peer: 'native-es256-cached', ...exchanging });
    return { ...lane, warmUp: () => [lane.request()], counters: { ...lane.counters, [EXCHANGED_BEFORE]: each } };
  };
  const users = (id, name, options) => {
    const turns = new Users(keys.ES256);
    return {
      ...ours(id, name, { request: another('ES256'), ...options }),
      warmUp: () => turns.everyone().map((token) => bearer(token)),
      calls: (count) => turns.next(count).map((token) => bearer(token)),
      counters: { [HIT]: known, [MISS]: newTokens },
    };
  };
  // All with the same token, that of a user who was never there before.
  const crowd = (lane) => ({
    ...lane,
    crowd: CROWD,
    base: `${ROUTER}-crowd`,
    calls: (count) => {
      const request = lane.request();
      return Array.from({ length: count }, () => request);
    },
  });
  const burst = (id, name, options) => crowd({
    ...ours(id, name, { request: another('ES256'), ...options }), counters: { [HIT]: (count) => count - 1, [MISS]: () => 1 },
  });

  return [
    { id: ROUTER, name: 'router only', chain: [], request: same('ES256') },
    { id: 'noop', name: 'no-op Wasm', chain: wasm('noop', noopModule()), request: same('ES256') },
    {
      id: 'verify',
      name: 'no-op Wasm, one native ES256 verification',
      chain: wasm('verify', verifyingModule(signedExample(keys.ES256))),
      request: same('ES256'),
    },
    native('native-es256-cached', 'ES256', true),
    native('native-rs256-cached', 'RS256', true),
    native('native-es256', 'ES256', false),
    native('native-rs256', 'RS256', false),
    ours('hit', 'verified token', { request: same('ES256'), peer: 'native-es256-cached' }),
    ours('hit-hold', 'verified token, hold', { mode: 'hold', request: same('ES256'), peer: 'native-es256-cached' }),
    ours('hit-bare', 'verified token, no identity headers', { request: same('ES256'), peer: 'native-es256-cached', audit: { identity_headers: false } }),
    ours('hit-log', 'verified token, record logged', { request: same('ES256'), peer: 'native-es256-cached', log: true }),
    ours('miss-es256', 'new token, ES256', { request: another('ES256'), counter: MISS, peer: 'native-es256' }),
    ours('miss-rs256', 'new token, RS256', { request: another('RS256'), counter: MISS, peer: 'native-rs256' }),
    ours('miss-ps256', 'new token, PS256 (in the module)', { request: another('PS256'), counter: MISS, peer: 'native-rs256' }),
    ours('miss-eddsa', 'new token, EdDSA (in the module)', { request: another('EdDSA'), counter: MISS, peer: 'native-es256' }),
    ours('dpop-es256', 'DPoP, ES256', { request: proven('ES256'), peer: 'native-es256', ...dpop }),
    ours('dpop-es256-hold', 'DPoP, ES256, hold', { mode: 'hold', request: proven('ES256'), peer: 'native-es256', ...dpop }),
    ours('dpop-eddsa', 'DPoP, EdDSA (in the module)', { request: proven('EdDSA'), peer: 'native-es256', ...dpop }),
    exchanged('exchange-hit', 'verified token, exchanged before'),
    exchanged('exchange-hit-hold', 'verified token, exchanged before, hold', 'hold'),
    users('users', `${USERS} users`),
    {
      ...users('exchange-users', `${USERS} users, exchanged`, exchanging),
      counters: { [HIT]: known, [MISS]: newTokens, [EXCHANGED_BEFORE]: known },
      exchanges: newTokens,
    },
    crowd({ id: `${ROUTER}-crowd`, name: `router only, ${CROWD} at once`, chain: [], request: same('ES256') }),
    burst('burst', `${CROWD} first calls at once`),
    { ...burst('exchange-burst', `${CROWD} first calls at once, exchanged`, exchanging), exchanges: () => 1 },
    ...RULES.map((count) => ours(`rules-${count}`, `verified token, ${count} rules`, {
      request: same('ES256'), peer: 'native-es256-cached',
      server: { tools: manyRules(count, { called: CALLED, forbidden: FORBIDDEN }) },
    })),
    ...ISSUERS.map((count) => ours(`issuers-${count}`, `verified token, ${count} issuers`, {
      request: same('ES256'), peer: 'native-es256-cached', issuers: manyIssuers(count, issuerJwks),
    })),
    ...ISSUERS.map((count) => ours(`issuers-${count}-new`, `new token, ${count} issuers`, {
      request: another('ES256'), counter: MISS, peer: 'native-es256', issuers: manyIssuers(count, issuerJwks),
    })),
    ...Object.keys(SHAPES).flatMap(large),
  ];
}

/** What a lane costs above the router. */
export const overhead = (lane, base = ROUTER) => ({ [lane]: 1, [base]: -1 });

/** One verification by the host, and a proof beyond that: what is ours of it. */
const VERIFICATION = { verify: 1, noop: -1 };
const OWN_PART_OF_PROOF = { 'dpop-es256': 1, hit: -1, verify: -1, noop: 1 };

/** What the project promises, at most `limit`: ratios, and one time in µs. `of` and `to` as in `figures.mjs`. */
export const TARGETS = [
  { name: 'verified token / native chain with JWT cache', of: overhead('hit'), to: overhead('native-es256-cached'), limit: 0.6, digits: 2 },
  { name: '  in hold', of: overhead('hit-hold'), to: overhead('native-es256-cached'), limit: 0.6, digits: 2 },
  { name: 'DPoP ES256 / native ES256 chain without cache', of: overhead('dpop-es256'), to: overhead('native-es256'), limit: 1, digits: 2 },
  { name: '  in hold', of: overhead('dpop-es256-hold'), to: overhead('native-es256'), limit: 1, digits: 2 },
  { name: 'CPU per request, exchanged before / plain bearer', of: { 'exchange-hit': 1 }, to: { hit: 1 }, limit: 1.15, digits: 3 },
  { name: '  in hold', of: { 'exchange-hit-hold': 1 }, to: { 'hit-hold': 1 }, limit: 1.15, digits: 3 },
  { name: 'CPU per request, 10,000 rules / 10', of: { 'rules-10000': 1 }, to: { 'rules-10': 1 }, limit: 1.1, digits: 3 },
  { name: 'CPU per request, 50 issuers / 1', of: { 'issuers-50': 1 }, to: { 'issuers-1': 1 }, limit: 1.1, digits: 3 },
  { name: '  with new tokens', of: { 'issuers-50-new': 1 }, to: { 'issuers-1-new': 1 }, limit: 1.1, digits: 3 },
  { name: 'ES256 proof without its native verification, µs', of: OWN_PART_OF_PROOF, limit: 40, digits: 1 },
  ...Object.entries(SHAPES).flatMap(([shape, { name }]) => {
    const [base, to] = [`${ROUTER}-${shape}`, overhead(`native-${shape}`, `${ROUTER}-${shape}`)];
    return [
      { name: `1 MiB / native chain: ${name}`, of: overhead(shape, base), to, limit: 2, digits: 2 },
      { name: '  in hold', of: overhead(`${shape}-hold`, base), to, limit: 2, digits: 2 },
    ];
  }),
];

/** Lanes with an exchange, and those with the same calls and none. */
export const EXCHANGES = [
  { name: 'exchanged before', with: 'exchange-hit', without: 'hit' },
  { name: '  in hold', with: 'exchange-hit-hold', without: 'hit-hold' },
  { name: `${USERS} users, a new token in ${CALLS_PER_TOKEN} calls`, with: 'exchange-users', without: 'users' },
  { name: `${CROWD} first calls of a user at once`, with: 'exchange-burst', without: 'burst', base: `${ROUTER}-crowd` },
];

/** Where the time goes, in µs, by subtraction. */
export const STEPS = [
  { name: 'a Wasm filter that does nothing', of: overhead('noop') },
  { name: 'our filter beyond that, token verified before', of: { hit: 1, noop: -1 } },
  { name: '  hold instead of stream', of: { 'hit-hold': 1, hit: -1 } },
  { name: '  without identity headers', of: { 'hit-bare': 1, hit: -1 } },
  { name: '  with the record in an access log', of: { 'hit-log': 1, hit: -1 } },
  { name: '  with a credential that was exchanged before', of: { 'exchange-hit': 1, hit: -1 } },
  { name: 'one native ES256 verification', of: VERIFICATION },
  { name: 'an ES256 token the first time', of: { 'miss-es256': 1, hit: -1 } },
  { name: '  beside its verification', of: { 'miss-es256': 1, hit: -1, verify: -1, noop: 1 } },
  { name: 'an RS256 token the first time', of: { 'miss-rs256': 1, hit: -1 } },
  { name: 'a PS256 token the first time', of: { 'miss-ps256': 1, hit: -1 } },
  { name: 'an EdDSA token the first time', of: { 'miss-eddsa': 1, hit: -1 } },
  { name: 'an ES256 proof', of: { 'dpop-es256': 1, hit: -1 } },
  { name: '  beside its verification', of: OWN_PART_OF_PROOF },
  { name: 'an EdDSA proof', of: { 'dpop-eddsa': 1, hit: -1 } },
];

/** A call as bytes, with credentials in `headers`. */
function message(headers, tool = CALLED, body = smallCall(tool)) {
  const { host, pathname } = new URL(RESOURCE);
  const lines = Object.entries({
    host,
    'user-agent': 'countersign-bench',
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'content-length': Buffer.byteLength(body),
    'mcp-protocol-version': REVISION,
    'mcp-method': 'tools/call',
    'mcp-name': tool,
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}

function smallCall(name) {
  return JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name, arguments: { query: 'proof of possession' }, _meta: META },
  });
}

/** What the host is to verify in each request of `verify`: as long as a proof's signing input is. */
function signedExample({ privateKey, publicKey }) {
  const text = Buffer.alloc(500, 'proof');
  return { spki: publicKey.export({ format: 'der', type: 'spki' }), signature: sign('sha256', text, privateKey), text };
}
