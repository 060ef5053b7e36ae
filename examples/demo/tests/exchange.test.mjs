// The OAuth servers of the demo exchange tokens (RFC 8693), and take each other's word (RFC 7523).

import assert from 'node:assert/strict';
import { createPrivateKey, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { SignJWT, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose';

import { BACKEND } from '../idp/backend.mjs';
import { SECRET } from '../idp/clients.mjs';
import { ACCESS_TOKEN, ID_JAG, JWT, JWT_BEARER, TOKEN_EXCHANGE } from '../idp/uris.mjs';
import { FAULTS, failWith, forget, grants, recover, requests } from '../lib/admin.mjs';
import { startBackends } from '../lib/stack.mjs';
import { askToken, bearerOf, clientCredentials, exchangeOf, exchangeToken, flipSignature, userToken } from '../lib/tokens.mjs';

const ORIGIN = 'http://127.0.0.1:10000';
const FRONT = `${ORIGIN}/typescript/mcp`;
const FILTER = 'countersign';
const SCOPE = 'mcp:connect docs:read crm:read crm:write';

/** A workload that may act, and another one that nobody has heard of. */
const WORKLOAD = 'spiffe://demo.example/gateway';
const STRANGER = 'spiffe://elsewhere.example/gateway';

let directory;
let bundle;
let workloadKey;
let backends;
let issuer;
let caller;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'countersign-exchange-'));
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  workloadKey = privateKey;
  const keys = [{ ...await exportJWK(publicKey), kid: 'workloads', use: 'jwt-svid' }];
  bundle = createServer((_request, response) => response.end(JSON.stringify({ keys })));
  await once(bundle.listen(0, '127.0.0.1'), 'listening');
  backends = await startBackends({
    origins: [ORIGIN], directory, exchange: 'idp2', trustDomains: { 'demo.example': `http://127.0.0.1:${bundle.address().port}/` },
  });
  ({ issuer } = backends);
  caller = await login('amira');
});
after(async () => {
  bundle?.close();
  await backends?.stop();
  rmSync(directory, { recursive: true });
});

const login = (user, scope = SCOPE) => userToken({ issuer, client: 'support-bot', user, resource: FRONT, scope });
const ask = (more, { token = caller, client = FILTER } = {}) => askToken(`${issuer}/token`, client, exchangeOf(token, more));

async function refused(asking, error) {
  const { status, headers, body } = await asking;
  assert.deepEqual([status, body.error], [error === 'invalid_client' ? 401 : 400, error], body.error_description);
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.equal('access_token' in body, false);
}

async function granted(asking) {
  const { status, body } = await asking;
  assert.equal(status, 200, JSON.stringify(body));
  return { ...body, claims: decodeJwt(body.access_token) };
}

describe('token exchange', () => {
  test('rfc8693_2_2_1: a token for the server behind, for the same user, that says who acts', async () => {
    const answer = await granted(ask({ resource: BACKEND, scope: 'crm.records.read' }));
    const { sub, aud, client_id, scope, act, exp, roles } = answer.claims;
    assert.deepEqual({ sub, aud, client_id, scope, act, roles }, {
      sub: 'amira', aud: BACKEND, client_id: FILTER, scope: 'crm.records.read', act: { sub: FILTER, act: { sub: 'support-bot' } }, roles: ['admin'],
    });
    assert.deepEqual([answer.issued_token_type, answer.token_type, answer.scope], [ACCESS_TOKEN, 'Bearer', 'crm.records.read']);
    assert.ok(answer.expires_in <= 300 && exp <= decodeJwt(caller).exp);
    await jwtVerify(answer.access_token, createRemoteJWKSet(new URL(`${issuer}/jwks`)), { issuer, audience: BACKEND, typ: 'at+jwt' });
  });

  test('rfc8693_4_1: who acted before stays in the chain', async () => {
    const passedOn = await exchangeToken({ issuer, client: 'mail-bot', token: caller, resource: FRONT });
    const { claims } = await granted(ask({ resource: BACKEND }, { token: passedOn }));
    assert.deepEqual(claims.act, { sub: FILTER, act: { sub: 'mail-bot', act: { sub: 'support-bot' } } });
  });

  test('scopes: what the caller has stands for scopes behind, and never more is given', async () => {
    const scopeOf = async (scope, token) => (await granted(ask({ resource: BACKEND, scope }, { token }))).claims.scope;
    assert.equal(await scopeOf('crm.mail.send crm.records.read'), 'crm.mail.send crm.records.read');
    assert.equal(await scopeOf('docs.read docs.admin crm.records.delete'), 'docs.read');
    assert.equal(await scopeOf(undefined), undefined);
    const narrow = await login('amira', 'mcp:connect docs:read');
    assert.equal(await scopeOf('docs.read crm.records.read', narrow), 'docs.read');
    await refused(ask({ resource: BACKEND, scope: 'crm.records.read' }, { token: narrow }), 'invalid_scope');
    await refused(ask({ resource: BACKEND, scope: 'unheard.of' }), 'invalid_scope');
  });

  test('rfc8693_2_1: the target by resource and by audience', async () => {
    assert.equal((await granted(ask({ audience: 'crm', scope: 'docs.read' }))).claims.aud, BACKEND);
    assert.equal((await granted(ask({ audience: 'crm', resource: BACKEND }))).claims.aud, BACKEND);
    await refused(ask({ audience: 'payroll' }), 'invalid_target');
    await refused(ask({ resource: 'https://payroll.internal.example/' }), 'invalid_target');
    await refused(ask({ resource: [BACKEND, FRONT] }), 'invalid_target');
    await refused(ask({}), 'invalid_target');
  });

  test('the server behind is for the filter alone', async () => {
    await refused(ask({ resource: BACKEND }, { client: 'mail-bot' }), 'invalid_target');
    await assert.rejects(userToken({ issuer, client: 'support-bot', user: 'amira', resource: BACKEND, scope: 'docs.read' }), /invalid_target/);
  });

  test('requested_token_type: an access token, a JWT, and nothing else', async () => {
    for (const type of [ACCESS_TOKEN, JWT]) {
      assert.equal((await granted(ask({ resource: BACKEND, requested_token_type: type }))).issued_token_type, type);
    }
    await refused(ask({ resource: BACKEND, requested_token_type: 'urn:ietf:params:oauth:token-type:saml2' }), 'invalid_request');
  });

  test('rfc8693_2_2_2: a token that is not good is invalid_request', async () => {
    for (const token of [flipSignature(caller), 'opaque', await sign({ exp: -10 }), await sign({ iss: 'https://elsewhere.example' })]) {
      await refused(ask({ resource: BACKEND }, { token }), 'invalid_request');
    }
    await refused(ask({ resource: BACKEND }, { token: await sign({}, 'JWT') }), 'invalid_request');
    await refused(ask({ resource: BACKEND, subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }), 'invalid_request');
  });

  test('a new token is good no longer than the one it was made of', async () => {
    const { expires_in } = await granted(ask({ resource: BACKEND }, { token: await sign({ exp: 30 }) }));
    assert.ok(expires_in > 0 && expires_in <= 30);
  });
});

describe('actors', () => {
  const acting = (actor_token, actor_token_type = ACCESS_TOKEN, options = {}) => (
    ask({ resource: BACKEND, actor_token, actor_token_type }, options));

  test('rfc8693_2_1: an access token of the actor\'s own', async () => {
    const own = await clientCredentials({ issuer, client: FILTER });
    assert.equal(decodeJwt(own).aud, issuer);
    const { claims } = await granted(acting(own));
    assert.deepEqual(claims.act, { sub: FILTER, act: { sub: 'support-bot' } });
  });

  test('a JWT-SVID of a trust domain that is known', async () => {
    const { claims } = await granted(acting(await svid(), JWT));
    assert.deepEqual(claims.act, { sub: WORKLOAD, act: { sub: 'support-bot' } });
    await refused(acting(await svid({ sub: STRANGER }), JWT), 'invalid_request');
    await refused(acting(await svid({ aud: 'https://elsewhere.example' }), JWT), 'invalid_request');
    await refused(acting(await svid({ exp: '-10s' }), JWT), 'invalid_request');
    await refused(acting(flipSignature(await svid()), JWT), 'invalid_request');
  });

  test('rfc8693_2_1: actor_token and actor_token_type come together', async () => {
    await refused(ask({ resource: BACKEND, actor_token: caller }), 'invalid_request');
    await refused(ask({ resource: BACKEND, actor_token_type: ACCESS_TOKEN }), 'invalid_request');
    await refused(acting(caller, 'urn:ietf:params:oauth:token-type:saml2'), 'invalid_request');
    await refused(acting(flipSignature(caller)), 'invalid_request');
  });

  test('rfc8693_4_4: only the party that may_act names', async () => {
    const [nadia, omar] = await Promise.all(['nadia', 'omar'].map((user) => login(user)));
    assert.deepEqual(decodeJwt(nadia).may_act, { sub: FILTER });
    await granted(ask({ resource: BACKEND }, { token: nadia }));
    await granted(acting(await clientCredentials({ issuer, client: FILTER }), ACCESS_TOKEN, { token: nadia }));
    await refused(acting(await svid(), JWT, { token: nadia }), 'invalid_request');
    await refused(ask({ resource: BACKEND }, { token: omar }), 'invalid_request');
    await granted(ask({ resource: FRONT }, { token: omar, client: 'mail-bot' }));
  });
});

describe('how the filter authenticates', () => {
  test('by its secret in the form, by a key, by a certificate', async () => {
    const parameters = exchangeOf(caller, { resource: BACKEND });
    await granted(askToken(`${issuer}/token`, undefined, { ...parameters, client_id: `${FILTER}-post`, client_secret: SECRET }));

    const key = createPrivateKey(backends.introspectionKey);
    const assertion = await new SignJWT({ sub: `${FILTER}-jwt`, iss: `${FILTER}-jwt`, aud: issuer, jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256' }).setIssuedAt().setExpirationTime('60s').sign(key);
    await granted(askToken(`${issuer}/token`, undefined, {
      ...parameters, client_id: `${FILTER}-jwt`, client_assertion: assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    }));

    const { ca, of } = backends.certificates;
    const withCertificate = (name) => (
      askToken(backends.tlsTokenEndpoint, undefined, { ...parameters, client_id: `${FILTER}-mtls` }, { ca, ...of(name) }));
    await granted(withCertificate('client'));
    await refused(withCertificate('other'), 'invalid_client');
    await refused(askToken(`${issuer}/token`, undefined, { ...parameters, client_id: FILTER }), 'invalid_client');
  });

  test('rfc6749_4_4: a token of its own for the server behind', async () => {
    const { sub, aud, scope } = decodeJwt(await clientCredentials({ issuer, client: FILTER, resource: BACKEND, scope: 'crm.records.read' }));
    assert.deepEqual({ sub, aud, scope }, { sub: FILTER, aud: BACKEND, scope: 'crm.records.read' });
    await assert.rejects(clientCredentials({ issuer, client: 'demo-reader', resource: BACKEND, scope: 'docs.read' }), /invalid_target/);
  });
});

describe('identity chaining', () => {
  let partner;
  before(() => { partner = backends.servers.idp2; });

  const assertionFor = (more = {}) => ask({ audience: partner.issuer, requested_token_type: ID_JAG, resource: BACKEND, ...more });
  const redeem = (assertion, more = {}, client = FILTER) => askToken(partner.tokenEndpoint, client, bearerOf(assertion, more));

  test('an ID-JAG of the first server becomes a token of the second', async () => {
    const jag = await granted(assertionFor({ scope: 'crm.records.read crm.mail.send' }));
    assert.deepEqual([jag.token_type, jag.issued_token_type], ['N_A', ID_JAG]);
    assert.equal(decodeProtectedHeader(jag.access_token).typ, 'oauth-id-jag+jwt');
    const { iss, sub, aud, client_id, resource, scope } = jag.claims;
    assert.deepEqual({ iss, sub, aud, client_id, resource, scope }, {
      iss: issuer, sub: 'amira', aud: partner.issuer, client_id: FILTER, resource: BACKEND, scope: 'crm.records.read crm.mail.send',
    });

    const { claims, access_token: token, refresh_token: refresh } = await granted(redeem(jag.access_token, { scope: 'crm.records.read' }));
    assert.equal(refresh, undefined);
    await jwtVerify(token, createRemoteJWKSet(new URL(`${partner.issuer}/jwks`)), { issuer: partner.issuer, audience: BACKEND, typ: 'at+jwt' });
    assert.deepEqual([claims.sub, claims.scope, claims.client_id], ['amira@partner.example', 'crm.records.read', FILTER]);
    assert.deepEqual(claims.act, { sub: FILTER, act: { sub: 'support-bot' } });
  });

  test('a plain JWT grant does as well', async () => {
    const jwt = await granted(assertionFor({ requested_token_type: JWT, scope: 'docs.read' }));
    assert.deepEqual([jwt.token_type, jwt.issued_token_type], ['N_A', JWT]);
    assert.equal((await granted(redeem(jwt.access_token))).claims.scope, 'docs.read');
  });

  test('rfc7523_3: an assertion is for one server, one client, once, and not for long', async () => {
    const { access_token: jag } = await granted(assertionFor({ scope: 'docs.read' }));
    await refused(redeem(jag, {}, 'rogue-bot'), 'invalid_client');
    await refused(askToken(partner.tokenEndpoint, undefined, bearerOf(jag, { client_id: `${FILTER}-post`, client_secret: SECRET })), 'invalid_grant');
    await granted(redeem(jag));
    await refused(redeem(jag), 'invalid_grant');

    const forged = (claims, typ = 'oauth-id-jag+jwt') => sign({
      aud: partner.issuer, client_id: FILTER, jti: randomUUID(), resource: BACKEND, ...claims,
    }, typ);
    await granted(redeem(await forged({})));
    for (const claims of [
      { aud: 'https://elsewhere.example' }, { aud: [partner.issuer, 'https://elsewhere.example'] }, { client_id: 'rogue-bot' },
      { iss: 'https://elsewhere.example' }, { exp: -10 }, { jti: undefined },
    ]) await refused(redeem(await forged(claims)), 'invalid_grant');
    await refused(redeem(flipSignature(await forged({}))), 'invalid_grant');
    await refused(redeem(caller), 'invalid_grant');
    await refused(redeem(await forged({}, 'at+jwt')), 'invalid_grant');
  });

  test('nothing beyond the assertion: scopes, targets', async () => {
    const { access_token: jag } = await granted(assertionFor({ scope: 'docs.read' }));
    await refused(redeem(jag, { scope: 'docs.admin' }), 'invalid_scope');
    await refused(assertionFor({ scope: 'docs.admin' }), 'invalid_scope');
    await refused(assertionFor({ audience: 'https://elsewhere.example' }), 'invalid_target');
    await refused(assertionFor({ requested_token_type: ACCESS_TOKEN }), 'invalid_target');
    await refused(assertionFor({ resource: 'https://payroll.internal.example/' }), 'invalid_target');
  });
});

describe('the admin seam', () => {
  let server;
  before(() => { server = backends.servers.idp; });
  beforeEach(() => forget(server.admin));
  after(() => recover(server.admin));

  test('counts grants by type, and token requests', async () => {
    await granted(ask({ resource: BACKEND }));
    await refused(ask({ resource: BACKEND, scope: 'unheard.of' }), 'invalid_scope');
    await clientCredentials({ issuer, client: FILTER });
    assert.deepEqual(await grants(server.admin), {
      [TOKEN_EXCHANGE]: { issued: 1, refused: 1 }, client_credentials: { issued: 1, refused: 0 },
    });
    assert.equal((await requests(server.admin))['/token'], 3);
    assert.deepEqual(Object.keys(await grants(backends.servers.idp2.admin)), [JWT_BEARER]);
  });

  test('makes token requests fail in every way', async () => {
    const post = () => fetch(server.tokenEndpoint, { method: 'POST' });
    for (const [name, { status, close }] of Object.entries(FAULTS)) {
      if (name === 'slow') continue;
      await failWith(server.admin, '/token', name);
      if (close) await assert.rejects(post());
      else assert.equal((await post()).status, status, name);
    }
    await failWith(server.admin, '/token', { delay: 200 });
    const start = Date.now();
    await granted(ask({ resource: BACKEND }));
    assert.ok(Date.now() - start >= 200);
    await recover(server.admin);
    await granted(ask({ resource: BACKEND }));
    assert.equal((await grants(server.admin))[TOKEN_EXCHANGE].issued, 2);
  });
});

/** A token with the claims of the caller's that has `changes`, by the key of the OAuth server; `exp` in seconds from now. */
async function sign({ exp = 60, ...changes }, typ = 'at+jwt') {
  const [key] = JSON.parse(readFileSync(backends.keyFile, 'utf8')).keys;
  return new SignJWT({ ...decodeJwt(caller), ...changes, exp: Math.floor(Date.now() / 1000) + exp })
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ }).sign(await importJWK(key, key.alg));
}

function svid({ sub = WORKLOAD, aud = issuer, exp = '60s' } = {}) {
  return new SignJWT({ sub, aud }).setProtectedHeader({ alg: 'ES256', kid: 'workloads', typ: 'JWT' })
    .setIssuedAt().setExpirationTime(exp).sign(workloadKey);
}
