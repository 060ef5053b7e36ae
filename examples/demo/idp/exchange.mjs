// Token exchange (RFC 8693): a client that was given a user's token gets one of its own for the
// same user. The new token says who acts: this client, and before it whoever did (`act`), the
// client that the person used last of all.

import { createLocalJWKSet, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';
// Not part of its interface: the version is pinned.
import { buildTokenResponse, resolveRequestedResources } from 'oidc-provider/lib/helpers/grants.js';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** Claims of a subject token that the new one repeats. */
const KEPT = ['roles', 'groups', 'tid', 'acr', 'auth_time'];

/** Adds the grant to a provider for `issuer` that signs with the private `keys`. */
export function addTokenExchange(provider, { issuer, keys }) {
  const trusted = createLocalJWKSet({ keys: keys.map(({ d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...key }) => key) });

  provider.registerGrantType(TOKEN_EXCHANGE, async (ctx) => {
    const { client, params } = ctx.oidc;
    if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token_type');
    const { payload } = await jwtVerify(params.subject_token ?? '', trusted, { issuer, typ: 'at+jwt' })
      .catch((error) => { throw new errors.InvalidGrant(error.message); });

    const resources = Object.values(await resolveRequestedResources(provider, ctx));
    if (resources.length !== 1) throw new errors.InvalidTarget('exactly one resource');
    // Never more than the subject's token has.
    const asked = new Set((params.scope ?? payload.scope ?? '').split(' '));
    const granted = (payload.scope ?? '').split(' ').filter((scope) => asked.has(scope));

    const token = new provider.AccessToken({
      accountId: payload.sub,
      client,
      scope: granted.join(' ') || undefined,
      expiresIn: Math.min(payload.exp - Math.floor(Date.now() / 1000), 300),
      gty: 'token_exchange',
    });
    token.resourceServer = resources[0];
    ctx.oidc.entity('Exchanged', {
      ...Object.fromEntries(KEPT.filter((name) => name in payload).map((name) => [name, payload[name]])),
      act: { sub: client.clientId, act: payload.act ?? { sub: payload.client_id } },
    });
    ctx.oidc.entity('AccessToken', token);
    ctx.body = buildTokenResponse(provider, {
      accessToken: await token.save(),
      expiresIn: token.expiration,
      issuedTokenType: ACCESS_TOKEN,
      scope: token.scope,
      tokenType: token.tokenType,
    });
  }, ['subject_token', 'subject_token_type', 'scope', 'resource'], ['resource']);
}
