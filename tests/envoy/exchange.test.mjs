// The caller's token stops at the filter, and a credential made for the MCP server goes on: the
// demo's OAuth server exchanges (RFC 8693), and the MCP server verifies what it gets.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { BACKEND } from '../../examples/demo/idp/backend.mjs';
import { SECRET } from '../../examples/demo/idp/clients.mjs';
import { failWith, recover, requests } from '../../examples/demo/lib/admin.mjs';
import { DEMO, PYTHON } from '../../examples/demo/lib/paths.mjs';
import {
  LEGACY, MATRIX, MODERN, MODES, addTlsCluster, eventually, injectCredential, jose, openSession, resultText, rpcMessage, sleep,
  startFleet, whoami,
} from './support.mjs';
import { visit } from '../clients/sdk-v1.mjs';

const packages = createRequire(join(DEMO, 'package.json'));
const { Client, StreamableHTTPClientTransport } = await import(packages.resolve('@modelcontextprotocol/client'));

/** Our client at the OAuth server. */
const CLIENT = 'countersign';

/** How many first calls come at once. */
const CROWD = 200;

/** How long the OAuth server takes to answer when it is slow, in ms: time for all to come. */
const DELAY = 700;

/** How long until an OAuth server that failed is asked again, in ms. */
const RECOVERY = 30_000;

/** How it fails; in which other ways a server may, `exchange_faults.test.mjs` has. */
const OUTAGES = ['slow', 'unavailable', 'garbage', 'close', 'unauthorized'];

/** Scopes that all rules together take. */
const ALL = 'mcp:connect docs:read docs:admin';

/** Rules whose scopes go by other names at the MCP server. */
const RULES = [
  { names: ['whoami', 'search_docs', 'read_doc'], scopes: ['docs:read'], downstream_scopes: ['docs.read'] },
  // Whoever may connect may ask for it here; the OAuth server knows better.
  { names: ['delete_doc'], scopes: ['mcp:connect'], downstream_scopes: ['docs.admin'] },
];

/** The demo's configuration with an exchange for the TypeScript server, whose `members` and `rules` replace those here. */
const exchanging = (members = {}, rules = RULES) => ({ issuers, servers: [server, ...others], ...configuration }) => ({
  ...configuration,
  issuers,
  exchanges: {
    docs: {
      profile: 'token_exchange',
      uri: `${issuers.local.issuer}/token`,
      cluster: 'idp',
      client: { method: 'client_secret_basic', client_id: CLIENT, client_secret: { env: 'CLIENT_SECRET' } },
      resource: [BACKEND],
      server_scopes: ['docs.read'],
      ...members,
    },
  },
  servers: [{
    ...server,
    exchange: 'docs',
    tools: { rules },
    prompts: { rules: [{ names: ['*'], scopes: ['docs:read'], downstream_scopes: ['docs.read'], server_wide_exchange: true }] },
    resources: { rules: [{ uris: ['docs://*'], scopes: ['docs:read'], downstream_scopes: ['docs.read'], server_wide_exchange: true }] },
  }, ...others],
});

const environment = { CLIENT_SECRET: SECRET };

const call = (stack, tool, token, options) => stack.rpc('tools/call', {
  name: tool, arguments: { search_docs: { query: 'audit' }, delete_doc: { uri: 'docs://roadmap' } }[tool] ?? {},
}, { token, ...options });

/** A caller who was never there before, and so has to be exchanged for. */
let callers = 0;
const caller = (stack, options = {}) => {
  callers += 1;
  return stack.token({ ...options, claims: { sub: `caller-${callers}`, ...options.claims } });
};

/** Requests at the OAuth server's token endpoint so far. */
const asked = async (stack) => (await requests(stack.backends.admin))['/token'] ?? 0;

/** Those that came meanwhile. */
async function exchanges(stack, run) {
  const earlier = await asked(stack);
  await run();
  return await asked(stack) - earlier;
}

/** Makes the OAuth server's token endpoint slow. */
const slow = (stack) => failWith(stack.backends.admin, '/token', { delay: DELAY });

/** The tokens of all requests that reached the MCP server, in which `tokens` are nowhere. */
async function tokensThatArrived(stack, ...tokens) {
  const requests = await stack.reached();
  const text = JSON.stringify(requests);
  for (const token of tokens) assert.ok(!text.includes(token), "the caller's token arrived");
  return requests.map(({ headers }) => {
    const [value, ...others] = headers.filter(([name]) => name.toLowerCase() === 'authorization').map(([, text]) => text);
    assert.deepEqual(others, []);
    return value?.replace('Bearer ', '');
  });
}

describe('what goes on', async () => {
  const fleet = await startFleet({ matrix: MATRIX, exchange: 'idp', configure: exchanging(), environment });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      beforeEach(() => stack.forget());
      afterEach(() => recover(stack.backends.admin));

      test('rfc8693_4_1: a token for the MCP server, which says for whom and who acts', async () => {
        const token = await caller(stack);
        const subject = jose.decodeJwt(token).sub;
        const response = await whoami(stack, { token });
        assert.equal(response.status, 200, response.text);
        const seen = JSON.parse(resultText(response)).token;
        assert.deepEqual(seen, {
          iss: stack.issuer,
          sub: subject,
          aud: BACKEND,
          client_id: CLIENT,
          scope: 'docs.read',
          act: { sub: CLIENT, act: { sub: 'tests' } },
        });
        const [arrived] = await tokensThatArrived(stack, token);
        const { exchange, subject: recorded } = await stack.recordOf(response);
        assert.equal(recorded, subject);
        assert.deepEqual(exchange, {
          name: 'docs',
          outcome: 'exchanged',
          scopes_asked: ['docs.read'],
          scopes_granted: ['docs.read'],
          credential: createHash('sha256').update(jose.decodeJwt(arrived).jti).digest('hex'),
        });
      });

      test('each tool has its own scopes, and tools of equal scopes share a token', async () => {
        const token = await caller(stack, { scope: ALL });
        const times = await exchanges(stack, async () => {
          for (const tool of ['whoami', 'search_docs', 'delete_doc']) {
            const response = await call(stack, tool, token);
            assert.equal(response.status, 200, response.text);
            assert.ok(!response.json.result.isError, response.text);
          }
        });
        const arrived = (await tokensThatArrived(stack, token)).map((text) => jose.decodeJwt(text).scope);
        assert.deepEqual(arrived, ['docs.read', 'docs.read', 'docs.admin']);
        assert.ok(times >= 2 && times <= 2 * stack.workers, `${times} exchanges`);
      });

      test('once for many calls, and for lists too', async () => {
        const token = await caller(stack);
        const calls = async () => {
          for (let turn = 0; turn < 10; turn += 1) assert.equal((await whoami(stack, { token })).status, 200);
          const list = await stack.rpc('tools/list', {}, { token });
          assert.equal(list.status, 200, list.text);
          assert.equal((await stack.recordOf(list)).exchange.name, 'docs');
        };
        const times = await exchanges(stack, calls);
        assert.ok(times >= 1 && times <= stack.workers, `${times} exchanges`);
      });

      test('rfc6749_5_2: the OAuth server grants none of the scopes: 403, and nothing goes on', async () => {
        const token = await caller(stack);
        const response = await call(stack, 'delete_doc', token);
        assert.equal(response.status, 403, response.text);
        const { code, exchange } = await stack.recordOf(response);
        assert.deepEqual([code, exchange.outcome, exchange.scopes_asked], ['exchange_scope_refused', 'exchange_scope_refused', ['docs.admin']]);
        await stack.assertNothingReached();
      });

      test(`${CROWD} first calls of one user at once: one exchange for each worker`, async () => {
        const token = await caller(stack);
        await slow(stack);
        const times = await exchanges(stack, async () => {
          const answers = await Promise.all(Array.from({ length: CROWD }, () => whoami(stack, { token })));
          assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
        });
        assert.ok(times >= 1 && times <= stack.workers, `${times} exchanges`);
        assert.equal((await tokensThatArrived(stack, token)).length, CROWD);
      });

      test('a caller who goes away does not waste the answer', async () => {
        const token = await caller(stack);
        await slow(stack);
        const times = await exchanges(stack, async () => {
          await abandon(stack, token);
          await sleep(2 * DELAY);
          await stack.assertNothingReached();
          const response = await whoami(stack, { token });
          assert.equal(response.status, 200, response.text);
          const { exchange } = await stack.recordOf(response);
          if (stack.workers === 1) assert.equal(exchange.outcome, 'cached');
        });
        assert.ok(times >= 1 && times <= stack.workers, `${times} exchanges`);
      });

      for (const fault of OUTAGES) {
        test(`an OAuth server that fails (${fault}): who was there before goes on, nobody else does`, { timeout: 2 * RECOVERY }, async () => {
          const [known, unknown] = [await caller(stack), await caller(stack)];
          // As many as it takes for every worker to know.
          await Promise.all(Array.from({ length: 20 }, () => whoami(stack, { token: known })));
          await failWith(stack.backends.admin, '/token', fault);
          await stack.forget();
          const response = await whoami(stack, { token: unknown });
          assert.ok([401, 403, 502, 503].includes(response.status), response.text);
          assert.equal(response.status >= 500, Number(response.header('retry-after')) > 0, response.raw);
          await stack.assertNothingReached();
          assert.equal((await whoami(stack, { token: known })).status, 200);

          await recover(stack.backends.admin);
          await eventually('good again', async () => (await whoami(stack, { token: unknown })).status === 200, RECOVERY);
        });
      }

      test('of tokens and secrets, nothing is written', async () => {
        const token = await caller(stack);
        await whoami(stack, { token });
        const tokens = await tokensThatArrived(stack, token);
        const text = stack.logText() + JSON.stringify(stack.records());
        for (const secret of [SECRET, btoa(`${CLIENT}:${SECRET}`), ...[token, ...tokens].map((jwt) => jwt.split('.')[2])]) {
          assert.ok(!text.includes(secret));
        }
      });
    });
  }
});

/** Calls a tool and goes away while the OAuth server is asked. */
async function abandon(stack, token) {
  const { headers, body } = rpcMessage('tools/call', { name: 'whoami', arguments: {} });
  const { hostname, port, host } = new URL(stack.origin);
  const lines = Object.entries({
    host, authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream',
    'content-length': body.length, ...Object.fromEntries(headers),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const before = await asked(stack);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(`POST /typescript/mcp HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
  await eventually('the OAuth server is asked', async () => await asked(stack) > before, 5_000);
  socket.destroy();
}

describe('who we are to the OAuth server', async () => {
  const secret = (method, client_id) => ({ method, client_id, client_secret: { env: 'CLIENT_SECRET' } });
  const clients = {
    client_secret_basic: secret('client_secret_basic', CLIENT),
    client_secret_post: secret('client_secret_post', `${CLIENT}-post`),
    private_key_jwt: (audience) => ({
      method: 'private_key_jwt', client_id: `${CLIENT}-jwt`, key: { env: 'CLIENT_KEY' }, algorithm: 'ES256', audience,
    }),
  };
  const actor = { from: 'client_credentials' };
  const fleet = await startFleet({
    matrix: [
      ...Object.entries(clients).map(([name, client]) => ({
        name,
        configure: (configuration) => {
          const { issuer } = configuration.issuers.local;
          return exchanging({ client: typeof client === 'function' ? client(issuer) : client })(configuration);
        },
      })),
      {
        name: 'a credential that Envoy adds',
        configure: exchanging({ client: { method: 'injected' } }),
        edit: (bootstrap) => injectCredential(bootstrap, CLIENT),
        environment: {},
      },
      {
        name: 'rfc8705_2: the certificate of the connection',
        configure: exchanging({
          client: { method: 'tls_client_auth', client_id: `${CLIENT}-mtls` }, uri: 'https://127.0.0.1/token', cluster: 'idp_tls',
        }),
        edit: addTlsCluster,
        environment: {},
      },
      { name: 'rfc8693_2_1: with a token of our own as the actor', configure: exchanging({ actor }) },
    ].map((entry, index) => ({ ...MODES[index % 2], ...entry })),
    exchange: 'idp',
    environment: ({ introspectionKey }) => ({ ...environment, CLIENT_KEY: introspectionKey }),
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    test(stack.name, async () => {
      const response = await whoami(stack, { token: await caller(stack) });
      assert.equal(response.status, 200, response.text);
      const { token } = JSON.parse(resultText(response));
      assert.match(token.act.sub, /^countersign/);
      assert.equal((await stack.recordOf(response)).exchange.outcome, 'exchanged');
    });
  }

  test('a wrong secret: 502, since nobody but the operator can mend it', async () => {
    const [stack] = fleet.stacks;
    await failWith(stack.backends.admin, '/token', 'unauthorized');
    const response = await whoami(stack, { token: await caller(stack) });
    assert.equal(response.status, 502, response.text);
    assert.equal((await stack.recordOf(response)).code, 'exchange_client_rejected');
    await recover(stack.backends.admin);
  });
});

/** Calls `search_docs` by the Python SDK: URL, mode, token. */
const PYTHON_CALL = `
import asyncio, sys
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    url, mode, token = sys.argv[1:]
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            print((await client.call_tool("search_docs", {"query": "audit"})).content[0].text)

asyncio.run(main())
`;

/** Calls `search_docs` by the TypeScript SDK 2.x, and returns the text. */
async function typescriptCall(url, mode, token) {
  const client = new Client({ name: 'tests', version: '1' }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization: `Bearer ${token}` } } }));
  try {
    return (await client.callTool({ name: 'search_docs', arguments: { query: 'audit' } })).content[0].text;
  } finally {
    await client.close();
  }
}

async function pythonCall(url, mode, token) {
  const { stdout } = await promisify(execFile)(PYTHON, ['-c', PYTHON_CALL, url, mode, token], { timeout: 60_000 });
  return stdout.trim();
}

/** SDK 1.x, which is older than 2026-07-28. */
async function typescript1Call(url, _mode, token) {
  const steps = [{ method: 'tools/call', params: { name: 'search_docs', arguments: { query: 'audit' } } }];
  const [result] = await visit(url, steps, { authorization: `Bearer ${token}` });
  if (result.code !== undefined) throw new Error(`${result.code}: ${result.message}`);
  return result.content[0].text;
}

const SDKS = {
  'TypeScript SDK 1.x': { call: typescript1Call, mode: 'legacy' },
  'TypeScript SDK 2.x, older': { call: typescriptCall, mode: 'legacy' },
  'TypeScript SDK 2.x, 2026-07-28': { call: typescriptCall, mode: 'auto' },
  'Python SDK, older': { call: pythonCall, mode: 'legacy' },
  'Python SDK, 2026-07-28': { call: pythonCall, mode: 'auto' },
};

describe('clients of both eras', async () => {
  const wide = RULES.map((rule) => ({ ...rule, server_wide_exchange: true }));
  const fleet = await startFleet({
    matrix: [
      { name: 'stream, each operation for itself', mode: 'stream', workers: 2, configure: exchanging({ server_scopes: [] }) },
      { name: 'stream, older clients server-wide', mode: 'stream', workers: 2, configure: exchanging({}, wide) },
      { name: 'hold, each operation for itself', mode: 'hold', workers: 2, configure: exchanging() },
    ],
    exchange: 'idp',
    environment,
  });
  after(() => fleet.stop());
  const [narrow, , hold] = fleet.stacks;

  for (const stack of fleet.stacks) {
    for (const [name, { call: callBy, mode }] of Object.entries(SDKS)) {
      const needsHold = stack === narrow && mode === 'legacy';
      test(`${stack.name}: ${name}${needsHold ? ' is told that this takes `hold`' : ''}`, async () => {
        const token = await caller(stack);
        await stack.forget();
        const known = stack.records().length;
        const answer = callBy(stack.urls.typescript, mode, token);
        if (needsHold) await assert.rejects(answer);
        else assert.match(await answer, /^docs:\/\//);

        for (const arrived of await tokensThatArrived(stack, token)) assert.equal(jose.decodeJwt(arrived).aud, BACKEND);
        const calls = await eventually('its record', () => {
          const found = stack.records().slice(known).filter(({ method }) => method === 'tools/call');
          return found.length > 0 && found;
        }, 5_000);
        assert.deepEqual([...new Set(calls.map(({ code }) => code))], [needsHold ? 'exchange_needs_hold' : 'allowed']);
        if (needsHold) assert.ok(!(await stack.reached()).some(({ body }) => body.includes('tools/call')));
      });
    }
  }

  test('older clients have sessions: what ends one has a credential too', async () => {
    for (const stack of [fleet.stacks[1], hold]) {
      const session = await openSession(stack);
      await stack.forget();
      const token = await stack.token();
      const response = await stack.send({
        method: 'DELETE', token, headers: [['mcp-protocol-version', LEGACY], ['mcp-session-id', session]],
      });
      // The server has none to end, and says so.
      assert.equal(response.status, 405, response.text);
      assert.equal((await stack.recordOf(response)).exchange.outcome, 'exchanged');
      const [arrived] = await tokensThatArrived(stack, token);
      assert.deepEqual([jose.decodeJwt(arrived).aud, jose.decodeJwt(arrived).scope], [BACKEND, 'docs.read']);
    }
  });

  test('stream: what a client of 2026-07-28 claims in its headers must be what it sends', async () => {
    for (const stack of fleet.stacks) {
      const token = await caller(stack, { scope: ALL });
      const { headers } = rpcMessage('tools/call', { name: 'search_docs', arguments: {} }, { era: MODERN });
      const { body } = rpcMessage('tools/call', { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } }, { era: MODERN });
      await stack.forget();
      const response = await stack.send({ token, headers, body });
      assert.equal(response.status, 400, response.text);
      await stack.assertNothingReached();
    }
  });
});
