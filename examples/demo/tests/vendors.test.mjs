// Who stands for a vendor answers as the vendor's documentation says.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';

import { SECRET } from '../idp/clients.mjs';
import { ACCESS_TOKEN, JWT_BEARER } from '../idp/uris.mjs';
import { failWith, grants, recover } from '../lib/admin.mjs';
import { DEMO, NODE } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';
import { startProcess } from '../lib/process.mjs';
import { askToken, flipSignature } from '../lib/tokens.mjs';
import { auth0UserToken, entraUserToken } from '../lib/vendors.mjs';

const directory = mkdtempSync(join(tmpdir(), 'countersign-vendors-'));
after(() => rmSync(directory, { recursive: true }));

/** Starts `vendors/NAME.mjs`: `{ origin, admin, stop() }`. */
async function start(name, ready) {
  const [port, adminPort] = await freePorts(2);
  const origin = `http://127.0.0.1:${port}`;
  const { stop } = await startProcess({
    name,
    command: NODE,
    args: [join(DEMO, `vendors/${name}.mjs`)],
    env: { PORT: port, ADMIN_PORT: adminPort },
    logFile: join(directory, `${name}.log`),
    ready: origin + ready,
  });
  return { origin, admin: `http://127.0.0.1:${adminPort}`, stop };
}

describe('Microsoft Entra ID, on behalf of', () => {
  const [TENANT, OTHER_TENANT] = ['aaaaaaaa-1111-4111-8111-111111111111', 'bbbbbbbb-2222-4222-8222-222222222222'];
  const [FILTER, BACKEND] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];

  let entra;
  before(async () => { entra = await start('entra', `/${TENANT}/discovery/v2.0/keys`); });
  after(() => entra?.stop());

  const login = (user, more) => entraUserToken({ admin: entra.admin, user, ...more });
  const ask = (assertion, changes = {}, tenant = TENANT) => askToken(`${entra.origin}/${tenant}/oauth2/v2.0/token`, undefined, {
    grant_type: JWT_BEARER,
    client_id: FILTER,
    client_secret: SECRET,
    assertion,
    scope: 'api://crm/Records.Read',
    requested_token_use: 'on_behalf_of',
    ...changes,
  });
  const refused = async (asking, expected) => {
    const { status, body } = await asking;
    const [code] = body.error_codes;
    assert.deepEqual([status, body.error, code], expected);
    assert.match(body.error_description, new RegExp(`^AADSTS${code}: .*\r\nTrace ID: .*\r\nCorrelation ID: .*\r\nTimestamp: .*Z$`));
    return body;
  };

  test('a token of version 2.0 for the app behind, of the same user in the same tenant', async () => {
    const caller = await login('amira');
    const { status, body } = await ask(caller);
    assert.equal(status, 200);
    assert.deepEqual([body.token_type, body.ext_expires_in], ['Bearer', body.expires_in]);
    const { payload } = await jwtVerify(body.access_token, createRemoteJWKSet(new URL(`${entra.origin}/${TENANT}/discovery/v2.0/keys`)), {
      issuer: `${entra.origin}/${TENANT}/v2.0`, audience: BACKEND, typ: 'JWT', algorithms: ['RS256'],
    });
    const given = decodeJwt(caller);
    assert.deepEqual([payload.ver, payload.idtyp, payload.azp, payload.tid, payload.oid], ['2.0', 'user', FILTER, TENANT, given.oid]);
    assert.notEqual(payload.sub, given.sub);
    assert.equal(given.aud, FILTER);
  });

  test('all that the user has consented to is in it, whatever was asked for', async () => {
    for (const [user, scp] of [['amira', 'Records.Read Mail.Send Records.Delete'], ['nadia', 'Records.Read']]) {
      for (const scope of ['api://crm/Records.Read', 'api://crm/.default']) {
        const { body } = await ask(await login(user), { scope });
        assert.equal(decodeJwt(body.access_token).scp, scp);
        assert.equal(body.scope, scp.split(' ').map((name) => `api://crm/${name}`).join(' '));
      }
    }
  });

  test('a policy of conditional access: interaction_required, with the claims that satisfy it', async () => {
    const { claims } = await refused(ask(await login('viktor')), [400, 'interaction_required', 50079]);
    const { acrs } = JSON.parse(claims).access_token;
    assert.deepEqual(acrs, { essential: true, value: 'c1' });
    const { status, body } = await ask(await login('viktor', { acrs: acrs.value }));
    assert.deepEqual([status, decodeJwt(body.access_token).acrs], [200, ['c1']]);
  });

  test('no consent: invalid_grant, with what could mend it', async () => {
    assert.equal((await refused(ask(await login('gita')), [400, 'invalid_grant', 65001])).suberror, 'consent_required');
    await refused(ask(await login('nadia'), { scope: 'api://crm/Records.Read api://crm/Mail.Send' }), [400, 'invalid_grant', 65001]);
  });

  test('assertions of others, for others, altered, over', async () => {
    const caller = await login('amira');
    const invalid = (assertion, code, tenant) => refused(ask(assertion, {}, tenant), [400, 'invalid_grant', code]);
    await invalid(flipSignature(caller), 50013);
    await invalid('opaque', 50013);
    await invalid(caller, 50013, OTHER_TENANT);
    await invalid((await ask(caller)).body.access_token, 500131);
    await invalid(await login('amira', { ttl: -10 }), 500133);
  });

  test('requests that are not as they should be', async () => {
    const caller = await login('amira');
    await refused(ask(caller, { client_secret: 'wrong' }), [401, 'invalid_client', 7000215]);
    await refused(ask(caller, { client_id: BACKEND }), [400, 'unauthorized_client', 700016]);
    await refused(ask(caller, { requested_token_use: undefined }), [400, 'invalid_request', 900144]);
    await refused(ask(undefined), [400, 'invalid_request', 900144]);
    await refused(ask(caller, { grant_type: 'client_credentials' }), [400, 'unsupported_grant_type', 70003]);
    await refused(ask(caller, { scope: 'api://payroll/.default' }), [400, 'invalid_resource', 500011]);
    await refused(ask(caller, { scope: 'api://crm/Unheard.Of' }), [400, 'invalid_scope', 70011]);
    await refused(ask(caller, { scope: 'api://crm/.default api://crm/Records.Read' }), [400, 'invalid_scope', 70011]);
    await refused(ask(caller, {}, 'nowhere'), [400, 'invalid_request', 90002]);
  });

  test('discovery, of a tenant and of all', async () => {
    const discover = async (tenant) => (await fetch(`${entra.origin}/${tenant}/v2.0/.well-known/openid-configuration`)).json();
    assert.equal((await discover(TENANT)).issuer, `${entra.origin}/${TENANT}/v2.0`);
    const all = await discover('organizations');
    assert.equal(all.issuer, `${entra.origin}/{tenantid}/v2.0`);
    assert.equal((await (await fetch(all.jwks_uri)).json()).keys.length, 1);
  });

  test('counts, and fails when told to', async () => {
    const path = `/${TENANT}/oauth2/v2.0/token`;
    const { issued, refused: earlier } = (await grants(entra.admin))[JWT_BEARER];
    await failWith(entra.admin, path, 'unavailable');
    assert.equal((await ask(await login('amira'))).status, 503);
    await recover(entra.admin);
    assert.equal((await ask(await login('amira'))).status, 200);
    assert.deepEqual((await grants(entra.admin))[JWT_BEARER], { issued: issued + 1, refused: earlier });
  });
});

describe('Auth0, Token Vault', () => {
  const CLIENT = 'countersign-api';
  const GRANT = 'urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token';
  const TYPE = 'http://auth0.com/oauth/token-type/federated-connection-access-token';

  let auth0;
  before(async () => { auth0 = await start('auth0', '/.well-known/jwks.json'); });
  after(() => auth0?.stop());

  const login = (user) => auth0UserToken({ admin: auth0.admin, user });
  const ask = (token, changes = {}, client = undefined) => askToken(`${auth0.origin}/oauth/token`, client, {
    grant_type: GRANT,
    ...(!client && { client_id: CLIENT, client_secret: SECRET }),
    subject_token: token,
    subject_token_type: ACCESS_TOKEN,
    requested_token_type: TYPE,
    connection: 'github',
    ...changes,
  });
  const github = (token) => fetch(`${auth0.origin}/github/user`, { headers: { authorization: `Bearer ${token}` } });

  test('the caller\'s token is the API\'s', async () => {
    const { payload } = await jwtVerify(await login('amira'), createRemoteJWKSet(new URL(`${auth0.origin}/.well-known/jwks.json`)), {
      issuer: `${auth0.origin}/`, audience: 'https://filter.internal.example', typ: 'at+jwt',
    });
    assert.deepEqual([payload.sub, payload.scope], ['auth0|amira', 'mcp:connect docs:read']);
  });

  test('a token of the linked account, by both ways to authenticate', async () => {
    for (const client of [undefined, CLIENT]) {
      const { status, body } = await ask(await login('amira'), {}, client);
      assert.equal(status, 200, JSON.stringify(body));
      const { access_token: token, ...rest } = body;
      assert.deepEqual(rest, { scope: 'repo read:user', expires_in: 28_800, issued_token_type: TYPE, token_type: 'Bearer' });
      const seen = await github(token);
      assert.deepEqual([(await seen.json()).login, seen.headers.get('x-oauth-scopes')], ['amira-at-github', 'repo, read:user']);
    }
    assert.equal((await github(await login('amira'))).status, 401);
  });

  test('who has linked no account', async () => {
    const { status, body } = await ask(await login('gita'));
    assert.deepEqual([status, body], [401, {
      error: 'federated_connection_refresh_token_not_found', error_description: 'Federated connection Refresh Token not found.',
    }]);
  });

  test('requests that are not as they should be', async () => {
    const caller = await login('amira');
    const refused = async (asking, status, error) => {
      const answer = await asking;
      assert.deepEqual([answer.status, answer.body.error], [status, error]);
    };
    await refused(ask(caller, { client_secret: 'wrong' }), 401, 'access_denied');
    await refused(ask(caller, { grant_type: JWT_BEARER }), 403, 'unauthorized_client');
    await refused(ask(caller, { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }), 400, 'invalid_request');
    await refused(ask(caller, { requested_token_type: ACCESS_TOKEN }), 400, 'invalid_request');
    await refused(ask(caller, { connection: 'unheard-of' }), 400, 'invalid_request');
    await refused(ask(flipSignature(caller)), 401, 'invalid_token');
    const { issued, refused: times } = (await grants(auth0.admin))[GRANT];
    assert.ok(issued > 0 && times > 0);
  });
});
