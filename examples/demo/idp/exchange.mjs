// Token exchange (RFC 8693): a client that was given a user's token gets one of its own for the
// same user, narrower and for another audience. The new token says who acts, and before it whoever
// did (`act`), the client that the person used last of all. For another authorization server there
// is no token but an assertion of who the user is (assertion.mjs).

import { createLocalJWKSet } from 'jose';
import { errors } from 'oidc-provider';
// Not part of its interface: the version is pinned.
import { buildTokenResponse, resolveRequestedResources } from 'oidc-provider/lib/helpers/grants.js';

import { ASSERTION_TYPES, assertIdentity } from './assertion.mjs';
import { AUDIENCES, BACKEND, mapped } from './backend.mjs';
import { actingParty, actorOf, subjectOf } from './parties.mjs';
import { ACCESS_TOKEN, JWT, TOKEN_EXCHANGE } from './uris.mjs';

/** How long a new token is good, in seconds, and never longer than the one it was made of. */
const LIFETIME = 300;

/** Claims of a subject token that the new one repeats: who may act is not for a first actor to widen. */
const KEPT = ['roles', 'groups', 'tid', 'acr', 'auth_time', 'may_act'];

const PARAMETERS = [
  'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
  'resource', 'audience', 'scope', 'requested_token_type',
];

/**
 * Adds the grant to a provider for `issuer` that signs with the private `keys`. `partners` are
 * issuers of other authorization servers, which take its assertions; `trustDomains` see
 * `actorOf`.
 */
export function addTokenExchange(provider, { issuer, keys, partners, trustDomains }) {
  const ours = { issuer, trustDomains, keys: createLocalJWKSet({ keys: keys.map(publicJwk) }) };

  provider.registerGrantType(TOKEN_EXCHANGE, async (ctx) => {
    const { client, params } = ctx.oidc;
    const subject = await subjectOf(params, ours);
    const act = actingParty(subject, await actorOf(params, ours) ?? { sub: client.clientId, client_id: client.clientId, iss: issuer });
    const lifetime = Math.min(subject.exp - Math.floor(Date.now() / 1000), LIFETIME);
    const claims = { ...Object.fromEntries(KEPT.filter((name) => name in subject).map((name) => [name, subject[name]])), act };

    const { partner, resources } = targetOf(params, partners);
    // The provider reads its targets here, and refuses those it does not know.
    params.resource = resources;
    const servers = await resolveRequestedResources(provider, ctx);
    if (partner) {
      const scope = narrowed(params.scope, mapped(scopesOf(subject)));
      ctx.body = await assertIdentity({
        issuer, key: keys[0], client, subject, act, partner, resources, scope, lifetime, type: params.requested_token_type,
      });
      return;
    }
    if (servers.length !== 1) throw new errors.InvalidTarget('exactly one target');
    const issuedTokenType = params.requested_token_type ?? ACCESS_TOKEN;
    if (![ACCESS_TOKEN, JWT].includes(issuedTokenType)) throw new errors.InvalidRequest('requested_token_type');

    const token = new provider.AccessToken({
      accountId: subject.sub,
      client,
      scope: scopeFor(resources[0], params.scope, scopesOf(subject)),
      expiresIn: lifetime,
      gty: 'token_exchange',
    });
    [token.resourceServer] = servers;
    ctx.oidc.entity('Exchanged', claims);
    ctx.oidc.entity('AccessToken', token);
    ctx.body = buildTokenResponse(provider, {
      accessToken: await token.save(),
      expiresIn: token.expiration,
      issuedTokenType,
      scope: token.scope,
      tokenType: token.tokenType,
    });
  }, PARAMETERS, ['resource', 'audience']);
}

/** For whom the new token is: another authorization server, or the resources of ours. */
function targetOf({ resource, audience, requested_token_type: type }, partners) {
  const [audiences, resources] = [audience, resource].map((given) => [given ?? []].flat());
  const partner = partners.find((issuer) => audiences.includes(issuer));
  if (partner) {
    if (audiences.length !== 1 || !ASSERTION_TYPES.includes(type)) throw new errors.InvalidTarget('an assertion is for one server');
    return { partner, resources };
  }
  const named = audiences.map((name) => {
    if (!AUDIENCES[name]) throw new errors.InvalidTarget('unknown audience');
    return AUDIENCES[name];
  });
  return { resources: [...new Set([...resources, ...named])] };
}

function scopesOf({ scope }) {
  return scope?.split(' ') ?? [];
}

/**
 * Never more than the subject's token has, or than what it has stands for. Who asks for nothing
 * gets what the token has under the same name; behind the filter nothing is called the same.
 */
function scopeFor(resource, asked, held) {
  if (resource === BACKEND) return narrowed(asked, mapped(held));
  return narrowed(asked ?? held.join(' '), held);
}

/** What was asked for and may be had; a request that gets nothing of it is refused. */
function narrowed(asked, available) {
  if (!asked) return undefined;
  const granted = asked.split(' ').filter((scope) => available.includes(scope));
  if (granted.length === 0) throw new errors.InvalidScope('nothing of it is the subject\'s', asked);
  return granted.join(' ');
}

function publicJwk({ d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...key }) {
  return key;
}
