// Messages that two parsers read differently, and bodies in unusual pieces. The MCP servers here
// execute many of these attacks when they are asked directly.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { LEGACY, MODERN, rpcMessage, resultText, startFleet } from './support.mjs';

const fleet = await startFleet();
after(() => fleet.stop());

const META = `"_meta":{"io.modelcontextprotocol/protocolVersion":"${MODERN}","io.modelcontextprotocol/clientCapabilities":{}}`;

/** The text of a tools/call, its parts replaceable one by one. */
function call({
  before = '', method = '"method":"tools/call"', name = '"name":"whoami"', args = '"arguments":{}', inside = '', era = MODERN,
} = {}) {
  const meta = era === MODERN ? `,${META}` : '';
  return `{"jsonrpc":"2.0","id":1,${before}${method},"params":{${name},${args}${inside}${meta}}}`;
}

const nested = (depth) => `"arguments":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;

/** Each is `[rule or advisory, body of the era, expected status]`; a status of 0 is "a 4xx". */
const ATTACKS = [
  ['envoy_45202: duplicate name in params', (era) => call({ era, inside: ',"name":"delete_doc"' }), 400],
  ['envoy_45202: duplicate method', (era) => call({ era, before: '"method":"ping",' }), 400],
  ['envoy_45202: duplicate params', (era) => call({ era, before: '"params":{"name":"delete_doc"},' }), 400],
  ['aisvs_10_4_7: duplicate deep in arguments', (era) => call({ era, args: '"arguments":{"a":{"b":[{"c":1,"c":2}]}}' }), 400],
  ['aisvs_10_4_7: duplicate by escape', (era) => call({ era, inside: ',"n\\u0061me":"delete_doc"' }), 400],
  ['ghsa_4gph: case variant of name', (era) => call({ era, inside: ',"Name":"delete_doc"' }), 400],
  ['ghsa_wvj2: case variant of method', (era) => call({ era, before: '"Method":"tools/call",' }), 400],
  ['ghsa_wvj2: U+017F in params', (era) => call({ era, before: '"param\u017f":{"name":"delete_doc"},' }), 400],
  ['ghsa_q382: trailing U+0000 in a name', (era) => call({ era, inside: ',"name\\u0000":"delete_doc"' }), 400],
  ['batch_of_one', (era) => `[${call({ era })}]`, 400],
  ['batch_of_two', (era) => `[${call({ era })},${call({ era, name: '"name":"delete_doc"' })}]`, 400],
  ['empty_batch', () => '[]', 400],
  ['utf8_bom', (era) => `\ufeff${call({ era })}`, 400],
  ['utf16_le', (era) => Buffer.from(call({ era }), 'utf16le'), 400],
  ['invalid_utf8', (era) => Buffer.from(call({ era, args: '"arguments":{"a":"\xff"}' }), 'latin1'), 400],
  ['nan_in_arguments', (era) => call({ era, args: '"arguments":{"a":NaN}' }), 400],
  ['infinity_in_arguments', (era) => call({ era, args: '"arguments":{"a":-Infinity}' }), 400],
  ['lone_surrogate', (era) => call({ era, args: '"arguments":{"a":"\\ud800"}' }), 400],
  ['nul_byte_after_the_message', (era) => `${call({ era })}\0`, 400],
  ['deep_nesting', (era) => call({ era, args: nested(20_000) }), 400],
  ['trailing_second_message', (era) => `${call({ era })}${call({ era, name: '"name":"delete_doc"' })}`, 400],
  ['trailing_bytes', (era) => `${call({ era })} x`, 400],
  ['truncated', (era) => call({ era }).slice(0, -1), 400],
  ['openshell_1865: request that is also a response', (era) => call({ era, before: '"result":{},' }), 400],
  ['openshell_1865: neither request nor response', () => '{"jsonrpc":"2.0","id":1}', 400],
  ['id_null_is_no_notification', (era) => call({ era }).replace('"id":1', '"id":null'), 400],
  ['id_object', (era) => call({ era }).replace('"id":1', '"id":{}'), 400],
  ['wrong_jsonrpc_version', (era) => call({ era }).replace('"2.0"', '"1.0"'), 400],
  ['missing_jsonrpc', (era) => call({ era }).replace('"jsonrpc":"2.0",', ''), 400],
  ['name_is_no_text', (era) => call({ era, name: '"name":["whoami"]' }), 400],
  ['params_is_an_array', () => '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["whoami"]}', 400],
  ['comment_in_json', (era) => `/* */${call({ era })}`, 400],
  ['single_quotes', (era) => call({ era }).replaceAll('"', "'"), 400],
  ['scalar', () => '"tools/call"', 400],
];

/** Headers of the era, truthful about a call of whoami. */
function headers(era) {
  return rpcMessage('tools/call', { name: 'whoami' }, { era }).headers;
}

for (const stack of fleet.stacks) {
  describe(stack.name, () => {
    const answers = [];

    for (const era of [MODERN, LEGACY]) {
      describe(era, () => {
        for (const [name, body, status] of ATTACKS) {
          test(name, async () => {
            await stack.forget();
            for (const server of ['typescript', 'python']) {
              const token = await stack.token({ server });
              const response = await stack.send({ server, token, headers: headers(era), body: body(era) });
              assert.equal(response.status, status, `${server}: ${response.text}`);
              assert.ok(response.json.error.code < 0, response.text);
              answers.push(response);
            }
            await stack.assertNothingReached();
          });
        }
      });
    }

    test('each attack has its record', async () => {
      assert.ok(answers.length > 0);
      for (const response of answers) {
        const { outcome, code } = await stack.recordOf(response);
        assert.deepEqual([outcome, code], ['deny', 'message_malformed']);
      }
    });

    const token = (scope) => stack.token({ scope });
    const refused = async (name, request, status, code) => test(name, async () => {
      await stack.forget();
      const response = await stack.send({ token: await token(), ...request });
      assert.equal(response.status, status, response.text);
      if (code) assert.equal((await stack.recordOf(response)).code, code);
      await stack.assertNothingReached();
    });

    refused('header_mismatch: Mcp-Name spoofed, modern', {
      headers: [['mcp-protocol-version', MODERN], ['mcp-method', 'tools/call'], ['mcp-name', 'whoami']],
      body: call({ name: '"name":"delete_doc"' }),
    }, 400, 'header_mismatch');
    refused('header_mismatch: Mcp-Method spoofed, modern', {
      headers: [['mcp-protocol-version', MODERN], ['mcp-method', 'tools/list']], body: call(),
    }, 400, 'header_mismatch');
    refused('header_mismatch: legacy version, modern _meta', {
      headers: [['mcp-protocol-version', LEGACY]], body: call(),
    }, 400);
    refused('zentinel_378: legacy version, lying Mcp-Name', {
      headers: [['mcp-protocol-version', LEGACY], ['mcp-method', 'tools/call'], ['mcp-name', 'whoami']],
      body: call({ name: '"name":"delete_doc"', era: LEGACY }),
    }, 400, 'header_mismatch');
    refused('zentinel_378: no version, lying Mcp-Method', {
      headers: [['mcp-method', 'tools/list']], body: call({ name: '"name":"delete_doc"', era: LEGACY }),
    }, 400, 'header_mismatch');
    refused('unknown_version', {
      headers: [['mcp-protocol-version', '2099-01-01']], body: call({ era: LEGACY }),
    }, 400, 'version_unsupported');
    refused('pipelock_436: gzip body', {
      headers: [...headers(LEGACY), ['content-encoding', 'gzip']], body: gzipSync(call({ era: LEGACY })),
    }, 415, 'content_encoding_unsupported');
    refused('pipelock_436: gzip body without its header', {
      headers: headers(LEGACY), body: gzipSync(call({ era: LEGACY })),
    }, 400, 'message_malformed');
    refused('empty_body', { headers: headers(MODERN), body: '' }, 400, 'message_malformed');
    refused('empty_chunked_body', { headers: headers(MODERN), body: [] }, 400, 'message_malformed');

    test('escapes_are_read_as_the_server_reads_them', async () => {
      await stack.forget();
      const body = '{"jsonrpc":"2.0","id":1,"m\\u0065thod":"tools\\u002fcall","params":{"n\\u0061me":"d\\u0065lete_doc","arguments":{}}}';
      const response = await stack.send({ token: await token(), headers: headers(LEGACY), body });
      assert.equal(response.status, 403, response.text);
      const { code, object } = await stack.recordOf(response);
      assert.deepEqual([code, object.name], ['scope_missing', 'delete_doc']);
      await stack.assertNothingReached();
    });

    test('a_call_without_id_is_not_a_way_around', async () => {
      await stack.forget();
      const body = call({ name: '"name":"delete_doc"', era: LEGACY }).replace('"id":1,', '');
      const response = await stack.send({ token: await token(), headers: headers(LEGACY), body });
      assert.ok(response.status >= 400 && response.status < 500, response.raw);
      await stack.assertNothingReached();
    });

    test('registry_1393: a body over 1 MiB is 413, not passed uninspected', async () => {
      for (const chunked of [false, true]) {
        await stack.forget();
        const body = call({ args: `"arguments":{"a":"${'x'.repeat(1024 * 1024)}"}` });
        const response = await stack.send({
          token: await token(), headers: headers(MODERN), body: chunked ? [body.slice(0, 1000), body.slice(1000)] : body,
        });
        assert.equal(response.status, 413, response.text);
        assert.equal((await stack.recordOf(response)).code, 'body_too_large');
        await stack.assertNothingReached();
      }
    });

    const passes = (name, pieces, pause) => test(name, async () => {
      await stack.forget();
      const body = call({ args: '"arguments":{}', name: '"name" : "whoami"' });
      const response = await stack.send({ token: await token(), headers: headers(MODERN), body: pieces(body), pause });
      assert.equal(response.status, 200, response.text);
      assert.match(resultText(response), /"x-countersign-subject":"alice"/);
      const requests = await stack.reached();
      assert.deepEqual(requests.map((request) => [request.state, request.body]), [['complete', body]]);
    });
    passes('byte_for_byte: at once', (body) => body);
    passes('byte_for_byte: chunked', (body) => [body.slice(0, 40), body.slice(40)]);
    passes('byte_for_byte: one byte at a time', (body) => [...body], 1);
    test('byte_for_byte: 1000 KiB, chunked', async () => {
      await stack.forget();
      const body = call({ args: `"arguments":{"a":"${'é'.repeat(500 * 1024)}"}` });
      const parts = Array.from({ length: 20 }, (_, i) => Buffer.from(body).subarray(i * 60_000, (i + 1) * 60_000)).filter((part) => part.length);
      const response = await stack.send({ token: await token(), headers: headers(MODERN), body: parts });
      assert.equal(response.status, 200, response.text);
      const [request] = await stack.reached();
      assert.equal(request.body, body);
    });
  });
}
