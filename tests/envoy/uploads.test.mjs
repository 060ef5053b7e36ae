// Large and slow messages, both ways: what is within the bounds arrives whole, what is beyond them
// gets our own answer, and nothing of it stays with Envoy.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { LEGACY, MATRIX, MODERN, MODES, assertNoGrowth, http2Call, rpcMessage, startFleet, startStub, whoami } from './support.mjs';

/** The largest body that is read (`MAX_BODY`), in bytes. */
const MAX_BODY = 1024 * 1024;

/** The upload of the issue, in bytes: more than the filter reads, less than Envoy can buffer. */
const UPLOAD = 3 * 1024 * 1024;

/** The same, where Envoy could not buffer it: it must not get that far. */
const HUGE = 8 * 1024 * 1024;

/** How a body comes over HTTP/1.1: said beforehand or chunked. */
const FRAMINGS = {
  'content-length': (body) => body,
  chunked: (body) => Array.from({ length: Math.ceil(body.length / 65_536) }, (_, i) => body.slice(i * 65_536, (i + 1) * 65_536)),
};

const fleet = await startFleet({ matrix: MATRIX });
after(() => fleet.stop());

/** A search for a phrase so long that its body has `size` bytes. */
function searchOf(size, options) {
  const message = (query) => rpcMessage('tools/call', { name: 'search_docs', arguments: { query } }, options);
  return message('x'.repeat(size - message('').body.length));
}

function assertTooLarge(status, text) {
  assert.equal(status, 413, text);
  const { jsonrpc, error } = JSON.parse(text);
  assert.equal(jsonrpc, '2.0');
  assert.equal(error.message, 'Request body too large');
}

for (const stack of fleet.stacks) {
  describe(`large uploads: ${stack.name}`, () => {
    for (const [framing, frame] of Object.entries(FRAMINGS)) {
      for (const era of [MODERN, LEGACY]) {
        test(`1 MiB arrives byte for byte, ${framing}, ${era}`, async () => {
          await stack.forget();
          const { headers, body } = searchOf(MAX_BODY, { era });
          const response = await stack.send({ token: await stack.token(), headers, body: frame(body) });
          assert.equal(response.status, 200, response.text);
          assert.equal(response.json.result.content[0].text, '');
          const [request, ...more] = await stack.reached();
          assert.deepEqual([request.state, request.bytes, more.length], ['complete', MAX_BODY, 0]);
          assert.ok(request.body === body, 'another body arrived');
        });
      }

      for (const [name, size] of [['a byte more', MAX_BODY + 1], ['3 MiB', UPLOAD], ['8 MiB', HUGE]]) {
        test(`${name} is refused, ${framing}`, async () => {
          await stack.forget();
          const { headers, body } = searchOf(size);
          const response = await stack.send({ token: await stack.token(), headers, body: frame(body) });
          // What all comes at once may be too much for Envoy before the filter is shown any of it.
          if (size === HUGE && response.text === 'Payload Too Large') return stack.assertNothingReached();
          assertTooLarge(response.status, response.text);
          assert.ok(response.complete);
          // There may be more of the body on the wire, which is no next request.
          assert.equal(response.header('connection'), 'close');
          const record = await stack.recordOf(response);
          assert.deepEqual([record.outcome, record.code], ['deny', 'body_too_large']);
          await stack.assertNothingReached();
        });
      }
    }

    test('HTTP/2: 1 MiB passes, a byte more and 3 MiB are refused', async () => {
      for (const size of [MAX_BODY, MAX_BODY + 1, UPLOAD]) {
        await stack.forget();
        const { headers, body } = searchOf(size);
        const response = await http2Call(stack, { message: { headers, body } });
        if (size > MAX_BODY) {
          assertTooLarge(response.status, response.text);
          await stack.assertNothingReached();
        } else {
          assert.equal(response.status, 200, response.text);
          const [request] = await stack.reached();
          assert.ok(request.body === body, 'another body arrived');
        }
      }
    });

    test('no upload without a token: it is refused before it is read', async () => {
      await stack.forget();
      const { headers, body } = searchOf(UPLOAD);
      const response = await stack.send({ headers, body });
      assert.equal(response.status, 401, response.text);
      assert.deepEqual(await stack.reached(), []);
    });

    test('Envoy keeps nothing of them', async () => {
      const { headers, body } = searchOf(UPLOAD);
      const token = await stack.token();
      const round = async () => {
        for (let i = 0; i < 10; i += 1) {
          const responses = await Promise.all(Array.from({ length: 2 }, () => stack.send({ token, headers, body })));
          for (const { status, text } of responses) assertTooLarge(status, text);
        }
      };
      await round();
      await assertNoGrowth(stack, round);
      assert.equal((await whoami(stack)).status, 200);
    });
  });
}

describe('slow uploads: one byte at a time', { concurrency: true }, () => {
  /** Between two bytes, in ms: the body takes longer than the hold self-check waits (2 s). */
  const PAUSE = 8;

  for (const stack of fleet.stacks) {
    test(stack.name, async () => {
      const token = await stack.token();
      const bytes = (text) => Array.from(Buffer.from(text), (byte) => Buffer.of(byte));
      const call = (tool, era) => rpcMessage('tools/call', { name: tool, arguments: { note: 'x'.repeat(200) } }, { era });
      const sent = await Promise.all([MODERN, LEGACY].flatMap((era) => ['whoami', 'delete_doc'].flatMap((tool) => {
        const { headers, body } = call(tool, era);
        const length = [['content-length', String(body.length)]];
        return [[], length].map(async (framing) => ({
          tool,
          ...await stack.send({ token, headers: [...headers, ...framing], body: bytes(body), pause: PAUSE, limit: 60_000 }),
        }));
      })));
      for (const { tool, status, text, took } of sent) {
        assert.equal(status, tool === 'whoami' ? 200 : 403, text);
        // A missing scope is told by the headers of 2026-07-28, which `stream` does not hold.
        if (status === 200 || stack.mode === 'hold') assert.ok(took > 2000, `${took} ms`);
      }
      const { 'countersign.host_self_check.failed': failures } = await stack.counters();
      assert.equal(failures ?? 0, 0, 'the hold self-check tripped');
    });
  }
});

// A stub, because real servers answer in one go and have few tools.
describe('large and slow lists', async () => {
  /** Tools that the reader may see, among as many that it may not. */
  const tools = (count, description) => Array.from({ length: count }, (_, i) => ({
    name: `${i % 2 ? 'secret' : 'open'}_${i}`, description, inputSchema: { type: 'object', properties: { [`p${i}`]: { type: 'string' } } },
  }));
  const listOf = (entries) => JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: entries, nextCursor: 'page 2' } });
  const lists = {
    'some hundred KiB': listOf(tools(2000, 'x'.repeat(60))),
    'nearly 3 MiB': listOf(tools(2000, 'x'.repeat(1300))),
    'nearly 4 MiB': listOf(tools(2000, 'x'.repeat(1950))),
  };
  const framings = {
    'application/json': (list) => list,
    'text/event-stream': (list) => `event: message\ndata: ${list}\n\n`,
    'text/event-stream, a line for each tool': (list) => `data: ${list.replaceAll('},{"name"', '},\ndata: {"name"')}\n\n`,
  };
  let answer;
  const stub = await startStub((request, response) => {
    request.resume().on('end', () => answer(response));
  });
  const own = await startFleet({
    ports: { mcp_typescript: stub.port },
    configure: (configuration) => {
      configuration.servers[0].tools.rules.push({ names: ['open_*'], scopes: ['mcp:connect'] });
      return configuration;
    },
  });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  const typeOf = (framing) => framing.split(',', 1)[0];

  for (const stack of own.stacks) {
    const list = async (era) => stack.rpc('tools/list', {}, { era, token: await stack.token() });

    for (const [name, full] of Object.entries(lists)) {
      for (const [framing, frame] of Object.entries(framings)) {
        test(`${stack.name}: 2,000 tools, ${name}, ${framing}`, async () => {
          answer = (response) => response.writeHead(200, { 'content-type': typeOf(framing) }).end(frame(full));
          for (const era of [MODERN, LEGACY]) {
            const response = await list(era);
            assert.equal(response.status, 200);
            assert.ok(response.complete);
            const { result } = response.json;
            assert.deepEqual(result.tools, JSON.parse(full).result.tools.filter((tool) => tool.name.startsWith('open_')));
            assert.equal(result.tools.length, 1000);
            assert.equal(result.nextCursor, 'page 2');
            assert.doesNotMatch(response.text, /secret_/);
          }
        });
      }
    }

    for (const [framing, frame] of Object.entries(framings)) {
      test(`${stack.name}: more than 4 MiB is our error, ${framing}`, async () => {
        const full = listOf(tools(2000, 'x'.repeat(2300)));
        answer = (response) => response.writeHead(200, { 'content-type': typeOf(framing) }).end(frame(full));
        for (const era of [MODERN, LEGACY]) {
          const response = await list(era);
          assert.ok(response.complete);
          const { jsonrpc, id, error } = response.json;
          assert.deepEqual([jsonrpc, id], ['2.0', 1]);
          assert.ok(error.message, response.text);
          assert.doesNotMatch(response.text, /open_|secret_/);
          const record = await stack.recordOf(response);
          assert.deepEqual([record.outcome, record.code], ['deny', 'list_unreadable']);
        }
      });

      test(`${stack.name}: a list that comes byte by byte, ${framing}`, async () => {
        const full = listOf(tools(4, 'two\nlines'));
        answer = async (response) => {
          response.socket.setNoDelay(true);
          response.writeHead(200, { 'content-type': typeOf(framing) });
          for (const byte of Buffer.from(frame(full))) {
            response.write(Buffer.of(byte));
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
          response.end();
        };
        const responses = await Promise.all([MODERN, LEGACY].map(list));
        for (const response of responses) {
          assert.equal(response.status, 200, response.text);
          assert.deepEqual(response.json.result.tools.map((tool) => tool.name), ['open_0', 'open_2']);
          assert.doesNotMatch(response.text, /secret_/);
        }
      });
    }
  }
});
