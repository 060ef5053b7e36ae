// Stands for Auth0 with Token Vault. It is not Auth0: it is built from its documentation ("Token
// Vault", "Access Token Exchange with Token Vault", "Token Vault token exchange" of the
// Authentication API) for tests without a tenant. Environment:
//   PORT        loopback port, default 9030
//   API         identifier of the API of the filter, audience of callers' tokens, default https://filter.internal.example
//   ADMIN_PORT  loopback port of the admin seam (../idp/admin.mjs); default: none. Besides:
//               POST /tokens { user, scope? } issues the token with which a caller comes
// One JSON line per request on standard output; tokens are never written.
//
// `amira` and `viktor` have linked an account at GitHub, which the same process stands for at
// /github/user ("Get the authenticated user" of its REST API); `gita` has not.

import { randomBytes, randomUUID } from 'node:crypto';

import { SignJWT, createLocalJWKSet, importJWK, jwtVerify } from 'jose';

import { SECRET } from '../idp/clients.mjs';
import { Keys } from '../idp/keys.mjs';
import { ACCESS_TOKEN } from '../idp/uris.mjs';
import { formOf, startVendor } from './vendor.mjs';

/** The grant, and what it brings. */
export const FEDERATED_CONNECTION = 'urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token';
export const FEDERATED_TOKEN = 'http://auth0.com/oauth/token-type/federated-connection-access-token';

/** The Custom API client that is linked with the API of the filter. */
export const FILTER_CLIENT = 'countersign-api';

/** Connections that are enabled for Token Vault. */
const CONNECTIONS = ['github'];

/** Accounts that people have linked, by person and connection, with what they have granted. */
const LINKED = {
  amira: { github: { login: 'amira-at-github', scope: 'repo read:user' } },
  viktor: { github: { login: 'viktor-at-github', scope: 'read:user' } },
};

/** Lifetimes in seconds, of tokens of Auth0 and of GitHub. */
const LIFETIME = 86_400;
const GITHUB_LIFETIME = 28_800;

const keys = await Keys.load(undefined, 'RS256');
const { PORT = 9030, API = 'https://filter.internal.example' } = process.env;
const origin = `http://127.0.0.1:${PORT}`;
// With the slash.
const issuer = `${origin}/`;

/** Accounts by token of GitHub. */
const issued = new Map();

const { front } = startVendor({
  name: 'stands for Auth0 with Token Vault and for GitHub, built from their documentation',
  port: PORT,
  keys,
  answer,
  more: { 'POST /tokens': async (wanted) => ({ access_token: await callersToken(wanted) }) },
});

/** Status, body and headers for a request. */
async function answer(request) {
  const path = new URL(request.url, origin).pathname;
  if (path === '/.well-known/openid-configuration') return [200, metadata()];
  if (path === '/.well-known/jwks.json') return [200, { keys: keys.list.map(published) }];
  if (path === '/github/user') return githubUser(request);
  if (path !== '/oauth/token' || request.method !== 'POST') return [404, {}];
  const form = await formOf(request);
  const [status, body] = await tokenVault({ ...form, ...basic(request) });
  front.countGrant(form.grant_type, status === 200 ? 'issued' : 'refused');
  return [status, body];
}

/** An access token of Auth0 for the one of an account that the user has linked. */
async function tokenVault(form) {
  const { client_id: client, client_secret: secret, subject_token: token, connection } = form;
  if (client !== FILTER_CLIENT || secret !== SECRET) return failure(401, 'access_denied', 'Unauthorized');
  if (form.grant_type !== FEDERATED_CONNECTION) return failure(403, 'unauthorized_client', 'Grant type is not allowed for the client.');
  if (form.subject_token_type !== ACCESS_TOKEN) return failure(400, 'invalid_request', 'subject_token_type is not supported.');
  if (form.requested_token_type !== FEDERATED_TOKEN) return failure(400, 'invalid_request', 'requested_token_type is not supported.');
  if (!CONNECTIONS.includes(connection)) return failure(400, 'invalid_request', 'The connection is not enabled.');
  const verified = await jwtVerify(token ?? '', createLocalJWKSet({ keys: keys.list.map(published) }), { issuer, audience: API })
    .catch(() => undefined);
  if (!verified) return failure(401, 'invalid_token', 'The subject token is invalid.');
  const user = verified.payload.sub.split('|')[1];
  const account = LINKED[user]?.[connection];
  if (!account) return failure(401, 'federated_connection_refresh_token_not_found', 'Federated connection Refresh Token not found.');
  // No JWT: nobody but GitHub can say what it is good for.
  const access = `gho_${randomBytes(27).toString('hex').slice(0, 36)}`;
  issued.set(access, account);
  return [200, {
    access_token: access, scope: account.scope, expires_in: GITHUB_LIFETIME, issued_token_type: FEDERATED_TOKEN, token_type: 'Bearer',
  }];
}

/** Whose token it is, and with `X-OAuth-Scopes` what for. */
function githubUser(request) {
  const account = issued.get(request.headers.authorization?.replace(/^(?:Bearer|token) /i, ''));
  if (!account) return [401, { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest', status: '401' }];
  return [200, { login: account.login, type: 'User' }, { 'x-oauth-scopes': account.scope.replaceAll(' ', ', ') }];
}

/** With which `user` calls the filter, through an agent. */
async function callersToken({ user, scope = 'mcp:connect docs:read' }) {
  const [key] = keys.list;
  return new SignJWT({ sub: `auth0|${user}`, aud: API, client_id: 'agent-app', scope, jti: randomUUID() })
    // The API's token profile is RFC 9068.
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt' })
    .setIssuer(issuer).setIssuedAt().setExpirationTime(`${LIFETIME}s`)
    .sign(await importJWK(key, key.alg));
}

function failure(status, error, text) {
  return [status, { error, error_description: text }];
}

function metadata() {
  return {
    issuer,
    token_endpoint: `${origin}/oauth/token`,
    jwks_uri: `${origin}/.well-known/jwks.json`,
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
}

/** Credentials of the client in the header (RFC 6749, 2.3.1). */
function basic(request) {
  const [, encoded] = /^Basic (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
  if (!encoded) return {};
  const [id, secret] = atob(encoded).split(':').map(decodeURIComponent);
  return { client_id: id, client_secret: secret };
}

function published({ kty, n, e, kid, alg }) {
  return { kty, use: 'sig', kid, alg, n, e };
}
