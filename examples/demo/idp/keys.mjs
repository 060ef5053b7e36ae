// The signing key of the OAuth server, generated where it is used: none is ever committed.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';

/** RFC 7518 and RFC 8037 names of the algorithms the server can sign with. */
export const ALGORITHMS = [
  'ES256', 'ES384', 'ES512',
  'RS256', 'RS384', 'RS512',
  'PS256', 'PS384', 'PS512',
  'EdDSA',
];

/**
 * The private JWK Set in `file`; made with one new key for `alg` when the file does not exist.
 * Another file and a restart are a key rotation: the `kid` is the key's RFC 7638 thumbprint.
 * Without a file the key lives and dies with the process.
 */
export async function loadOrCreateKeys(file, alg) {
  if (file && existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(privateKey);
  const jwks = { keys: [{ ...jwk, alg, use: 'sig', kid: await calculateJwkThumbprint(jwk) }] };
  if (file) writeFileSync(file, JSON.stringify(jwks), { mode: 0o600, flag: 'wx' });
  return jwks;
}
