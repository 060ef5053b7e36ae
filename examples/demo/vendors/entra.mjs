// Stands for Microsoft Entra ID. It is not Entra ID: it is built from its documentation
// ("Microsoft identity platform and OAuth2.0 On-Behalf-Of flow", "Access token claims reference",
// "Microsoft Entra authentication and authorization error codes") for tests without a tenant. Environment:
//   PORT        loopback port, default 9020
//   ADMIN_PORT  loopback port of the admin seam (../idp/admin.mjs); default: none. Besides:
//               POST /tokens { user, tenant?, acrs?, xms_cc?, scp?, ttl? } issues the token with which a caller comes
// One JSON line per request on standard output; tokens are never written.
//
// It authenticates apps by `client_secret` in the form, knows one API for the filter and one for the
// MCP server behind it, and these people: `amira` has consented to everything, `nadia` to reading,
// `gita` to nothing; a policy of conditional access asks `viktor` for another factor.

import { randomUUID } from 'node:crypto';

import { SignJWT, createLocalJWKSet, importJWK, jwtVerify } from 'jose';

import { SECRET } from '../idp/clients.mjs';
import { Keys } from '../idp/keys.mjs';
import { JWT_BEARER } from '../idp/uris.mjs';
import { digest, formOf, startVendor } from './vendor.mjs';

/** Directories of two organisations (`tid`). */
export const TENANTS = ['aaaaaaaa-1111-4111-8111-111111111111', 'bbbbbbbb-2222-4222-8222-222222222222'];

/** The app of the filter, the one of the MCP server behind it, and an agent that people use. */
export const FILTER_APP = '11111111-1111-4111-8111-111111111111';
export const BACKEND_APP = '22222222-2222-4222-8222-222222222222';
export const AGENT_APP = '33333333-3333-4333-8333-333333333333';

/** Application ID URI of the app of the MCP server, with which scopes of it begin. */
export const BACKEND_URI = 'api://crm';

/** The permissions it has. */
export const PERMISSIONS = ['Records.Read', 'Mail.Send', 'Records.Delete'];

/** What people have consented to, by person. */
const CONSENT = { amira: PERMISSIONS, viktor: PERMISSIONS, nadia: ['Records.Read'], gita: [] };

/** Who needs an authentication context that other people do not need, and which. */
const CONDITIONAL_ACCESS = { viktor: 'c1' };

/** Lifetime of access tokens, in seconds: the documentation's varies about an hour. */
const LIFETIME = 3599;

const keys = await Keys.load(undefined, 'RS256');
const { PORT = 9020 } = process.env;
const origin = `http://127.0.0.1:${PORT}`;

const { front } = startVendor({
  name: 'stands for Microsoft Entra ID, built from its documentation',
  port: PORT,
  keys,
  answer,
  more: { 'POST /tokens': async (wanted) => ({ access_token: await callersToken(wanted) }) },
});

/** Status and body for a request. */
async function answer(request) {
  const [, tenant, ...rest] = new URL(request.url, origin).pathname.split('/');
  const path = rest.join('/');
  if (path === 'v2.0/.well-known/openid-configuration') return [200, metadata(tenant)];
  if (path === 'discovery/v2.0/keys') return [200, { keys: keys.list.map(published) }];
  if (path !== 'oauth2/v2.0/token' || request.method !== 'POST') return [404, {}];
  const form = await formOf(request);
  const [status, body] = TENANTS.includes(tenant)
    ? await onBehalfOf(tenant, form)
    : failure('invalid_request', 90002, `Tenant '${tenant}' not found.`);
  front.countGrant(form.grant_type, status === 200 ? 'issued' : 'refused');
  return [status, body];
}

/** The on-behalf-of flow: an app that was called by a user asks for a token for another app. */
async function onBehalfOf(tenant, form) {
  const { client_id: client, client_secret: secret, assertion, scope, requested_token_use: use } = form;
  if (form.grant_type !== JWT_BEARER) return failure('unsupported_grant_type', 70003, 'The grant type is not supported.');
  if (client !== FILTER_APP) return failure('unauthorized_client', 700016, `Application '${client}' was not found in the directory.`);
  if (secret !== SECRET) return failure('invalid_client', 7000215, 'Invalid client secret provided.', { status: 401 });
  for (const [name, value] of Object.entries({ assertion, scope, requested_token_use: use })) {
    if (!value) return failure('invalid_request', 900144, `The request body must contain the following parameter: '${name}'.`);
  }
  if (use !== 'on_behalf_of') return failure('invalid_request', 900144, 'requested_token_use is not supported.');

  let subject;
  try {
    ({ payload: subject } = await jwtVerify(assertion, createLocalJWKSet({ keys: keys.list.map(published) }), { issuer: issuerOf(tenant) }));
  } catch (error) {
    return error.code === 'ERR_JWT_EXPIRED'
      ? failure('invalid_grant', 500133, 'Assertion is not within its valid time range.')
      : failure('invalid_grant', 50013, 'Assertion failed signature validation.');
  }
  if (subject.aud !== FILTER_APP) return failure('invalid_grant', 500131, 'Assertion audience does not match the Client app presenting the assertion.');
  // Apps on their own have nobody on whose behalf: the documentation names client credentials for them.
  if (subject.idtyp === 'app') return failure('invalid_grant', 50027, 'JWT token is invalid or malformed.');

  const asked = scope.split(' ');
  const wanted = asked.filter((each) => each.startsWith(`${BACKEND_URI}/`)).map((each) => each.slice(BACKEND_URI.length + 1));
  if (wanted.length !== asked.length) return failure('invalid_resource', 500011, 'The resource principal was not found in the tenant.');
  // `.default` is all there is, and goes with nothing else.
  const known = wanted.includes('.default') ? wanted.length === 1 : wanted.every((name) => PERMISSIONS.includes(name));
  if (!known) {
    return failure('invalid_scope', 70011, "The provided value for the input parameter 'scope' is not valid.");
  }
  const consented = CONSENT[subject.preferred_username] ?? [];
  if (consented.length === 0 || !wanted.every((name) => name === '.default' || consented.includes(name))) {
    return failure('invalid_grant', 65001, 'The user or administrator has not consented to use the application.', { suberror: 'consent_required' });
  }
  const context = CONDITIONAL_ACCESS[subject.preferred_username];
  if (context && !subject.acrs?.includes(context)) {
    return failure('interaction_required', 50079, 'You must use multi-factor authentication to access the application.', {
      claims: JSON.stringify({ access_token: { acrs: { essential: true, value: context } } }),
    });
  }
  // Always all that the user has consented to at the app, whatever of it was asked for: what is
  // asked for is what has to be consented to.
  const access = await token(tenant, subject.preferred_username, {
    aud: BACKEND_APP, azp: FILTER_APP, azpacr: '1', scp: consented.join(' '), ...(subject.acrs && { acrs: subject.acrs }),
  });
  return [200, {
    token_type: 'Bearer',
    scope: consented.map((name) => `${BACKEND_URI}/${name}`).join(' '),
    expires_in: LIFETIME,
    ext_expires_in: LIFETIME,
    access_token: access,
  }];
}

/**
 * With which `user` calls the filter, through an agent. `acrs` are authentication contexts that
 * were satisfied, `xms_cc` what the agent says it can do, `ttl` is its lifetime in seconds.
 */
function callersToken({ user, tenant = TENANTS[0], acrs, xms_cc: capabilities, scp = 'access_as_user', ttl }) {
  return token(tenant, user, {
    aud: FILTER_APP, azp: AGENT_APP, azpacr: '0', scp, ...(acrs && { acrs: [acrs].flat() }), ...(capabilities && { xms_cc: capabilities }),
  }, ttl);
}

/** An access token of version 2.0. */
async function token(tenant, user, claims, ttl = LIFETIME) {
  const [key] = keys.list;
  return new SignJWT({
    iss: issuerOf(tenant),
    tid: tenant,
    oid: objectId(tenant, user),
    // Pairwise: another one for each app.
    sub: digest(tenant, user, claims.aud),
    preferred_username: user,
    idtyp: 'user',
    uti: randomUUID(),
    ver: '2.0',
    ...claims,
  })
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
    .setIssuedAt().setNotBefore('0s').setExpirationTime(`${ttl}s`)
    .sign(await importJWK(key, key.alg));
}

/** An error as the documentation shows it. */
function failure(error, code, text, { status = 400, ...more } = {}) {
  const [trace, correlation, timestamp] = [randomUUID(), randomUUID(), `${new Date().toISOString().slice(0, 19).replace('T', ' ')}Z`];
  return [status, {
    error,
    error_description: `AADSTS${code}: ${text}\r\nTrace ID: ${trace}\r\nCorrelation ID: ${correlation}\r\nTimestamp: ${timestamp}`,
    error_codes: [code],
    timestamp,
    trace_id: trace,
    correlation_id: correlation,
    error_uri: `${origin}/error?code=${code}`,
    ...more,
  }];
}

/** Discovery; for the applications of many organisations the issuer is a template. */
function metadata(tenant) {
  return {
    issuer: TENANTS.includes(tenant) ? issuerOf(tenant) : `${origin}/{tenantid}/v2.0`,
    token_endpoint: `${origin}/${tenant}/oauth2/v2.0/token`,
    jwks_uri: `${origin}/${tenant}/discovery/v2.0/keys`,
    token_endpoint_auth_methods_supported: ['client_secret_post'],
    response_types_supported: ['code'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
}

function issuerOf(tenant) {
  return `${origin}/${tenant}/v2.0`;
}

/** The same for a user wherever the user goes in the tenant. */
function objectId(tenant, user) {
  return Buffer.from(digest(tenant, user), 'base64url').toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
}

function published({ kty, n, e, kid }) {
  return { kty, use: 'sig', kid, n, e };
}
