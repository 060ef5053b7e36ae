// The grant by which another authorization server's assertion becomes a token (RFC 7523, 2.1):
// an ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant) or a plain JWT authorization grant
// (draft-ietf-oauth-identity-chaining).

import { createRemoteJWKSet, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';
// Not part of its interface: the version is pinned.
import { buildTokenResponse, resolveRequestedResources } from 'oidc-provider/lib/helpers/grants.js';

import { JWT_BEARER } from '../idp/uris.mjs';

/** `typ` of assertions. An access token of the first server has another one, and is none. */
const ID_JAG = 'oauth-id-jag+jwt';
const TYPES = [ID_JAG, 'JWT'];

/** What the people of the first server are called here. */
const GUESTS = 'partner.example';

/** How long a token is good, in seconds. */
const LIFETIME = 300;

/** Adds the grant to a provider for `issuer`, which trusts the issuer `trusted`. */
export function addAssertionGrant(provider, { issuer, trusted }) {
  const keys = createRemoteJWKSet(new URL(`${trusted}/jwks`));
  const seen = new Map();

  provider.registerGrantType(JWT_BEARER, async (ctx) => {
    const { client, params } = ctx.oidc;
    const claims = await verify(params.assertion, client.clientId);
    params.resource ??= claims.resource;
    const servers = await resolveRequestedResources(provider, ctx);
    if (servers.length !== 1) throw new errors.InvalidTarget('exactly one resource');

    const token = new provider.AccessToken({
      accountId: `${claims.sub}@${GUESTS}`,
      client,
      scope: narrowed(params.scope, claims.scope),
      expiresIn: LIFETIME,
      gty: 'jwt_bearer',
    });
    [token.resourceServer] = servers;
    ctx.oidc.entity('Asserted', claims.act && { act: claims.act });
    ctx.oidc.entity('AccessToken', token);
    ctx.body = buildTokenResponse(provider, {
      accessToken: await token.save(), expiresIn: token.expiration, scope: token.scope, tokenType: token.tokenType,
    });
  }, ['assertion', 'resource', 'scope'], []);

  /** The claims of an assertion for us, of the client that brings it, which came for the first time. */
  async function verify(assertion, clientId) {
    const { payload, protectedHeader: { typ } } = await jwtVerify(assertion ?? '', keys, {
      issuer: trusted, requiredClaims: ['sub', 'aud', 'exp', 'iat', 'jti'],
    }).catch((error) => { throw new errors.InvalidGrant(error.message); });
    if (!TYPES.includes(typ)) throw new errors.InvalidGrant('typ');
    // One audience: what others may use as well, others may have used.
    if (payload.aud !== issuer) throw new errors.InvalidGrant('aud');
    if (typ === ID_JAG && payload.client_id !== clientId) throw new errors.InvalidGrant('client_id');
    const now = Date.now() / 1000;
    for (const [jti, exp] of seen) if (exp < now) seen.delete(jti);
    if (seen.has(payload.jti)) throw new errors.InvalidGrant('jti');
    seen.set(payload.jti, payload.exp);
    return payload;
  }
}

/** What was asked for of what the assertion allows; all of it when nothing was asked for. */
function narrowed(asked, allowed) {
  if (!asked) return allowed;
  const granted = asked.split(' ').filter((scope) => allowed?.split(' ').includes(scope));
  if (granted.length === 0) throw new errors.InvalidScope('beyond the assertion', asked);
  return granted.join(' ');
}
