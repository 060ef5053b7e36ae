// Assertions of who a user is, for another authorization server that takes our word: an ID-JAG
// (draft-ietf-oauth-identity-assertion-authz-grant), or a plain JWT authorization grant
// (draft-ietf-oauth-identity-chaining).

import { randomUUID } from 'node:crypto';

import { SignJWT, importJWK } from 'jose';

import { ID_JAG, JWT } from './uris.mjs';

/** `requested_token_type`, and the `typ` of what it brings. */
const TYPES = { [ID_JAG]: 'oauth-id-jag+jwt', [JWT]: 'JWT' };

export const ASSERTION_TYPES = Object.keys(TYPES);

/**
 * The token response with the assertion: for `partner` alone, by whose name for the client, that
 * `subject` is who `act` acts for. `key` is the private JWK that signs.
 */
export async function assertIdentity({ issuer, key, client, subject, act, partner, resources, scope, lifetime, type }) {
  const claims = {
    iss: issuer,
    sub: subject.sub,
    aud: partner,
    // Clients have the same name at both servers.
    client_id: client.clientId,
    jti: randomUUID(),
    ...(resources.length > 0 && { resource: resources.length === 1 ? resources[0] : resources }),
    ...(scope && { scope }),
    ...Object.fromEntries(['acr', 'auth_time'].filter((name) => name in subject).map((name) => [name, subject[name]])),
    act,
  };
  const assertion = await new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: TYPES[type] })
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + lifetime)
    .sign(await importJWK(key, key.alg));
  // RFC 8693, 2.2.1: it opens nothing by itself.
  return { access_token: assertion, issued_token_type: type, token_type: 'N_A', expires_in: lifetime, ...(scope && { scope }) };
}
