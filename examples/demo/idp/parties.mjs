// The parties of an exchange: for whom (`subject_token`) and by whom (`actor_token`). What is wrong
// with either token is `invalid_request` (RFC 8693, 2.2.2).

import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

import { ACCESS_TOKEN, JWT } from './uris.mjs';

/** SPIFFE JWT-SVID, 3: the only algorithms. */
const SVID_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];

/** Claims of the subject's token, which this server has issued. `ours` is `{ issuer, keys }`. */
export async function subjectOf({ subject_token: token, subject_token_type: type }, ours) {
  if (![ACCESS_TOKEN, JWT].includes(type)) throw new errors.InvalidRequest('subject_token_type');
  return accessToken(token, ours, 'subject_token');
}

/**
 * Claims of the actor's token, or undefined when there is none: an access token of ours, or the
 * JWT-SVID of a workload, for this server. `trustDomains` has the URL of the bundle by trust domain.
 */
export async function actorOf({ actor_token: token, actor_token_type: type }, { trustDomains, ...ours }) {
  // RFC 8693, 2.1: both or none.
  if ((token === undefined) !== (type === undefined)) throw new errors.InvalidRequest('actor_token and actor_token_type');
  if (token === undefined) return undefined;
  if (![ACCESS_TOKEN, JWT].includes(type)) throw new errors.InvalidRequest('actor_token_type');
  const domain = type === JWT ? trustDomainOf(token) : undefined;
  if (!domain) return accessToken(token, ours, 'actor_token');
  const bundle = trustDomains[domain];
  if (!bundle) throw new errors.InvalidRequest('actor_token: unknown trust domain');
  return jwtSvid(token, bundle, ours.issuer);
}

/**
 * `act` of the new token: the actor, then who acted before, last the client that the person used.
 * Who acts for a user twice in a row is named once.
 */
export function actingParty(subject, actor) {
  const allowed = subject.may_act;
  // RFC 8693, 4.4: only the party that it names.
  if (allowed && !Object.entries(allowed).every(([name, value]) => actor[name] === value)) {
    throw new errors.InvalidRequest('may_act names another actor');
  }
  const before = subject.act ?? { sub: subject.client_id };
  return before.sub === actor.sub ? before : { sub: actor.sub, act: before };
}

async function accessToken(token, { issuer, keys }, parameter) {
  const { payload } = await jwtVerify(token ?? '', keys, { issuer, typ: 'at+jwt' })
    .catch((error) => { throw new errors.InvalidRequest(`${parameter}: ${error.message}`); });
  return payload;
}

/** The trust domain of a JWT that says it is a workload's, unverified. */
function trustDomainOf(token) {
  try {
    const { protocol, host } = new URL(decodeJwt(token).sub);
    return protocol === 'spiffe:' ? host : undefined;
  } catch {
    return undefined;
  }
}

async function jwtSvid(token, bundle, audience) {
  const { keys } = await (await fetch(bundle)).json();
  // The library knows no such `use`.
  const own = keys.filter(({ use }) => use === 'jwt-svid').map(({ use: _use, ...key }) => key);
  const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: own }), {
    audience, algorithms: SVID_ALGORITHMS, requiredClaims: ['exp'],
  }).catch((error) => { throw new errors.InvalidRequest(`actor_token: ${error.message}`); });
  return payload;
}
