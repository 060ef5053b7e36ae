// The MCP server takes tokens that were made for it, and no others.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { SignJWT, decodeJwt, importJWK } from 'jose';

import { BACKEND } from '../idp/backend.mjs';
import { SECRET } from '../idp/clients.mjs';
import { ACCESS_TOKEN, JWT_BEARER } from '../idp/uris.mjs';
import { request } from '../lib/mcp.mjs';
import { startBackends } from '../lib/stack.mjs';
import { askToken, clientCredentials, exchangeOf, flipSignature, userToken } from '../lib/tokens.mjs';
import { auth0UserToken, entraUserToken } from '../lib/vendors.mjs';

const ORIGIN = 'http://127.0.0.1:10000';
const FRONT = `${ORIGIN}/typescript/mcp`;

const ARGUMENTS = { uri: 'docs://roadmap', query: 'audit', id: '7', to: 'a contact', text: 'hello' };

/** Runs `tests` with the stack whose MCP server takes tokens of `exchange`. */
function withStack(exchange, tests) {
  describe(`tokens of ${exchange}`, () => {
    const stack = {
      /** The answer to a call; `token` is for the header. */
      call: (tool, token) => request(`http://127.0.0.1:${stack.backends.ports.mcp_typescript}/mcp`, 'tools/call', { name: tool, arguments: ARGUMENTS },
        token && { authorization: `Bearer ${token}` }),
      whoami: async (token) => JSON.parse(resultOf(await stack.call('whoami', token)).text),
    };
    let directory;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), 'countersign-guard-'));
      stack.backends = await startBackends({ origins: [ORIGIN], directory, crm: true, exchange });
    });
    after(async () => {
      await stack.backends?.stop();
      rmSync(directory, { recursive: true });
    });
    tests(stack);
  });
}

function resultOf({ status, body }) {
  assert.equal(status, 200, JSON.stringify(body));
  const { content: [{ text }], isError = false } = body.result;
  return { text, isError };
}

function assertRefused({ status, headers }) {
  assert.deepEqual([status, headers.get('www-authenticate')], [401, 'Bearer error="invalid_token"']);
}

function assertScopeMissing(answer, tool, scope) {
  assert.deepEqual(resultOf(answer), { text: `403 insufficient_scope: ${tool} needs ${scope}`, isError: true });
}

withStack('idp', (stack) => {
  let caller;
  let token;
  before(async () => {
    const { issuer } = stack.backends;
    caller = await userToken({ issuer, client: 'support-bot', user: 'amira', resource: FRONT, scope: 'mcp:connect docs:read crm:read' });
    const { body } = await askToken(`${issuer}/token`, 'countersign', exchangeOf(caller, { resource: BACKEND, scope: 'crm.records.read' }));
    token = body.access_token;
  });

  test('rfc6750_3: no token, the caller\'s token, and tokens that are not good', async () => {
    const [key] = JSON.parse(readFileSync(stack.backends.keyFile, 'utf8')).keys;
    const now = Math.floor(Date.now() / 1000);
    const sign = async (changes = {}, typ = 'at+jwt') => new SignJWT({ ...decodeJwt(token), ...changes })
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ }).sign(await importJWK(key, key.alg));
    resultOf(await stack.call('readContacts', await sign()));
    assertRefused(await stack.call('readContacts'));
    assertRefused(await stack.call('readContacts', caller));
    assertRefused(await stack.call('readContacts', flipSignature(token)));
    assertRefused(await stack.call('readContacts', `${token}, Bearer ${token}`));
    assertRefused(await stack.call('readContacts', await sign({}, 'JWT')));
    const foreign = { act: { sub: 'mail-bot', act: { sub: 'countersign' } } };
    for (const changes of [{ act: undefined }, foreign, { aud: FRONT }, { iss: 'https://elsewhere.example' }, { exp: now - 10 }, { exp: undefined }]) {
      assertRefused(await stack.call('readContacts', await sign(changes)));
    }
  });

  test('each tool has its scope', async () => {
    assert.deepEqual(resultOf(await stack.call('readContacts', token)), { text: 'contacts with audit', isError: false });
    for (const [tool, scope] of [
      ['search_docs', 'docs.read'], ['read_doc', 'docs.read'], ['delete_doc', 'docs.admin'], ['sendEmail', 'crm.mail.send'], ['deleteRecord', 'crm.records.delete'],
    ]) assertScopeMissing(await stack.call(tool, token), tool, scope);
  });

  test('whoami says who was seen', async () => {
    const seen = await stack.whoami(token);
    assert.equal(seen.authorization, true);
    assert.deepEqual(seen.token, {
      iss: stack.backends.issuer, sub: 'amira', aud: BACKEND, client_id: 'countersign', scope: 'crm.records.read', tid: 'blue',
      act: { sub: 'countersign', act: { sub: 'support-bot' } },
    });
  });

  test('a service\'s own token', async () => {
    const own = await clientCredentials({ issuer: stack.backends.issuer, client: 'countersign', resource: BACKEND, scope: 'docs.read' });
    assert.equal((await stack.whoami(own)).token.sub, 'countersign');
    assert.equal(resultOf(await stack.call('search_docs', own)).isError, false);
  });

  test('documents by another way need the same scope', async () => {
    const read = (credential) => request(`http://127.0.0.1:${stack.backends.ports.mcp_typescript}/mcp`, 'resources/read', { uri: ARGUMENTS.uri }, {
      authorization: `Bearer ${credential}`,
    });
    assert.ok((await read(token)).body.error);
    const own = await clientCredentials({ issuer: stack.backends.issuer, client: 'countersign', resource: BACKEND, scope: 'docs.read' });
    assert.ok((await read(own)).body.result);
  });
});

withStack('entra', (stack) => {
  test('permissions of the app', async () => {
    const { tokenEndpoint, admin } = stack.backends.servers.entra;
    const caller = await entraUserToken({ admin, user: 'nadia' });
    const { body } = await askToken(tokenEndpoint, undefined, {
      grant_type: JWT_BEARER, client_id: '11111111-1111-4111-8111-111111111111', client_secret: SECRET,
      assertion: caller, scope: 'api://crm/Records.Read', requested_token_use: 'on_behalf_of',
    });
    assert.equal(resultOf(await stack.call('readContacts', body.access_token)).isError, false);
    assertScopeMissing(await stack.call('deleteRecord', body.access_token), 'deleteRecord', 'Records.Delete');
    assert.equal((await stack.whoami(body.access_token)).token.scp, 'Records.Read');
    assertRefused(await stack.call('readContacts', caller));
  });
});

withStack('auth0', (stack) => {
  test('scopes of the third party', async () => {
    const { tokenEndpoint, admin } = stack.backends.servers.auth0;
    const caller = await auth0UserToken({ admin, user: 'viktor' });
    const { body } = await askToken(tokenEndpoint, 'countersign-api', {
      grant_type: 'urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token',
      subject_token: caller, subject_token_type: ACCESS_TOKEN, connection: 'github',
      requested_token_type: 'http://auth0.com/oauth/token-type/federated-connection-access-token',
    });
    assert.equal(resultOf(await stack.call('readContacts', body.access_token)).isError, false);
    assertScopeMissing(await stack.call('read_doc', body.access_token), 'read_doc', 'repo');
    assert.deepEqual((await stack.whoami(body.access_token)).token, { login: 'viktor-at-github', scope: 'read:user' });
    assertRefused(await stack.call('readContacts', caller));
  });
});
