// Access tokens for callers with and without a person, good ones and bad ones.

import { createHash, randomBytes } from 'node:crypto';

import { AGENT_CALLBACK, SECRET } from '../idp/clients.mjs';
import { ACCESS_TOKEN, JWT_BEARER, TOKEN_EXCHANGE } from '../idp/uris.mjs';
import { post } from './http.mjs';

/**
 * An access token by client credentials (RFC 6749, 4.4).
 *
 * `client` is one of `idp/clients.mjs`; `resource` (RFC 8707) becomes the audience; `scope` is a
 * space-separated string. With `tls` (see `post`) and an `endpoint` with TLS it is bound to the
 * certificate shown. Throws with the server's OAuth error when it is refused.
 */
export function clientCredentials({ issuer, client, resource, scope, endpoint = `${issuer}/token`, tls }) {
  return grant(endpoint, client, { grant_type: 'client_credentials', resource, scope }, tls);
}

/**
 * An access token of `user` for the agent `client`, by an authorization code (RFC 6749, 4.1, with
 * PKCE). `user` is a `login_hint` (see `idp/people.mjs`), `acr` what the agent asks for.
 */
export async function userToken({ issuer, client, user, resource, scope, acr }) {
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(`${issuer}/auth?${new URLSearchParams({
    client_id: client,
    response_type: 'code',
    redirect_uri: AGENT_CALLBACK,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    resource,
    // Authentication is OpenID's: without this scope, nobody is told of it.
    scope: `openid ${scope}`,
    login_hint: user,
    ...(acr && { acr_values: acr }),
  })}`);
  const code = await followToCode(url);
  return grant(`${issuer}/token`, client, {
    grant_type: 'authorization_code', code, redirect_uri: AGENT_CALLBACK, code_verifier: verifier, resource,
  });
}

/** An access token for the agent `client` in exchange for one that it was given (RFC 8693). */
export function exchangeToken({ issuer, client, token, resource, scope }) {
  return grant(`${issuer}/token`, client, exchangeOf(token, { resource, scope }));
}

/** Parameters of an exchange of the access token `token` (RFC 8693, 2.1), with `more`. */
export function exchangeOf(token, more) {
  return { grant_type: TOKEN_EXCHANGE, subject_token: token, subject_token_type: ACCESS_TOKEN, ...more };
}

/** Parameters by which an assertion becomes an access token (RFC 7523, 2.1), with `more`. */
export function bearerOf(assertion, more) {
  return { grant_type: JWT_BEARER, assertion, ...more };
}

/**
 * Posts `parameters` to a token endpoint: an array of values repeats one, undefined leaves it out.
 * `client` authenticates with its secret in the header, nobody does when there is none. `tls` is
 * of `post`.
 *
 * Returns `{ status, headers, body }`, whatever the answer is.
 */
export async function askToken(endpoint, client, parameters, tls) {
  const pairs = Object.entries(parameters).flatMap(([name, values]) => [values ?? []].flat().map((value) => [name, value]));
  const { status, headers, text } = await post(endpoint, {
    headers: {
      ...(client && { authorization: `Basic ${btoa(`${client}:${SECRET}`)}` }),
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams(pairs).toString(),
    tls,
  });
  return { status, headers, body: JSON.parse(text) };
}

/** What a browser does between the request for a code and the redirect that brings it. */
async function followToCode(url) {
  const cookies = new Map();
  for (let next = url, hops = 0; hops < 10; hops += 1) {
    const response = await fetch(next, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [name, value] = cookie.split(';', 1)[0].split(/=(.*)/s);
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (!location) throw new Error(`login: ${response.status}: ${await response.text()}`);
    next = new URL(location, next);
    if (next.href.startsWith(AGENT_CALLBACK)) {
      const code = next.searchParams.get('code');
      if (!code) throw new Error(`login: ${next.searchParams}`);
      return code;
    }
  }
  throw new Error('login: too many redirects');
}

async function grant(endpoint, client, parameters, tls) {
  const { status, body } = await askToken(endpoint, client, parameters, tls);
  if (status !== 200) throw new Error(`token for ${client}: ${body.error}: ${body.error_description}`);
  return body.access_token;
}

/** The same token with one bit of its signature turned over. */
export function flipSignature(token) {
  const [header, payload, signature] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes[bytes.length >> 1] ^= 1;
  return [header, payload, bytes.toString('base64url')].join('.');
}
