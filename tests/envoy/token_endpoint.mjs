// A token endpoint that exchanges every token (RFC 8693), or answers as no good one would. What a
// good one does, the demo's OAuth server shows.

import { randomUUID } from 'node:crypto';

import { BACKEND } from '../../examples/demo/idp/backend.mjs';
import { jose, newKey, sign, startStub } from './support.mjs';

/** Our client identifier there. */
export const CLIENT = 'countersign';

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** How long its tokens are good, in seconds. */
const LIFETIME = 300;

const JSON_TYPE = { 'content-type': 'application/json', 'cache-control': 'no-store' };

/** What one does that is as it should be. */
export const good = async ({ form, issue, reply }) => reply(200, await issue(form));

/** An error (RFC 6749, 5.2), or any other answer in JSON. */
export const answers = (status, body, headers) => ({ reply }) => reply(status, body, headers);

/** The good answer, but for some members, and for some claims of its token. */
export const issues = (answer, claims) => async ({ form, issue, reply }) => reply(200, await issue(form, answer, claims));

/**
 * Starts it on `port`, or on a free one.
 *
 * Returns `{ port, does, asked, issued, count(path), stop() }`: `does` has by path what it does, of
 * which it is `good` unless told; `asked` are the requests, `{ path, authorization, form }`, and
 * `issued` the tokens.
 */
export async function startTokenEndpoint({ port } = {}) {
  const key = await newKey('ES256');
  const does = {};
  const asked = [];
  const issued = new Set();

  /** A token response for the request `form`; undefined members are left out. */
  const issue = async (form, answer = {}, claims = {}) => {
    const now = Math.floor(Date.now() / 1000);
    const scope = form.get('scope') ?? undefined;
    const { iss, sub } = jose.decodeJwt(form.get('subject_token'));
    const token = await sign({
      iss,
      sub,
      aud: form.get('resource'),
      client_id: CLIENT,
      iat: now,
      exp: now + LIFETIME,
      jti: randomUUID(),
      scope,
      ...claims,
    }, { alg: 'ES256', kid: key.kid, typ: 'at+jwt' }, key);
    issued.add(token);
    return {
      access_token: token, issued_token_type: ACCESS_TOKEN, token_type: 'Bearer', expires_in: LIFETIME, scope, ...answer,
    };
  };
  const stub = await startStub(async (request, response) => {
    const form = new URLSearchParams((await request.toArray()).join(''));
    const path = request.url;
    asked.push({ path, authorization: request.headers.authorization, form });
    const reply = (status, body, headers = JSON_TYPE) => {
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    await (does[path] ?? good)({ form, request, response, issue, reply });
  }, { port });
  return { ...stub, does, asked, issued, count: (path) => asked.filter((request) => request.path === path).length };
}

/** Of the filter's configuration, the exchange at `path` of such an endpoint behind the Envoy cluster `cluster`. */
export function exchangeAt(path, { cluster = 'exchange', ...members } = {}) {
  return {
    profile: 'token_exchange',
    uri: `http://127.0.0.1${path}`,
    cluster,
    timeout: '1s',
    client: { method: 'client_secret_basic', client_id: CLIENT, client_secret: { env: 'CLIENT_SECRET' } },
    resource: [BACKEND],
    ...members,
  };
}
