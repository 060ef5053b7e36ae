// Rates: of one Envoy, which the filter counts for all workers, and of a fleet, which Envoy's own
// filter has counted by a service behind ours (`examples/rate-limits`).

import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';

import { renderBootstrap } from '../../examples/demo/lib/envoy.mjs';
import { startRateLimitService } from '../clients/rate-limit-service.mjs';
import {
  LEGACY, MODERN, MODES, ROOT, connectionManager, connectionsByWorker, inParallel, rpcMessage, startFleet, startStub, whoami,
} from './support.mjs';

const BURST = 50;
const CALLS = 400;
const WORKERS = 4;

/** Enough that the kernel gives every worker some. */
const CONNECTIONS = 64;

/** What the MCP server says to any call. */
const RESULT = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [], resultType: 'complete' } });

/** Sets members of the server that the tests call. */
const withServer = (members) => (configuration) => ({
  ...configuration,
  agents: { tests: { match: ['client:tests'] } },
  servers: configuration.servers.map((server) => ({ ...server, ...members })),
});

describe(`a rate of one Envoy with ${WORKERS} workers`, async () => {
  let reached = 0;
  const server = await startStub((incoming, response) => incoming.resume().on('end', () => {
    reached += 1;
    response.setHeader('content-type', 'application/json').end(RESULT);
  }));
  after(() => server.stop());
  const fleet = await startFleet({
    matrix: ['stream', 'hold'].map((mode) => ({ mode, workers: WORKERS })),
    ports: { mcp_typescript: server.port },
    configure: withServer({ rates: [{ limit: '60/h', burst: BURST, by: ['subject'] }] }),
  });
  after(() => fleet.stop());
  beforeEach(() => { reached = 0; });

  for (const stack of fleet.stacks) {
    test(`${stack.name}: of ${CALLS} calls over ${CONNECTIONS} connections exactly ${BURST} pass`, { timeout: 60_000 }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, scheduling: 'fifo' });
      after(() => agent.destroy());
      const token = await stack.token({ claims: { sub: 'bob' } });
      const answers = await inParallel(Array.from({ length: CALLS }), CONNECTIONS, () => call(stack, agent, token));
      const statuses = answers.map(({ statusCode }) => statusCode);
      assert.equal(statuses.filter((status) => status === 200).length, BURST);
      assert.equal(statuses.filter((status) => status === 429).length, CALLS - BURST);
      assert.equal(reached, BURST, 'at the MCP server');
      const connections = await connectionsByWorker(stack);
      assert.ok(connections.length === WORKERS && connections.every((count) => count > 0), 'a worker had nothing to do');
    });

    test(`${stack.name}: who is limited learns when to come back, and others are not`, async () => {
      const carol = await stack.token({ claims: { sub: 'carol' } });
      for (let calls = 0; calls < BURST; calls += 1) assert.equal((await whoami(stack, { token: carol })).status, 200);
      const limited = await whoami(stack, { token: carol });
      assert.equal(limited.status, 429, limited.text);
      const wait = Number(limited.header('retry-after'));
      assert.ok(Number.isInteger(wait) && wait > 0 && wait <= 60, `retry-after: ${limited.header('retry-after')}`);
      assert.equal(limited.header('content-type'), 'application/json');
      const { jsonrpc, id, error } = limited.json;
      assert.deepEqual([jsonrpc, id, typeof error.code], ['2.0', 1, 'number']);
      assert.ok(error.code > -32000 || error.code < -32768, 'a code of our own');
      assert.ok(!/subject|60\/h|rates/.test(limited.text), 'no policy is told');

      const record = await stack.recordOf(limited);
      assert.deepEqual([record.outcome, record.code, record.subject], ['deny', 'rate_limited', 'carol']);
      assert.equal((await whoami(stack, { token: await stack.token({ claims: { sub: 'dave' } }) })).status, 200);
      // It is the subject that is counted, and not the token.
      assert.equal((await whoami(stack, { token: await stack.token({ claims: { sub: 'carol' } }) })).status, 429);
    });

    test(`${stack.name}: what is denied takes nothing`, async () => {
      const token = await stack.token({ claims: { sub: 'erin' }, scope: 'mcp:connect' });
      for (let calls = 0; calls < BURST; calls += 1) assert.equal((await whoami(stack, { token, tool: 'search_docs' })).status, 403);
      assert.equal((await whoami(stack, { token: await stack.token({ claims: { sub: 'erin' } }) })).status, 200);
    });
  }
});

describe('a rate of a fleet', async () => {
  const limits = new Map();
  const service = await startRateLimitService({ limit: (descriptor) => limits.get(JSON.stringify(descriptor)) });
  after(() => service.stop());
  const fleet = await startFleet({
    matrix: [...MODES, { mode: 'hold', workers: 2, name: 'another in hold' }],
    configure: withServer({}),
    edit: (bootstrap) => addExample(bootstrap, service.port),
  });
  after(() => fleet.stop());
  const [stream, hold, another] = fleet.stacks;
  beforeEach(() => service.asked.splice(0));

  test('several Envoys share a limit', async () => {
    const most = 10;
    limits.set(JSON.stringify({ issuer: stream.issuer, subject: 'bob' }), most);
    const calls = Array.from({ length: 3 * most }, async (_, index) => {
      const stack = fleet.stacks[index % fleet.stacks.length];
      return whoami(stack, { token: await stack.token({ claims: { sub: 'bob' } }) });
    });
    const answers = await Promise.all(calls);
    assert.equal(answers.filter(({ status }) => status === 200).length, most);
    const limited = answers.filter(({ status }) => status === 429);
    assert.equal(limited.length, 2 * most);
    assert.ok(limited.every((answer) => answer.header('x-envoy-ratelimited') === 'true'));
    const ids = new Set(limited.map((answer) => answer.header('x-countersign-decision-id')));
    assert.ok(ids.size === limited.length && !ids.has(undefined), 'each can be found in the records');
    assert.equal((await whoami(hold)).status, 200, 'another subject');
  });

  for (const stack of [stream, hold]) {
    test(`${stack.name}: a client does not choose what it is counted as`, async () => {
      const names = ['subject', 'issuer', 'agent', 'object'];
      const answer = await whoami(stack, { headers: names.map((name) => [`x-countersign-${name}`, 'mallory']) });
      assert.equal(answer.status, 200, answer.text);
      assert.ok(!JSON.stringify(service.asked).includes('mallory'));
      assert.deepEqual(service.asked[0].descriptors[0], { issuer: stack.issuer, subject: 'alice' });
    });

    test(`${stack.name}: nothing is counted that the filter refuses with the headers`, async () => {
      assert.equal((await whoami(stack, { token: undefined })).status, 401);
      assert.equal((await whoami(stack, { token: await stack.token({ claims: { aud: 'other' } }) })).status, 401);
      assert.deepEqual(service.asked, []);
    });
  }

  for (const [stack, era, object] of [[hold, MODERN, true], [hold, LEGACY, true], [stream, MODERN, true], [stream, LEGACY, false]]) {
    test(`${stack.name}: ${era}: the object is ${object ? '' : 'not '}known when calls are counted`, async () => {
      const answer = await stack.rpc('tools/call', { name: 'whoami', arguments: {} }, { era, token: await stack.token() });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(service.asked, [{
        domain: 'mcp',
        descriptors: [
          { issuer: stack.issuer, subject: 'alice' },
          { agent: 'tests' },
          ...(object ? [{ agent: 'tests', object: 'whoami' }] : []),
        ],
      }]);
    });
  }

  test('a limit of one tool for an agent holds at every Envoy', async () => {
    limits.set(JSON.stringify({ agent: 'tests', object: 'search_docs' }), 2);
    const statuses = [];
    for (const stack of [hold, another, hold, another]) {
      statuses.push((await whoami(stack, { tool: 'search_docs' })).status);
    }
    assert.deepEqual(statuses, [200, 200, 429, 429]);
    assert.equal((await whoami(hold)).status, 200, 'another tool');
  });

  // The last: the service does not come back.
  test('without the service nobody passes', async () => {
    service.stop();
    for (const stack of fleet.stacks) assert.equal((await whoami(stack)).status, 503);
  });
});

describe('a rate of a fleet whose MCP servers are not told who calls', async () => {
  const service = await startRateLimitService({ limit: () => undefined });
  after(() => service.stop());
  const fleet = await startFleet({
    configure: (configuration) => ({ ...withServer({})(configuration), audit: { identity_headers: false, filter_state: true } }),
    edit: (bootstrap) => {
      addExample(bootstrap, service.port);
      connectionManager(bootstrap).route_config.virtual_hosts[0].rate_limits = [
        { actions: [fromState('issuer'), fromState('subject')] },
        { actions: [fromState('agent'), fromState('object')] },
      ];
    },
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    test(`${stack.name}: Envoy learns it from filter state`, async () => {
      const answer = await stack.rpc('tools/call', { name: 'whoami', arguments: {} }, { token: await stack.token() });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(service.asked.splice(0).flatMap(({ descriptors }) => descriptors), [
        { issuer: stack.issuer, subject: 'alice' }, { agent: 'tests', object: 'whoami' },
      ]);
    });
  }
});

/** One call; the response without its body. */
async function call(stack, agent, token) {
  const { headers, body } = rpcMessage('tools/call', { name: 'whoami', arguments: {} });
  const outgoing = request(stack.urls.typescript, {
    method: 'POST',
    agent,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'content-length': body.length,
      authorization: `Bearer ${token}`,
      ...Object.fromEntries(headers),
    },
  }).end(body);
  const [response] = await once(outgoing, 'response');
  await once(response.resume(), 'end');
  return response;
}

/** What the example has for the fleet, with a service on this machine, however slow that is. */
function addExample(bootstrap, port) {
  const example = renderBootstrap(readFileSync(join(ROOT, 'examples/rate-limits/envoy.yaml'), 'utf8'), {});
  const [from, to] = [example, bootstrap].map(connectionManager);
  const filter = from.http_filters.find(({ name }) => name === 'envoy.filters.http.ratelimit');
  filter.typed_config.timeout = '5s';
  to.http_filters.splice(-1, 0, filter);
  to.route_config.virtual_hosts[0].rate_limits = from.route_config.virtual_hosts[0].rate_limits;
  const { transport_socket: _, ...cluster } = example.static_resources.clusters.find(({ name }) => name === 'rate_limits');
  const [{ lb_endpoints: [{ endpoint }] }] = cluster.load_assignment.endpoints;
  endpoint.address.socket_address = { address: '127.0.0.1', port_value: port };
  bootstrap.static_resources.clusters.push({ ...cluster, type: 'STATIC' });
}

/** The action that takes a value from filter state. */
function fromState(name) {
  return {
    extension: {
      name: 'envoy.rate_limit_descriptors.expr',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor',
        descriptor_key: name,
        text: `filter_state['wasm.countersign.${name}']`,
      },
    },
  };
}
