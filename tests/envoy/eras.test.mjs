// What clients that speak both eras make of our refusals: whether one in answer to their first
// request of 2026-07-28 makes them go back to `initialize`. `eras.json` has what they do; that its
// statuses and codes are the catalogue's, the unit tests of `src/reply` see to. No Envoy runs here:
// a stub answers with each row.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { MODERN, ROOT } from './support.mjs';

const packages = createRequire(join(ROOT, 'examples/demo/package.json'));
const { Client, StreamableHTTPClientTransport } = await import(packages.resolve('@modelcontextprotocol/client'));

/**
 * Refusals: `code` and `status`, `error` (the JSON-RPC code) and, where there is any, `data`;
 * then what each client does: `initialize` where it goes back, `error` where it gives up.
 */
const ROWS = JSON.parse(readFileSync(new URL('eras.json', import.meta.url), 'utf8'));

/** What answers the GET of HTTP+SSE, and of later clients to servers without sessions. */
const NO_STREAM = { jsonrpc: '2.0', error: { code: 405, message: 'POST messages to this URL' } };

/** Connects to each URL in turn and asks for tools; the stub sees what was sent. */
const PYTHON = `
import asyncio, sys
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    for url in sys.argv[2:]:
        try:
            async with asyncio.timeout(5):
                async with Client(streamable_http_client(url), mode=sys.argv[1]) as client:
                    await client.list_tools()
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise

asyncio.run(main())
`;

const stub = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => answer(request, response, Buffer.concat(chunks)));
});
/** The methods each path was sent, of HTTP where it was not POST. */
const seen = new Map();

function answer(request, response, body) {
  const note = (what) => seen.set(request.url, [...(seen.get(request.url) ?? []), what]);
  if (request.method !== 'POST') {
    note(request.method);
    response.writeHead(405, { allow: 'POST', 'content-type': 'application/json' });
    return response.end(JSON.stringify(NO_STREAM));
  }
  const { id, method } = JSON.parse(body);
  note(method);
  const row = ROWS[Number(request.url.split('/').at(-1))];
  const reply = (status, message) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, ...message }));
  };
  if (id === undefined) return response.writeHead(202).end();
  if (method === 'initialize') {
    const serverInfo = { name: 'stub', version: '1' };
    return reply(200, { result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo } });
  }
  if (method === 'tools/list') return reply(200, { result: { tools: [] } });
  const { error: code, data } = row;
  return reply(row.status, { error: { code, message: 'refused', data } });
}

function python(mode, urls) {
  return promisify(execFile)(join(ROOT, '.stack/venv/bin/python'), ['-c', PYTHON, mode, ...urls], { timeout: 120_000 });
}

function outcome(path) {
  const methods = seen.get(path);
  assert.equal(methods?.[0], 'server/discover', `${path}: ${methods}`);
  return methods.includes('initialize') ? 'initialize' : 'error';
}

describe('refusals of a first modern request', async () => {
  let origin;
  before(async () => {
    await new Promise((listening) => { stub.listen(0, '127.0.0.1', listening); });
    origin = `http://127.0.0.1:${stub.address().port}`;
  });
  after(() => { stub.closeAllConnections(); stub.close(); });

  test('by the TypeScript client', async () => {
    const outcomes = [];
    for (const index of ROWS.keys()) {
      const client = new Client({ name: 'eras', version: '1' }, { versionNegotiation: { mode: 'auto' } });
      await client.connect(new StreamableHTTPClientTransport(new URL(`${origin}/typescript/${index}`))).catch(() => {});
      await client.close();
      outcomes.push(outcome(`/typescript/${index}`));
    }
    assert.deepEqual(
      ROWS.map(({ code }, index) => `${code} ${outcomes[index]}`),
      ROWS.map(({ code, typescript }) => `${code} ${typescript}`),
    );
  });

  test('by the Python client', async () => {
    const urls = ROWS.map((_, index) => `${origin}/python/${index}`);
    await python('auto', urls);
    assert.deepEqual(
      ROWS.map(({ code }, index) => `${code} ${outcome(`/python/${index}`)}`),
      ROWS.map(({ code, python }) => `${code} ${python}`),
    );
  });

  test('a GET that is refused ends nothing for clients of a server without sessions', async () => {
    const client = new Client({ name: 'eras', version: '1' });
    await client.connect(new StreamableHTTPClientTransport(new URL(`${origin}/legacy/typescript`)));
    assert.deepEqual((await client.listTools()).tools, []);
    await client.close();
    await python('legacy', [`${origin}/legacy/python`]);
    for (const path of ['/legacy/typescript', '/legacy/python']) {
      const methods = seen.get(path);
      assert.equal(methods[0], 'initialize', methods);
      assert.ok(methods.includes('tools/list'), methods);
    }
    assert.ok(seen.get('/legacy/typescript').includes('GET'), 'it asks for a stream');
  });

  test('the version that is spoken here is advertised', () => {
    for (const { data } of ROWS.filter(({ error }) => error === -32022)) assert.ok(data.supported.includes(MODERN));
  });
});
