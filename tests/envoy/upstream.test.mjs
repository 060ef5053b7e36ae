// MCP servers that misbehave, or do not answer: what Envoy and the filter say instead.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { MODES, startFleet, startStub } from './support.mjs';

// A stub, because no real MCP server misbehaves like this.
describe('replies from response phases: a list that cannot be filtered is not passed', async () => {
  const list = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'internal_debug', inputSchema: {} }] } });
  const answers = {
    gzip: [{ 'content-type': 'application/json', 'content-encoding': 'gzip' }, list],
    'other type': [{ 'content-type': 'text/html' }, list],
    'no type': [{}, list],
    'invalid JSON': [{ 'content-type': 'application/json' }, `${list.slice(0, -1)},`],
    'duplicate result': [{ 'content-type': 'application/json' }, `${list.slice(0, -1)},"result":{"tools":[]}}`],
    'another id': [{ 'content-type': 'application/json' }, list.replace('"id":1', '"id":2')],
    batch: [{ 'content-type': 'application/json' }, `[${list}]`],
    'byte order mark': [{ 'content-type': 'application/json' }, `\ufeff${list}`],
    'over 4 MiB': [{ 'content-type': 'application/json' }, list.replace('{}', `{"a":"${'x'.repeat(4.2 * 1024 * 1024)}"}`)],
    'SSE, invalid JSON': [{ 'content-type': 'text/event-stream' }, `data: ${list.slice(0, -1)}\n\n`],
    'SSE, unfinished event': [{ 'content-type': 'text/event-stream' }, `data: ${list}`],
    'SSE, data split over lines by CR': [{ 'content-type': 'text/event-stream' }, `data: ${list.replace('"result"', '\rdata: "result"')}\r\r`],
    'SSE, gzip': [{ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }, `data: ${list}\n\n`],
  };
  let current;
  const stub = await startStub((request, response) => {
    request.resume().on('end', () => {
      const [headers, body] = answers[current];
      response.writeHead(200, { ...headers, 'x-countersign-decision-id': 'forged' }).end(body);
    });
  });
  const own = await startFleet({ matrix: MODES, ports: { mcp_typescript: stub.port } });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  for (const stack of own.stacks) {
    for (const name of Object.keys(answers)) {
      test(`${stack.name}: ${name}`, async () => {
        current = name;
        const response = await stack.rpc('tools/list', {}, { token: await stack.token() });
        assert.doesNotMatch(response.text, /internal_debug/);
        assert.doesNotMatch(response.raw, /forged/);
        assert.ok(response.complete, response.raw);
        const record = await stack.recordOf(response);
        // An event that never ended is dropped, as every reader of event streams must; and one that
        // can be filtered whatever its line ends, is.
        if (/unfinished|CR/.test(name)) return;
        assert.ok(response.status === 502 || response.json.error, response.text);
        assert.deepEqual([record.outcome, record.code], ['deny', 'list_unreadable']);
      });
    }
  }
});

// A stub, because no real server hangs on purpose.
describe("Envoy's own 504 and 503 pass", async () => {
  const stub = await startStub(() => {});
  const own = await startFleet({
    ports: { mcp_typescript: stub.port, mcp_python: 1 },
    edit: ({ static_resources: { listeners: [{ filter_chains: [{ filters: [{ typed_config }] }] }] } }) => {
      for (const { route } of typed_config.route_config.virtual_hosts[0].routes) if (route) route.timeout = '1s';
    },
  });
  after(async () => {
    await own.stop();
    await stub.stop();
  });
  for (const stack of own.stacks) {
    for (const [name, server, method, status] of [
      ['504 to a list', 'typescript', 'tools/list', 504], ['504 to a call', 'typescript', 'tools/call', 504],
      ['503 to a list', 'python', 'tools/list', 503], ['503 to a call', 'python', 'tools/call', 503],
    ]) {
      test(`${stack.name}: ${name}`, async () => {
        const params = method === 'tools/call' ? { name: 'whoami', arguments: {} } : {};
        const response = await stack.rpc(method, params, { server, token: await stack.token({ server }) });
        assert.equal(response.status, status, response.text);
        assert.match(response.text, /upstream/);
        // In `stream` Envoy may find out before the body was decided upon.
        if (stack.mode === 'hold') await stack.recordOf(response);
      });
    }
  }
});
