// Which server a request is for, its metadata (RFC 9728), and the HTTP form a request must have.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { LEGACY, rpcMessage, startFleet } from './support.mjs';

const fleet = await startFleet({
  configure: (configuration) => ({
    ...configuration,
    servers: configuration.servers.map((server) => ({ ...server, allowed_origins: ['https://app.example'] })),
  }),
});
after(() => fleet.stop());

const message = rpcMessage('tools/call', { name: 'whoami', arguments: {} });

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    const call = async ({ headers = [], ...options } = {}) => stack.send({
      token: await stack.token(), body: message.body, headers: [...message.headers, ...headers], ...options,
    });
    const metadata = (path, options = {}) => stack.send({ method: 'GET', path, ...options });

    /** A test that one request gets this status and leaves no trace at the server. */
    const refused = (name, status, request, code) => test(name, async () => {
      await stack.forget();
      const response = await request();
      assert.ok([status].flat().includes(response.status), `${response.raw}\n${response.text}`);
      if (code) assert.equal((await stack.recordOf(response)).code, code);
      assert.deepEqual(await stack.reached(), []);
    });

    describe('RFC 9728 metadata', () => {
      for (const server of ['typescript', 'python']) {
        test(`${server}: anonymous, at the path-inserted URL`, async () => {
          const response = await metadata(`/.well-known/oauth-protected-resource/${server}/mcp`);
          assert.equal(response.status, 200);
          assert.equal(response.header('content-type'), 'application/json');
          assert.equal(response.json.resource, stack.urls[server], 'byte-identical');
          assert.deepEqual(response.json.authorization_servers, [stack.issuer]);
          assert.deepEqual(response.json.scopes_supported, ['mcp:connect']);
          assert.ok(response.json.bearer_methods_supported === undefined || response.json.bearer_methods_supported.join() === 'header');
          assert.equal((await stack.recordOf(response)).code, 'metadata');
        });
        test(`${server}: the challenge leads there`, async () => {
          const response = await call({ server, token: undefined });
          assert.equal(response.status, 401);
          const [, url] = /^Bearer resource_metadata="([^"]*)"/.exec(response.header('www-authenticate'));
          assert.equal((await (await fetch(url)).json()).resource, stack.urls[server]);
          assert.doesNotMatch(response.header('www-authenticate'), /error=/);
        });
      }
      refused('not at the root, where two servers live', 404, () => metadata('/.well-known/oauth-protected-resource'));
      refused('not for a path without a server', 404, () => metadata('/.well-known/oauth-protected-resource/other'));
      refused('not under another authority', 404, () => metadata('/.well-known/oauth-protected-resource/typescript/mcp', { headers: [['host', 'other.example']] }));
      refused('only read', 405, () => stack.send({ method: 'POST', path: '/.well-known/oauth-protected-resource/typescript/mcp', body: '{}' }), 'method_not_allowed');
    });

    describe('authority and path', () => {
      refused('another authority', 404, () => call({ headers: [['host', 'other.example']] }), 'unknown_server');
      refused('a longer path', 404, () => call({ path: '/typescript/mcp/' }), 'unknown_server');
      refused('a shorter path', 404, () => call({ path: '/typescript' }), 'unknown_server');
      refused('another case', 404, () => call({ path: '/TypeScript/mcp' }), 'unknown_server');
      refused('a path parameter', 404, () => call({ path: '/typescript/mcp;x=1' }), 'unknown_server');
      for (const path of ['/typescript%2fmcp', '/typescript%5cmcp', '/typescript/mcp%00', '/typescript/%2e%2e%2fpython/mcp']) {
        refused(`an encoded path: ${path}`, [400, 404], () => call({ path }));
      }
      test('what Envoy normalises is decided upon in the form that goes on', async () => {
        for (const path of ['//typescript//mcp', '/x/../typescript/mcp', '/typescript/./mcp', '/typescript/m%63p', '/typescript\\mcp']) {
          await stack.forget();
          const response = await call({ path });
          const requests = await stack.reached();
          if (response.status === 200) assert.deepEqual(requests.map(({ url }) => url), ['/mcp']);
          else assert.deepEqual([[400, 404].includes(response.status), requests], [true, []], `${path}: ${response.status}`);
        }
      });
      test('a token for one server is none for the other', async () => {
        const response = await call({ server: 'python', token: await stack.token() });
        assert.equal(response.status, 401);
        assert.equal((await stack.recordOf(response)).code, 'token_audience');
      });
      test('the authority in capitals is the same', async () => {
        const { host } = new URL(stack.origin);
        assert.equal((await call({ headers: [['host', host.toUpperCase()]] })).status, 200);
      });
      refused('absolute form with another authority', 404, () => call({ path: 'http://other.example/typescript/mcp' }), 'unknown_server');
      test('a method or URL in a header changes nothing', async () => {
        await stack.forget();
        const headers = [['x-http-method-override', 'DELETE'], ['x-original-url', '/other'], ['x-rewrite-url', '/other']];
        assert.equal((await call({ headers })).status, 200);
        const [request] = await stack.reached();
        assert.doesNotMatch(JSON.stringify(request.headers).toLowerCase(), /override|original-url|rewrite-url/);
      });
    });

    describe('rfc6750_2_3: a token in the query', () => {
      for (const query of ['access_token=x', 'a=1&access_token=x', '%61ccess_token=x', 'ACCESS_TOKEN=x']) {
        refused(query, 400, () => call({ path: `/typescript/mcp?${query}` }), 'token_in_query');
      }
    });

    describe('ghsa_89xv: Origin', () => {
      for (const origin of ['https://evil.example', 'null', 'https://app.example.evil', 'http://app.example', 'https://app.example:444', '']) {
        refused(`"${origin}"`, 403, () => call({ headers: [['origin', origin]] }), 'origin_forbidden');
      }
      test('the allowed one', async () => assert.equal((await call({ headers: [['origin', 'https://app.example']] })).status, 200));
    });

    describe('HTTP methods', () => {
      for (const method of ['PUT', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'post']) {
        refused(method, [400, 405], () => call({ method, body: undefined }));
      }
      refused('CONNECT', [400, 403, 404, 405], () => call({ method: 'CONNECT', path: '127.0.0.1:1', body: undefined }));
      refused('upgrade to WebSocket', [400, 403, 426], () => stack.send({
        method: 'GET', headers: [['connection', 'upgrade'], ['upgrade', 'websocket'], ['sec-websocket-version', '13'], ['sec-websocket-key', 'eA==']],
      }));
      refused('GET in 2026-07-28', 405, async () => stack.send({
        method: 'GET', token: await stack.token(), headers: [['mcp-protocol-version', '2026-07-28']],
      }), 'method_not_allowed');
      refused('GET with a body', 400, async () => stack.send({
        method: 'GET', token: await stack.token(), headers: [['mcp-protocol-version', LEGACY]], body: message.body,
      }), 'body_unexpected');
      refused('DELETE without a token', 401, () => stack.send({ method: 'DELETE', headers: [['mcp-protocol-version', LEGACY]] }), 'token_missing');
      refused('GET without a token', 401, () => stack.send({ method: 'GET', headers: [['mcp-protocol-version', LEGACY]] }), 'token_missing');
    });

    describe('ghsa_qm2p, tyk_8539: Content-Type', () => {
      for (const type of [undefined, '', 'text/plain', 'text/plain;x=application/json', 'application/jsonp', 'application/json, text/plain',
        'application/json; charset=utf-16', 'application/json; charset=utf-7', 'application/json;', 'multipart/form-data']) {
        refused(String(type), 415, () => call({ headers: [['content-type', type]] }), 'media_type_unsupported');
      }
      for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON']) {
        test(`${type} is JSON`, async () => assert.equal((await call({ headers: [['content-type', type]] })).status, 200));
      }
    });

    describe('pipelock_436: Content-Encoding', () => {
      for (const coding of ['gzip', 'br', 'deflate', 'zstd', 'identity, gzip', '']) {
        refused(`"${coding}"`, 415, () => call({ headers: [['content-encoding', coding]] }), 'content_encoding_unsupported');
      }
      test('identity', async () => assert.equal((await call({ headers: [['content-encoding', 'identity']] })).status, 200));
    });
  });
}

test('RFC 9728 metadata of a sole server is at the root, too', async () => {
  const own = await startFleet({ configure: ({ servers: [server], ...rest }) => ({ ...rest, servers: [server] }) });
  try {
    for (const stack of own.stacks) {
      for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/typescript/mcp']) {
        const response = await stack.send({ method: 'GET', path });
        assert.equal(response.status, 200, path);
        assert.equal(response.json.resource, stack.urls.typescript);
      }
      const other = await stack.send({ method: 'GET', path: '/.well-known/oauth-protected-resource/python/mcp' });
      assert.equal(other.status, 404);
    }
  } finally {
    await own.stop();
  }
});
