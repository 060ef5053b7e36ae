// What SDK clients do about the denials of policy: challenges to authenticate better, refusals
// without a challenge, rates. `challenges.json` has the answers, which unit tests hold to what the
// filter sends. No Envoy runs here: a stub is MCP server and OAuth server, and gives the same answer
// to every call, whatever the client does about it. docs/step-up.md says what follows.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { HeadlessOAuth } from '../../examples/demo/clients/typescript/oauth.mjs';
import { ROOT, startStub } from './support.mjs';

const ANSWERS = JSON.parse(readFileSync(new URL('challenges.json', import.meta.url), 'utf8'));
const METADATA = '/.well-known/oauth-protected-resource';

/** Answers without a challenge: nobody does anything about them. */
const FINAL = { given: 'call', login: 'call', refresh: 'call' };

/** An SDK that leaves to the application to make a call again after a login, which it asks for each time. */
const ASKED_BY_APPLICATION = { given: 'call', login: 'call, login, call, login', refresh: 'call, refresh, call' };

/** One that makes the call again itself, once. */
const ASKED_BY_SDK = { given: 'call', login: 'call, login, call', refresh: 'call, login, call' };

/** One that remembers the challenge it logged in for. */
const REMEMBERED = { ...ASKED_BY_APPLICATION, login: 'call, login, call' };

/** Whether the client has a token that the application gave it, logs in, or can refresh its token. */
const WAYS = ['given', 'login', 'refresh'];

const TYPESCRIPT = await sdk('examples/demo', '@modelcontextprotocol/client', '@modelcontextprotocol/client');
const TYPESCRIPT_1 = await sdk(
  'tests/clients', '@modelcontextprotocol/sdk/client/index.js', '@modelcontextprotocol/sdk/client/streamableHttp.js',
);

/** Calls a tool at each URL once, with the way that its path ends in; prints the errors. */
const PYTHON = `
import asyncio, json, sys
import httpx2
sys.path.insert(0, sys.argv[1])
from main import Browser, Memory, REDIRECT_URI
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

async def call(url):
    way, memory, browser = url.split("/")[-1], Memory(), Browser()
    metadata = OAuthClientMetadata(redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none")
    if way == "refresh":
        memory.tokens = OAuthToken(access_token="old", refresh_token="r", scope="docs")
        memory.client_info = OAuthClientInformationFull(client_id="c", redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none")
    auth = OAuthClientProvider(server_url=url, client_metadata=metadata, storage=memory,
                               redirect_handler=browser.visit, callback_handler=browser.returned)
    given = {"auth": auth} if way != "given" else {"headers": {"authorization": "Bearer given"}}
    async with httpx2.AsyncClient(**given) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="legacy") as client:
            try:
                async with asyncio.timeout(10):
                    await client.call_tool("t", {})
            except Exception as error:
                return f"{type(error).__name__}: {error}"

async def main():
    print(json.dumps([await call(url) for url in sys.argv[2:]]))

asyncio.run(main())
`;

/** What each path was asked for, in order: calls, logins with what was asked of them, tokens. */
const seen = new Map();
let stub;
let origin;

/** An MCP server and its OAuth server. Paths are `/{client}/{answer}/{way}`. */
async function answer(request, response) {
  const body = await readAll(request);
  const url = new URL(request.url, origin);
  const reply = (status, value, headers = []) => {
    response.writeHead(status, [['content-type', 'application/json'], ...headers].flat());
    response.end(JSON.stringify(value));
  };
  if (url.pathname.startsWith(METADATA)) {
    const path = url.pathname.slice(METADATA.length);
    return reply(200, { resource: origin + path, authorization_servers: [`${origin}/as${path}`] });
  }
  if (url.pathname.startsWith('/.well-known/')) {
    const issuer = `${origin}${url.pathname.slice(url.pathname.indexOf('/as/'))}`;
    return reply(200, {
      issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`, registration_endpoint: `${issuer}/register`,
      response_types_supported: ['code'], code_challenge_methods_supported: ['S256'],
    });
  }
  if (url.pathname.startsWith('/as/')) return authorize(url, body, request, response, reply);
  return serve(url, body, request, response, reply);
}

function authorize(url, body, request, response, reply) {
  const note = noting(url.pathname.slice('/as'.length).split('/').slice(0, -1).join('/'));
  switch (url.pathname.split('/').at(-1)) {
    case 'register': return reply(201, { ...JSON.parse(body), client_id: 'c' });
    case 'token': {
      const grant = new URLSearchParams(body).get('grant_type');
      if (grant === 'refresh_token') note('refresh');
      return reply(200, { access_token: 'again', token_type: 'Bearer', expires_in: 300, scope: 'docs', ...(grant === 'refresh_token' && { refresh_token: 'r' }) });
    }
    default: {
      const query = url.searchParams;
      // What a challenge asks for would show here.
      note(['login', ...['acr_values', 'max_age', 'claims'].filter((name) => query.has(name))].join(' '));
      const callback = new URL(query.get('redirect_uri'));
      callback.searchParams.set('code', 'x');
      if (query.has('state')) callback.searchParams.set('state', query.get('state'));
      return response.writeHead(302, { location: callback.href }).end();
    }
  }
}

function serve(url, body, request, response, reply) {
  if (request.method !== 'POST') return reply(405, { jsonrpc: '2.0', error: { code: 405, message: 'POST messages to this URL' } });
  const { id, method } = JSON.parse(body);
  if (id === undefined) return response.writeHead(202).end();
  if (method === 'initialize') {
    const serverInfo = { name: 'stub', version: '1' };
    return reply(200, { jsonrpc: '2.0', id, result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo } });
  }
  if (method === 'tools/list') return reply(200, { jsonrpc: '2.0', id, result: { tools: [] } });
  noting(url.pathname)('call');
  const { status, headers, body: error } = ANSWERS.find(({ name }) => name === decodeURIComponent(url.pathname.split('/')[2]));
  const local = headers.map(([name, value]) => [name, value.replaceAll(`https://mcp.example${METADATA}/mcp`, origin + METADATA + url.pathname)]);
  return reply(status, { ...error, id }, local);
}

function noting(path) {
  return (what) => { seen.set(path, [...(seen.get(path) ?? []), what]); };
}

async function readAll(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Client and transport of an SDK that is installed in `folder`. */
async function sdk(folder, client, transport) {
  const packages = createRequire(join(ROOT, folder, 'package.json'));
  const { Client } = await import(packages.resolve(client));
  const { StreamableHTTPClientTransport } = await import(packages.resolve(transport));
  return { Client, StreamableHTTPClientTransport };
}

/** Calls a tool once, as an application does: after a login it makes the call again. */
async function typescript({ Client, StreamableHTTPClientTransport }, url, way, finish) {
  const authProvider = new HeadlessOAuth();
  if (way === 'refresh') {
    const issuer = `${origin}/as${new URL(url).pathname}`;
    authProvider.saveClientInformation({ issuer, client_id: 'c' });
    authProvider.saveTokens({ issuer, access_token: 'old', token_type: 'Bearer', refresh_token: 'r', scope: 'docs' });
  }
  const given = { requestInit: { headers: { authorization: 'Bearer given' } } };
  const transport = new StreamableHTTPClientTransport(new URL(url), way === 'given' ? given : { authProvider });
  const client = new Client({ name: 'challenges', version: '1' });
  await client.connect(transport);
  try {
    const call = () => client.callTool({ name: 't', arguments: {} });
    await call().catch(async (error) => {
      if (!authProvider.callback) throw error;
      await finish(transport, authProvider.callback);
      await call();
    });
    return undefined;
  } catch (error) {
    return `${error.name} ${error.status ?? error.code}: ${error.message}`;
  } finally {
    await client.close();
  }
}

/**
 * Calls at a URL for each answer and way, and compares what was asked for with `scope` for the
 * challenge for scopes, `better` for those that ask for better authentication or another token.
 * `run` takes the URLs and returns the errors.
 */
async function check(client, { scope, better }, run) {
  const rows = ANSWERS.flatMap(({ name, status, headers, body }) => WAYS.map((way) => {
    const challenged = headers.some(([header]) => header === 'www-authenticate');
    const expected = !challenged ? FINAL : status === 403 ? scope : better;
    return { name, way, status, message: body.error.message, path: `/${client}/${encodeURIComponent(name)}/${way}`, expected: expected[way] };
  }));
  const errors = await run(rows.map(({ path }) => origin + path));
  assert.deepEqual(
    rows.map(({ name, way, path }) => `${name}, ${way}: ${seen.get(path)?.join(', ')}`),
    rows.map(({ name, way, expected }) => `${name}, ${way}: ${expected}`),
  );
  // Every call ends, and the application can tell why: by the status, the message or the kind of error.
  for (const [index, { name, way, status, message }] of rows.entries()) {
    const told = [String(status), message, 'Unauthorized'].some((text) => errors[index]?.includes(text));
    assert.ok(told, `${name}, ${way}: ${errors[index]}`);
  }
}

async function oneByOne(urls, run) {
  const errors = [];
  for (const url of urls) errors.push(await run(url, url.split('/').at(-1)));
  return errors;
}

describe('what clients do about denials of policy', () => {
  before(async () => {
    stub = await startStub(answer);
    origin = `http://127.0.0.1:${stub.port}`;
  });
  after(() => stub.stop());

  test('TypeScript SDK 2.x', () => check(
    'typescript', { scope: ASKED_BY_APPLICATION, better: ASKED_BY_APPLICATION },
    (urls) => oneByOne(urls, (url, way) => typescript(
      TYPESCRIPT, url, way, (transport, callback) => transport.finishAuth(callback),
    )),
  ));

  test('TypeScript SDK 1.x', () => check(
    'typescript-1', { scope: REMEMBERED, better: ASKED_BY_APPLICATION },
    (urls) => oneByOne(urls, (url, way) => typescript(
      TYPESCRIPT_1, url, way, (transport, callback) => transport.finishAuth(callback.get('code')),
    )),
  ));

  test('Python SDK', () => check('python', { scope: ASKED_BY_SDK, better: ASKED_BY_SDK }, async (urls) => {
    const { stdout } = await promisify(execFile)(
      join(ROOT, '.stack/venv/bin/python'), ['-c', PYTHON, join(ROOT, 'examples/demo/clients/python'), ...urls], { timeout: 120_000 },
    );
    return JSON.parse(stdout);
  }));
});
