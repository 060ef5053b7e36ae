// Keys, access tokens (RFC 9068) and DPoP proofs (RFC 9449), signed with Node's own cryptography.

import { constants, createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

/** The issuer and the protected resource of every lane. Nobody resolves these names. */
export const ISSUER = 'https://idp.example.com';
export const RESOURCE = 'https://mcp.example.com/mcp';

/** The user of the lanes that have one only. */
const SUBJECT = '5f1c2a86-7b0e-4a53-9f1d-0c8f4b6d2e71';

/** How long tokens are good, in seconds: longer than a run. */
export const LIFETIME = 1800;

/** For each JOSE algorithm its key and the options of `crypto.sign`. */
const ALGORITHMS = {
  ES256: { key: ['ec', { namedCurve: 'P-256' }], hash: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  RS256: { key: ['rsa', { modulusLength: 2048 }], hash: 'sha256', options: {} },
  PS256: {
    key: ['rsa', { modulusLength: 2048 }],
    hash: 'sha256',
    options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
  },
  EdDSA: { key: ['ed25519'], hash: null, options: {} },
};

/** A key for `alg` that can sign, with its public JWK and the JWK's thumbprint (RFC 7638). */
export class SigningKey {
  constructor(alg) {
    const { privateKey, publicKey } = generateKeyPairSync(...ALGORITHMS[alg].key);
    this.alg = alg;
    this.kid = `${alg}-1`;
    this.privateKey = privateKey;
    this.publicKey = publicKey;
    this.jwk = publicKey.export({ format: 'jwk' });
  }

  /** Base64url of the SHA-256 of the JWK's required members in the order of their names. */
  get thumbprint() {
    const { crv, e, kty, n, x, y } = this.jwk;
    return digest(JSON.stringify({ crv, e, kty, n, x, y }));
  }

  /** The key as an issuer publishes it. */
  get published() {
    return { ...this.jwk, kid: this.kid, alg: this.alg, use: 'sig' };
  }

  /** A compact JWS. */
  sign(header, payload) {
    const { hash, options } = ALGORITHMS[this.alg];
    const input = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    return `${input}.${sign(hash, Buffer.from(input), { key: this.privateKey, ...options }).toString('base64url')}`;
  }
}

/**
 * An access token, unlike any other, for `audience`: of `subject`, bound to `confirmed` (a
 * SigningKey) if there is one.
 */
export function accessToken(key, { confirmed, subject = SUBJECT, audience = RESOURCE, scope = 'mcp:connect docs:read' } = {}) {
  const now = Math.floor(Date.now() / 1000);
  return key.sign({ typ: 'at+jwt', alg: key.alg, kid: key.kid }, {
    iss: ISSUER,
    sub: subject,
    aud: audience,
    client_id: 'https://agent.example.com/client.json',
    scope,
    iat: now,
    exp: now + LIFETIME,
    jti: randomUUID(),
    ...(confirmed && { cnf: { jkt: confirmed.thumbprint } }),
  });
}

/** A DPoP proof for one POST with `token`, unlike any other. */
export function dpopProof(key, token) {
  return key.sign({ typ: 'dpop+jwt', alg: key.alg, jwk: key.jwk }, {
    jti: randomUUID(),
    htm: 'POST',
    htu: RESOURCE,
    iat: Math.floor(Date.now() / 1000),
    ath: digest(token),
  });
}

function digest(text) {
  return createHash('sha256').update(text).digest('base64url');
}
