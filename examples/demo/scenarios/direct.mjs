// Calls by hand: machine clients, and the bad tokens that no SDK would send.

import { request } from '../lib/mcp.mjs';
import { clientCredentials, flipSignature } from '../lib/tokens.mjs';

/** Tags a request, so that the tap can tell which ones came through. */
export const CASE_HEADER = 'x-demo-case';

/** What a liar adds to his request. */
const FORGED = { 'x-countersign-subject': 'mallory' };

/** A proof, which has no business beside a bearer token (RFC 9449, 7.1). */
const PROOF = { dpop: 'not.a.proof' };

const whoami = ['tools/call', { name: 'whoami', arguments: {} }];
const deleteDoc = ['tools/call', { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } }];

/**
 * Runs the calls against the MCP server at `url`; `foreign` is the URL of another one.
 *
 * Returns steps of the shape that the SDK clients print, each with its `expected` (see check.mjs)
 * and `tag`.
 */
export async function runDirect({ url, foreign, issuer, tag }) {
  const token = (client, scope, resource = url) => clientCredentials({ issuer, client, resource, scope });
  const everything = 'mcp:connect docs:read docs:admin';
  const reader = await token('demo-reader', 'mcp:connect docs:read');
  const admin = await token('demo-admin', everything);
  const unauthorized = { outcome: 'refused', statuses: [401], challenge: { scope: 'mcp:connect' } };
  const invalid = { ...unauthorized, challenge: { scope: 'mcp:connect', error: 'invalid_token' } };

  const mixed = {
    outcome: 'refused', statuses: [400], challenge: { scope: 'mcp:connect', error: 'invalid_request' }, reason: 'credentials_mixed',
  };

  const calls = [
    ['no token', undefined, whoami, unauthorized],
    ['bad signature', flipSignature(admin), whoami, invalid],
    ['wrong audience', await token('demo-admin', everything, foreign), whoami, invalid],
    ['expired', await token('demo-expired', everything), whoami, invalid],
    ['a proof too many', reader, whoami, mixed, PROOF],
    ['forged headers', reader, whoami, { subject: 'demo-reader' }],
    ['reader', reader, ['tools/list'], { value: ['read_doc', 'search_docs', 'whoami'] }],
    ['reader', reader, deleteDoc, {
      outcome: 'refused', statuses: [403], challenge: { scope: 'docs:admin', error: 'insufficient_scope' },
    }],
    ['admin', admin, deleteDoc, { value: 'deleted docs://roadmap' }],
    ['admin', admin, ['tools/list'], { value: ['delete_doc', 'read_doc', 'search_docs', 'whoami'] }],
    ['admin', admin, ['tools/call', { name: 'internal_debug', arguments: {} }], { outcome: 'error', code: -32602 }],
  ];

  const steps = [];
  for (const [who, bearer, [method, params], expected, more] of calls) {
    const headers = { ...FORGED, ...more, [CASE_HEADER]: `${tag} ${steps.length}` };
    if (bearer) headers.authorization = `Bearer ${bearer}`;
    const message = [method, params?.name].filter(Boolean).join(' ');
    steps.push({
      ...outcome([await request(url, method, params, headers)], message),
      step: message,
      client: `by hand (${who})`,
      tag: headers[CASE_HEADER],
      expected,
    });
  }
  return steps;
}

/** What the last of `answers` (see `request`) comes to, and all of them as exchanges of `message`. */
export function outcome(answers, message) {
  const exchanges = answers.map(({ status, headers }) => ({
    request: 'POST',
    message,
    status,
    decision: headers.get('x-countersign-decision-id') ?? undefined,
    challenge: headers.get('www-authenticate') ?? undefined,
  }));
  const { status, body } = answers.at(-1);
  return { ...judge(status, body), exchanges };
}

function judge(status, body) {
  if (status !== 200) return { outcome: 'refused', value: body };
  if (body.error) return { outcome: 'error', value: body.error };
  const { tools, content } = body.result;
  return {
    outcome: 'result',
    value: tools?.map((tool) => tool.name).sort() ?? content.map((part) => part.text).join('\n'),
  };
}
