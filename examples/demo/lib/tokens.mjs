// Access tokens for callers without a person, good ones and bad ones.

import { SECRET } from '../idp/clients.mjs';

/**
 * An access token by client credentials (RFC 6749, 4.4).
 *
 * `client` is one of `idp/clients.mjs`; `resource` (RFC 8707) becomes the audience; `scope` is a
 * space-separated string. Throws with the server's OAuth error when it is refused.
 */
export async function clientCredentials({ issuer, client, resource, scope }) {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${client}:${SECRET}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`token for ${client}: ${body.error}: ${body.error_description}`);
  return body.access_token;
}

/** The same token with one bit of its signature turned over. */
export function flipSignature(token) {
  const [header, payload, signature] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes[bytes.length >> 1] ^= 1;
  return [header, payload, bytes.toString('base64url')].join('.');
}
