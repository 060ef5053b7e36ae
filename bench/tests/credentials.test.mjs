// Tokens and proofs of the bench, judged by a library that did not make them.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';

import { DEMO } from '../../examples/demo/lib/paths.mjs';
import { ISSUER, RESOURCE, SigningKey, accessToken, dpopProof } from '../credentials.mjs';

const { calculateJwkThumbprint, EmbeddedJWK, importJWK, jwtVerify } = await import(createRequire(join(DEMO, 'package.json')).resolve('jose'));

for (const alg of ['ES256', 'RS256', 'PS256', 'EdDSA']) {
  test(`${alg}: tokens verify with the published key and are all different`, async () => {
    const key = new SigningKey(alg);
    const published = await importJWK(key.published, alg);
    const tokens = [accessToken(key), accessToken(key)];
    assert.notEqual(tokens[0], tokens[1]);
    for (const token of tokens) {
      await jwtVerify(token, published, { issuer: ISSUER, audience: RESOURCE, typ: 'at+jwt', algorithms: [alg] });
    }
    assert.ok(!('d' in key.published));
  });
}

for (const alg of ['ES256', 'EdDSA']) {
  test(`${alg}: proofs are of the key their token is bound to, and all different`, async () => {
    const issuer = new SigningKey('ES256');
    const key = new SigningKey(alg);
    const token = accessToken(issuer, { confirmed: key });
    const { payload: { cnf } } = await jwtVerify(token, issuer.publicKey);
    const ids = await Promise.all([dpopProof(key, token), dpopProof(key, token)].map(async (proof) => {
      const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: [alg] });
      assert.equal(cnf.jkt, await calculateJwkThumbprint(protectedHeader.jwk));
      assert.equal(payload.ath, createHash('sha256').update(token).digest('base64url'));
      assert.equal(payload.htm, 'POST');
      assert.equal(payload.htu, RESOURCE);
      return payload.jti;
    }));
    assert.notEqual(ids[0], ids[1]);
  });
}
