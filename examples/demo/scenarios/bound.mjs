// Calls by hand with tokens that are bound to their holder's key (RFC 9449) or certificate
// (RFC 8705), by the holder and by a thief.

import { KeyHolder } from '../lib/key-holder.mjs';
import { request } from '../lib/mcp.mjs';
import { clientCredentials } from '../lib/tokens.mjs';
import { CASE_HEADER, outcome } from './direct.mjs';

const SCOPE = 'mcp:connect';

/** What every call is. */
const WHOAMI = ['tools/call', { name: 'whoami', arguments: {} }];

/**
 * Runs the calls against the MCP server at `url`, where proofs need a nonce if `nonce` says so,
 * and at `tlsUrl`, where tokens are bound to certificates. `backends` are of `startBackends`.
 *
 * Returns steps as `runDirect` does.
 */
export async function runBound({ url, nonce, tlsUrl, backends, tag }) {
  const refused = (reason, error) => ({ outcome: 'refused', statuses: [401], challenge: { scope: SCOPE, error }, reason });
  const steps = [];
  const step = async (who, at, expected, call) => {
    const caseHeader = { [CASE_HEADER]: `${tag} bound ${steps.length}` };
    steps.push({
      ...await call(caseHeader),
      step: 'tools/call whoami',
      client: `by hand (${who})`,
      url: at,
      tag: caseHeader[CASE_HEADER],
      expected,
    });
  };
  await withKey({ url, nonce, issuer: backends.issuer, step, refused });
  await withCertificate({ url: tlsUrl, backends, step, refused });
  return steps;
}

async function withKey({ url, nonce, issuer, step, refused }) {
  const holder = await KeyHolder.create();
  const thief = await KeyHolder.create();
  const token = await holder.token({ issuer, client: 'demo-dpop', resource: url, scope: SCOPE });
  const call = (headers) => request(url, ...WHOAMI, headers);
  const once = (headers) => async (caseHeader) => outcome([await call({ ...headers, ...caseHeader })], 'tools/call whoami');

  let current;
  let sent = await holder.headers({ url, token });
  const accepted = nonce
    ? { statuses: [401, 200], challenge: { scope: SCOPE, error: 'use_dpop_nonce' }, reason: 'dpop_nonce' }
    : {};
  await step('its key', url, { ...accepted, subject: 'demo-dpop' }, async (caseHeader) => {
    const answers = [await call({ ...sent, ...caseHeader })];
    if (nonce) {
      current = answers[0].headers.get('dpop-nonce');
      sent = await holder.headers({ url, token, nonce: current });
      answers.push(await call({ ...sent, ...caseHeader }));
    }
    return outcome(answers, 'tools/call whoami');
  });
  await step('the same proof again', url, refused('dpop_replay', 'invalid_dpop_proof'), once(sent));
  await step('stolen token, as bearer', url, refused('dpop_downgrade', 'invalid_token'), once({ authorization: `Bearer ${token}` }));
  await step('stolen token, key of the thief', url, refused('dpop_jkt', 'invalid_dpop_proof'),
    once(await thief.headers({ url, token, nonce: current })));
}

async function withCertificate({ url, backends: { issuer, tlsTokenEndpoint, certificates }, step, refused }) {
  const tls = (name) => ({ ca: certificates.ca, ...(name && certificates.of(name)) });
  const token = await clientCredentials({
    issuer, client: 'demo-mtls', resource: url, scope: SCOPE, endpoint: tlsTokenEndpoint, tls: tls('client'),
  });
  const call = (name) => async (caseHeader) => {
    // Nobody asked for a proof there: it is taken away and means nothing.
    const headers = { authorization: `Bearer ${token}`, dpop: 'not.a.proof', ...caseHeader };
    return outcome([await request(url, ...WHOAMI, headers, tls(name))], 'tools/call whoami');
  };
  const wrong = refused('mtls_certificate', 'invalid_token');
  await step('its certificate', url, { subject: 'demo-mtls' }, call('client'));
  await step("another's certificate", url, wrong, call('other'));
  await step('no certificate', url, wrong, call());
}
