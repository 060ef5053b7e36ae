// The configuration of `oidc-provider`: an OAuth 2.1 authorization server as MCP clients want it.

import { randomBytes } from 'node:crypto';

import Provider, { errors } from 'oidc-provider';
// Not part of its interface: the version is pinned.
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

import { BACKEND, BACKEND_SCOPES, CRM_SCOPES } from './backend.mjs';
import { BACKDATED, EXCHANGERS, LIFETIME, SCOPES } from './clients.mjs';
import { addTokenExchange } from './exchange.mjs';
import { PEOPLE, login } from './people.mjs';

/** Who logs in when the authorization request has no `login_hint`. */
const DEFAULT_USER = 'alice';

/** RFC 6749, 3.3: the scope of an authorization request that names none. */
const DEFAULT_SCOPE = 'mcp:connect';

/** How people may authenticate (`acr`). */
const ACR_VALUES = ['pwd', 'mfa'];

/** RFC 7518 and RFC 8037 names of the algorithms that DPoP proofs may be signed with. */
const DPOP_ALGORITHMS = ['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA', 'Ed25519'];

/** How clients may authenticate. */
const CLIENT_AUTHENTICATION = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'];

/** What outlives a provider: sessions, grants, registered clients, opaque tokens, nonces. */
export function createState() {
  return { adapter: createMemoryAdapter(), cookieKey: randomBytes(32).toString('base64url'), nonceSecret: randomBytes(32) };
}

/**
 * An authorization server for `issuer` that signs access tokens (RFC 9068) with `alg`, by the
 * first of `keys`, for the protected resources `resources` (RFC 8707), each one an MCP server's
 * URL, byte for byte. `requireNonce` is about DPoP proofs at its token endpoint (RFC 9449, 8);
 * `partners` and `trustDomains` see `addTokenExchange`.
 */
export function createProvider({ issuer, resources, alg, keys, clients, state, requireNonce, partners, trustDomains }) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients,
    adapter: state.adapter,
    // Also listed here, or a registration that mentions them is refused.
    scopes: ['openid', 'offline_access', ...SCOPES, ...CRM_SCOPES],
    enabledJWA: {
      idTokenSigningAlgValues: [alg], introspectionSigningAlgValues: [alg], dPoPSigningAlgValues: DPOP_ALGORITHMS,
    },
    clientAuthMethods: CLIENT_AUTHENTICATION,
    clientDefaults: { id_token_signed_response_alg: alg, introspection_signed_response_alg: alg },
    cookies: { keys: [state.cookieKey] },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: (ctx) => grantEverything(provider, ctx),
    // MCP clients ask for refresh tokens by grant type and seldom know `offline_access`.
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    extraClientMetadata: { properties: ['scope'], validator: forgetRegisteredScope },
    ttl: {
      AccessToken: LIFETIME,
      ClientCredentials: (_ctx, _token, client) => (client.clientId === 'demo-short' ? 1 : LIFETIME),
    },
    extraTokenClaims: claimsOf,
    // What a client asks for is what the person then does.
    acrValues: ACR_VALUES,
    formats: { customizers: { jwt: (_ctx, token, jwt) => backdate(token, jwt) } },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      registration: { enabled: true },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true, nonceSecret: state.nonceSecret, requireNonce: () => requireNonce },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, _property, expected) => (
          ctx.socket.getPeerX509Certificate().subjectAltName.split(', ').includes(`URI:${expected}`)),
      },
      resourceIndicators: {
        enabled: true,
        // A code or refresh request need not repeat the resource it was granted for.
        useGrantedResource: () => true,
        // Who has to say who it is, to us, gets a JWT for it: the filter's `actor_token`.
        defaultResource: (ctx, client, oneOf) => (
          oneOf ?? (ctx.oidc.params.grant_type === 'client_credentials' && isExchanger(client) ? issuer : undefined)),
        getResourceServerInfo: (_ctx, resource, client) => ({
          audience: resource,
          scope: scopesAt(resource, client).join(' '),
          accessTokenFormat: client.clientId === 'demo-opaque' ? 'opaque' : 'jwt',
          jwt: { sign: { alg } },
        }),
      },
    },
  });
  addTokenExchange(provider, { issuer, keys, partners, trustDomains });
  provider.use(defaultScope);
  provider.use((ctx, next) => logInAtOnce(provider, ctx, next));
  return provider;

  /** What a client may have at a resource: at the MCP servers behind the filter, only the filter. */
  function scopesAt(resource, client) {
    if (resources.includes(resource)) return [...SCOPES, ...CRM_SCOPES];
    if (resource === BACKEND && isExchanger(client)) return BACKEND_SCOPES;
    if (resource === issuer && isExchanger(client)) return [];
    throw new errors.InvalidTarget();
  }
}

function isExchanger(client) {
  return EXCHANGERS.includes(client.clientId);
}

/** The person behind the browser agrees to whatever the client asks for, now and later. */
async function grantEverything(provider, ctx) {
  const { client, session, params, resourceServers } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope);
  for (const resource of Object.keys(resourceServers)) grant.addResourceScope(resource, params.scope);
  await grant.save();
  return grant;
}

/**
 * A registered `scope` would cap the client for good. MCP clients register with the scope of
 * their first challenge, so every later step-up would fail with `invalid_scope`. RFC 7591, 2:
 * the server may ignore it. Clients of the configuration (no `ctx`) keep theirs.
 */
function forgetRegisteredScope(ctx, _property, _value, metadata) {
  if (ctx) delete metadata.scope;
}

/** What an access token says of the person, and of how that one authenticated (RFC 9470, 6.1). */
function claimsOf(ctx, token) {
  const { AuthorizationCode: code, Exchanged: exchanged } = ctx.oidc.entities;
  if (exchanged) return exchanged;
  const authentication = code && { acr: code.acr, auth_time: code.authTime };
  return { ...PEOPLE[token.accountId], ...authentication };
}

function backdate(token, { payload }) {
  if (token.clientId !== 'demo-expired') return;
  payload.iat -= BACKDATED + LIFETIME;
  payload.exp -= BACKDATED + LIFETIME;
}

function defaultScope(ctx, next) {
  if (ctx.path === '/auth' && !ctx.query.scope) ctx.query = { ...ctx.query, scope: DEFAULT_SCOPE };
  return next();
}

/** The login page, without a page: `login_hint` is believed. */
async function logInAtOnce(provider, ctx, next) {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const result = { login: login(params.login_hint ?? DEFAULT_USER, params.acr_values), consent: {} };
  return ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
}
