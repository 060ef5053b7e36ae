// Access tokens for callers without a person, good ones and bad ones.

import { SECRET } from '../idp/clients.mjs';
import { post } from './http.mjs';

/**
 * An access token by client credentials (RFC 6749, 4.4).
 *
 * `client` is one of `idp/clients.mjs`; `resource` (RFC 8707) becomes the audience; `scope` is a
 * space-separated string. With `tls` (see `post`) and an `endpoint` with TLS it is bound to the
 * certificate shown. Throws with the server's OAuth error when it is refused.
 */
export async function clientCredentials({ issuer, client, resource, scope, endpoint = `${issuer}/token`, tls }) {
  const { status, text } = await post(endpoint, {
    headers: {
      authorization: `Basic ${btoa(`${client}:${SECRET}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }).toString(),
    tls,
  });
  const body = JSON.parse(text);
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
