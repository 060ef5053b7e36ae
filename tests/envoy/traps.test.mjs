// What Envoy does to headers, bodies and replies that would let a request through if the filter
// forgot about it. Traps around waiting are in waiting.test.mjs, of broken servers in upstream.test.mjs.

import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request as httpRequest } from 'node:http';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';

import { LEGACY, MATRIX, MODERN, http2Call, resultText, rpcMessage, sleep, startFleet, whoami } from './support.mjs';

/** Headers of which Envoy joins several lines into one. */
const JOINED = ['authorization', 'content-type', 'origin'];

/** What tool lists may not show to a reader of documents. */
const HIDDEN = /delete_doc|internal_debug/;

const fleet = await startFleet({ matrix: MATRIX });
after(() => fleet.stop());

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    describe('request trailers instead of END_STREAM on the body', () => {
      test('a denied tool stays denied', async () => {
        await stack.forget();
        const response = await http2Call(stack, { tool: 'delete_doc', trailers: { 'x-trailer': '1' } });
        assert.equal(response.headers[':status'], 403, response.text);
        await sleep(100);
        await stack.assertNothingReached();
      });

      test('an allowed tool passes, its trailers do not', async () => {
        await stack.forget();
        const response = await http2Call(stack, {
          tool: 'whoami', trailers: { 'x-trailer': '1', authorization: 'Bearer x', 'x-countersign-subject': 'mallory' },
        });
        assert.equal(response.headers[':status'], 200, response.text);
        assert.match(response.text, /alice/);
        const [request, ...others] = await stack.reached();
        assert.equal(others.length, 0);
        assert.equal(request.state, 'complete');
        assert.doesNotMatch(JSON.stringify(request), /x-trailer|mallory/);
      });

      test('trailers of a chunked HTTP/1 body', async () => {
        for (const [tool, status] of [['delete_doc', 403], ['whoami', 200]]) {
          await stack.forget();
          const { headers, body } = rpcMessage('tools/call', { name: tool, arguments: {} });
          const response = await stack.send({
            token: await stack.token(),
            headers: [...headers, ['transfer-encoding', `chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\nx-countersign-subject: mallory`]],
          });
          assert.equal(response.status, status, response.text);
          const requests = await stack.reached();
          assert.doesNotMatch(JSON.stringify(requests), /mallory/);
          if (status === 403) await stack.assertNothingReached();
        }
      });
    });

    describe('header bytes that are not UTF-8', () => {
      for (const [name, value] of [
        ['authorization', 'Bearer caf\xe9'], ['mcp-name', 'caf\xe9'], ['mcp-method', '\xff'], ['mcp-protocol-version', '\xc3\x28'],
        ['mcp-session-id', '\xe9'], ['content-type', 'application/json\xe9'], ['origin', 'http://\xe9'],
      ]) {
        test(`${name}: 400`, async () => {
          await stack.forget();
          const response = await whoami(stack, { headers: [[name, value]] });
          assert.equal(response.status, 400, response.text);
          assert.equal((await stack.recordOf(response)).code, 'header_malformed');
          await stack.assertNothingReached();
          await assertAlive(stack);
        });
      }
      for (const name of ['x-anything', 'user-agent', 'cookie', 'traceparent', 'x-request-id', 'x-countersign-subject']) {
        test(`${name}: of no interest`, async () => {
          const response = await whoami(stack, { headers: [[name, 'latin\xe9']] });
          assert.equal(response.status, 200, response.text);
          assert.doesNotMatch(resultText(response), /latin/);
          await stack.recordOf(response);
          await assertAlive(stack);
        });
      }
      test('path', async () => {
        const response = await whoami(stack, { path: '/typescript/mcp?\xe9' });
        assert.equal(response.status, 400, response.text);
        await assertAlive(stack);
      });
    });

    describe('the first of duplicate headers', () => {
      for (const [name, first, second] of [
        ['authorization', undefined, 'Bearer x'],
        ['mcp-name', 'whoami', 'delete_doc'],
        ['mcp-method', 'tools/call', 'tools/list'],
        ['mcp-protocol-version', MODERN, LEGACY],
        ['content-type', 'application/json', 'text/plain'],
        ['mcp-session-id', 'a', 'b'],
        ['dpop', 'a', 'b'],
        ['origin', 'http://a.example', 'http://b.example'],
      ]) {
        for (const [way, lines] of [
          ['a second line', (a, b) => [[name, a], [name, b]]],
          ['a second line first', (a, b) => [[name, b], [name, a]]],
          ['joined by a comma', (a, b) => [[name, `${a}, ${b}`]]],
        ]) {
          test(`${name}: ${way}`, async () => {
            await stack.forget();
            const token = await stack.token();
            // Revision 2026-07-28 has no sessions: there the header means nothing.
            const era = name === 'mcp-session-id' ? LEGACY : MODERN;
            const response = await stack.rpc('tools/call', { name: 'whoami', arguments: {} }, { era, headers: [
              ...(name === 'authorization' ? [] : [['authorization', `Bearer ${token}`]]),
              ...lines(first ?? `Bearer ${token}`, second),
            ] });
            assert.ok(response.status >= 400 && response.status < 500, response.raw);
            const { outcome, code } = await stack.recordOf(response);
            assert.equal(outcome, 'deny');
            // Envoy itself joins some headers by a comma: what arrives then is one line, which must not do.
            // A proof beside a bearer token is a second credential, however many lines it has.
            const expected = name === 'dpop' ? 'credentials_mixed' : 'header_repeated';
            if (way !== 'joined by a comma' && !JOINED.includes(name)) assert.equal(code, expected);
            await stack.assertNothingReached();
          });
        }
      }
    });

    describe('CR LF reflected into a challenge', () => {
      const evil = 'x\r\nset-cookie: stolen=1';
      const clean = (response) => {
        assert.equal(response.header('set-cookie'), undefined, response.raw);
        assert.doesNotMatch(response.raw, /stolen/);
        for (const challenge of response.all('www-authenticate')) {
          assert.match(challenge, /^(Bearer|DPoP) resource_metadata="[!-~]+"(, error="[a-z_]+")?(, scope="[!-~ ]+")?(, algs="[A-Za-z0-9 ]+")?$/);
        }
      };
      for (const [name, options] of [
        ['kid', { header: { kid: evil } }],
        ['typ', { header: { typ: evil } }],
        ['iss', { claims: { iss: evil } }],
        ['aud', { claims: { aud: evil } }],
        ['quotes in iss', { claims: { iss: 'x", realm="stolen' } }],
      ]) {
        test(`${name} of a token`, async () => {
          const response = await whoami(stack, { token: await stack.token(options) });
          assert.equal(response.status, 401, response.text);
          clean(response);
        });
      }
      for (const claim of ['sub', 'client_id', 'scope', 'jti']) {
        test(`${claim} of a good token`, async () => {
          await stack.forget();
          const token = await stack.token({ claims: { [claim]: evil, ...(claim === 'scope' ? { scope: `mcp:connect ${evil}` } : {}) } });
          for (const tool of ['whoami', 'delete_doc']) clean(await whoami(stack, { token, tool }));
          for (const { headers } of await stack.reached()) {
            assert.ok(!headers.some(([header]) => header.toLowerCase() === 'set-cookie'), JSON.stringify(headers));
          }
        });
      }
      test('name of a tool', async () => {
        for (const era of [MODERN, LEGACY]) {
          const response = await stack.rpc('tools/call', { name: evil, arguments: {} }, {
            era, token: await stack.token(), headers: era === MODERN ? [['mcp-name', `=?base64?${btoa(evil)}?=`]] : [],
          });
          clean(response);
          assert.equal(response.status, 200, response.text);
          assert.equal(response.json.error.code, -32602);
        }
      });
      test('path, percent-encoded', async () => {
        for (const path of ['/typescript/mcp%0d%0aset-cookie:%20stolen=1', '/typescript/mcp?%0d%0aset-cookie:%20stolen=1']) {
          clean(await whoami(stack, { token: undefined, path }));
        }
      });
      test('quotes in the path and the authority', async () => {
        for (const options of [{ path: '/typescript/mcp?"stolen"' }, { headers: [['host', 'x"stolen']] }]) {
          clean(await whoami(stack, { token: undefined, ...options }));
        }
      });
      test('CR alone and NUL in a header', async () => {
        for (const value of ['a\rset-cookie: stolen=1', 'a\0b', 'a\nset-cookie: stolen=1']) {
          const response = await whoami(stack, { headers: [['mcp-name', value]] });
          assert.equal(response.status, 400, response.raw);
          clean(response);
        }
      });
    });

    describe('stale content-length of a filtered list', () => {
      for (const [era, server] of [[MODERN, 'typescript'], [LEGACY, 'typescript'], [MODERN, 'python']]) {
        test(`HTTP/1, ${era}, ${server}: the connection serves another request`, async () => {
          const agent = new Agent({ keepAlive: true, maxSockets: 1 });
          try {
            const sockets = new Set();
            for (let i = 0; i < 3; i += 1) {
              const { status, text, socket } = await nodeCall(stack, agent, 'tools/list', { era, server });
              sockets.add(socket);
              assert.equal(status, 200, text);
              assert.match(text, /whoami/);
              assert.doesNotMatch(text, HIDDEN);
            }
            assert.equal(sockets.size, 1);
          } finally {
            agent.destroy();
          }
        });
      }
      test('HTTP/2: the connection serves another request', async () => {
        const session = connectHttp2(stack.origin);
        try {
          for (let i = 0; i < 3; i += 1) {
            const { headers, text } = await http2Call(stack, { session, method: 'tools/list' });
            assert.equal(headers[':status'], 200, text);
            assert.ok(JSON.parse(text).result.tools.length > 0);
            assert.doesNotMatch(text, HIDDEN);
          }
        } finally {
          session.close();
        }
      });
    });

    describe("Envoy's own replies pass through our callbacks", () => {
      test('ours to a denied list', async () => {
        const response = await stack.rpc('tools/list', {}, { token: await stack.token({ claims: { exp: 1 } }) });
        assert.equal(response.status, 401);
        assert.ok(response.complete);
      });
      test('400 for two content-lengths', async () => {
        const response = await whoami(stack, { headers: [['content-length', '3'], ['content-length', '5']] });
        assert.equal(response.status, 400, response.raw);
        await assertAlive(stack);
      });
    });

    test('a client that is slow to send its body is not taken for a host that hangs', async () => {
      // The headers, then three seconds of nothing, then the body.
      const { headers, body } = rpcMessage('tools/call', { name: 'whoami', arguments: {} });
      const response = await stack.send({ token: await stack.token(), headers, body, pause: 3000 });
      assert.equal(response.status, 200, response.text);
      assert.equal((await stack.counters())['countersign.host_self_check.failed'] ?? 0, 0);
    });
  });
}

async function assertAlive(stack) {
  const response = await whoami(stack);
  assert.equal(response.status, 200, response.text);
  assert.doesNotMatch(stack.logText(), /panicked|Function: proxy_on|wasm trap/);
}

/** One request with Node's own client, which is strict about framing. */
async function nodeCall(stack, agent, method, { era, server }) {
  const { headers, body } = rpcMessage(method, {}, { era });
  const request = httpRequest(stack.urls[server], {
    agent,
    method: 'POST',
    headers: {
      'content-type': 'application/json', accept: 'application/json, text/event-stream',
      authorization: `Bearer ${await stack.token({ server })}`, ...Object.fromEntries(headers),
    },
  });
  request.setTimeout(10_000, () => request.destroy(new Error('no answer in 10 s')));
  request.end(body);
  const [response] = await once(request, 'response');
  const { socket } = response;
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, text, socket };
}
