// What the tests on a real Envoy share: the demo's parts around the filter, tokens signed with the
// OAuth server's own key, and a client that sends exactly the bytes it is told to.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHash, randomUUID } from 'node:crypto';

import { SECRET } from '../../examples/demo/idp/clients.mjs';
import { startEnvoy } from '../../examples/demo/lib/envoy.mjs';
import { DEMO, ROOT } from '../../examples/demo/lib/paths.mjs';
import { freePorts } from '../../examples/demo/lib/ports.mjs';
import { stopAll } from '../../examples/demo/lib/process.mjs';
import { SERVERS, resourceUrl, startBackends, withTlsServers } from '../../examples/demo/lib/stack.mjs';

export { ROOT, SERVERS, freePorts, resourceUrl, sleep, withTlsServers };

/** The demo's npm packages, which this folder has no copy of. */
const packages = createRequire(join(DEMO, 'package.json'));
export const jose = await import(packages.resolve('jose'));
export const dpop = await import(packages.resolve('dpop'));

/** Both host modes, each with one worker and with two. */
export const MATRIX = ['stream', 'hold'].flatMap((mode) => [1, 2].map((workers) => ({ mode, workers })));

/** Both host modes, where the number of workers cannot matter. */
export const MODES = [{ mode: 'stream', workers: 1 }, { mode: 'hold', workers: 2 }];

/** The revision without sessions, and one with. */
export const MODERN = '2026-07-28';
export const LEGACY = '2025-06-18';

/** How long an answer may take, in ms. What takes longer hangs. */
const ANSWER_LIMIT = 10_000;

/** Time for a record to be written after its stream ended, in ms. */
const RECORD_LIMIT = 5_000;

/**
 * One set of backends (see `lib/stack.mjs`) and an Envoy for each entry of `matrix`, which is
 * `{ mode, workers, name?, ...options of startEnvoy }`; `options` are for all Envoys.
 *
 * `ports` moves Envoy clusters to stubs; `tls` gives every Envoy a listener with TLS as well;
 * `exchange` says whose tokens the TypeScript MCP server takes (see `startBackends`).
 * Returns `{ stacks, backends, stop() }`.
 */
export async function startFleet({ matrix = MODES, alg, exchange, ports = {}, tls = false, ...options } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-'));
  const listeners = await freePorts(matrix.length);
  const tlsListeners = tls ? await freePorts(matrix.length) : [];
  const origins = [
    ...listeners.map((port) => `http://127.0.0.1:${port}`), ...tlsListeners.map((port) => `https://127.0.0.1:${port}`),
  ];
  const backends = await startBackends({ origins, directory, alg, exchange });
  const started = [backends];
  const stop = async () => {
    await stopAll(started);
    rmSync(directory, { recursive: true, force: true });
  };
  const starting = await Promise.allSettled(matrix.map(async ({ name, ...entry }, index) => {
    const own = join(directory, String(index));
    mkdirSync(own);
    const envoy = await startEnvoy({
      port: listeners[index],
      tlsPort: tlsListeners[index],
      backends: { ...backends, ports: { ...backends.ports, ...ports, ...entry.ports } },
      directory: own,
      ...options,
      ...entry,
    });
    started.push(envoy);
    return new Stack(envoy, { name: name ?? `${entry.mode}, workers: ${entry.workers}`, workers: entry.workers, backends });
  }));
  const failed = starting.find(({ status }) => status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  return { stacks: starting.map(({ value }) => value), backends, stop };
}

/** One Envoy with the filter, and what is around it. */
class Stack {
  constructor(envoy, { name, workers, backends }) {
    Object.assign(this, envoy, { name, workers, backends });
    this.issuer = backends.issuer;
    this.urls = Object.fromEntries(SERVERS.map((server) => [server, resourceUrl(envoy.origin, server)]));
    [this.key] = JSON.parse(readFileSync(backends.keyFile, 'utf8')).keys;
  }

  /** An access token as the OAuth server issues it; `claims` and `header` replace or, as undefined, remove. */
  token({ server = 'typescript', scope = 'mcp:connect docs:read', claims = {}, header = {}, key = this.key } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      iss: this.issuer,
      sub: 'alice',
      aud: this.urls[server],
      client_id: 'tests',
      iat: now,
      exp: now + 300,
      jti: randomUUID(),
      scope,
      ...claims,
    };
    return sign(payload, { alg: key.alg, kid: key.kid, typ: 'at+jwt', ...header }, key);
  }

  /**
   * Sends one request on a connection of its own and reads the whole answer.
   *
   * `headers` are pairs; they replace the default of the same name, and `undefined` removes it.
   * Header text is Latin-1: a character is a byte. `body` is text, a Buffer, or an array of them
   * to be sent one by one, chunked unless `headers` say how long they are. With `tls` (what
   * `node:tls` takes) it goes to the listener with TLS.
   */
  send({ server = 'typescript', method = 'POST', path, token, headers = [], body, pause = 0, limit, tls } = {}) {
    const origin = tls ? this.tlsOrigin : this.origin;
    const { host, pathname } = new URL(resourceUrl(origin, server));
    const parts = Array.isArray(body) ? body.map((part) => Buffer.from(part)) : undefined;
    const chunked = parts && !headers.some(([name]) => name === 'content-length');
    const content = body === undefined || parts ? undefined : Buffer.from(body);
    const defaults = [
      ['host', host],
      ['connection', 'close'],
      ...(token ? [['authorization', `Bearer ${token}`]] : []),
      ...(method === 'POST' ? [['content-type', 'application/json'], ['accept', 'application/json, text/event-stream']] : []),
      ...(chunked ? [['transfer-encoding', 'chunked']] : []),
      ...(content ? [['content-length', String(content.length)]] : []),
    ].filter(([name]) => !headers.some(([given]) => given.toLowerCase() === name));
    const lines = [...defaults, ...headers].filter(([, value]) => value !== undefined);
    const head = `${method} ${path ?? pathname} HTTP/1.1\r\n${lines.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`;
    const pieces = [Buffer.from(head, 'latin1')];
    if (chunked) {
      for (const bytes of parts) {
        pieces.push(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]));
      }
      pieces.push(Buffer.from('0\r\n\r\n'));
    } else {
      pieces.push(...parts ?? (content ? [content] : []));
    }
    return exchange(origin, pieces, { pause, method, limit, tls });
  }

  /** Calls a tool or another method, in the modern or the legacy era. */
  rpc(method, params = {}, { era = MODERN, id = 1, headers = [], ...options } = {}) {
    const message = rpcMessage(method, params, { era, id });
    const given = new Set(headers.map(([name]) => name));
    return this.send({
      ...options, headers: [...message.headers.filter(([name]) => !given.has(name)), ...headers], body: message.body,
    });
  }

  /** Asks the OAuth server's admin seam (`idp/admin.mjs`). */
  async idp(method, path, body) {
    const response = await fetch(this.backends.admin + path, { method, body: body && JSON.stringify(body) });
    assert.equal(response.status, 200, await response.clone().text());
    return response.json();
  }

  /** What reached the TypeScript server since `forget()`. */
  async reached() {
    return (await fetch(this.backends.tap)).json();
  }

  async forget() {
    await fetch(this.backends.tap, { method: 'DELETE' });
  }

  /** Nothing undecided got through: in `hold` no request at all, in `stream` no byte of a body. */
  async assertNothingReached(message = 'reached the server') {
    const requests = await this.reached();
    if (this.mode === 'hold') assert.deepEqual(requests.map(({ method, body }) => ({ method, body })), [], message);
    assert.deepEqual(requests.filter(({ bytes, state }) => bytes > 0 || state === 'complete').map(({ body }) => body), [], message);
  }

  /** All lines of the access log. */
  records() {
    return readFileSync(this.accessLog, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
  }

  /** The record of a response, by its decision id. */
  async recordOf(response) {
    const id = response.header('x-countersign-decision-id');
    assert.ok(id, `status ${response.status} has no decision id`);
    const deadline = Date.now() + RECORD_LIMIT;
    for (;;) {
      const found = this.records().filter(({ decision_id }) => decision_id === id);
      if (found.length > 0) {
        assert.equal(found.length, 1, 'one record per decision');
        return found[0];
      }
      assert.ok(Date.now() < deadline, `no record for decision ${id}`);
      await sleep(20);
    }
  }

  /** Envoy's own log, the filter's lines included. */
  logText() {
    return readFileSync(this.log, 'utf8');
  }

  /** The filter's counters and gauges by name, without Envoy's prefix. */
  async counters() {
    const text = await (await fetch(`${this.admin}/stats?filter=countersign`)).text();
    const lines = text.trim().split('\n').map((line) => line.split(': '));
    return Object.fromEntries(lines.filter(([name]) => name.startsWith('wasmcustom.'))
      .map(([name, value]) => [name.replace('wasmcustom.', ''), Number(value)]));
  }
}

/** The headers and the body of a JSON-RPC request; without `id` it is a notification. */
export function rpcMessage(method, params = {}, { era = MODERN, id = 1 } = {}) {
  const object = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' }[method];
  const modern = era === MODERN;
  const meta = {
    'io.modelcontextprotocol/protocolVersion': MODERN,
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  return {
    headers: [
      ['mcp-protocol-version', era],
      ...(modern ? [['mcp-method', method]] : []),
      ...(modern && object && params[object] !== undefined ? [['mcp-name', params[object]]] : []),
    ],
    body: JSON.stringify({ jsonrpc: '2.0', ...(id === undefined ? {} : { id }), method, params: modern ? { ...params, _meta: meta } : params }),
  };
}

/** A compact JWS by hand, so that any header and any claims can be signed. */
export async function sign(payload, header, jwk) {
  const key = await jose.importJWK(jwk, header.alg === 'none' ? undefined : header.alg);
  return new jose.CompactSign(new TextEncoder().encode(JSON.stringify(payload))).setProtectedHeader(header).sign(key);
}

/**
 * A DPoP proof (RFC 9449, 4.2) by hand, for a POST of `token` to `url`, signed with the private JWK
 * `key`; `claims` and `header` replace or, as undefined, remove.
 */
export function makeProof({ key, url, token, claims = {}, header = {} }) {
  const { alg, kid: _kid, use: _use, ...jwk } = publicKey(key);
  const payload = {
    jti: randomUUID(),
    htm: 'POST',
    htu: url,
    iat: Math.floor(Date.now() / 1000),
    ath: createHash('sha256').update(token).digest('base64url'),
    ...claims,
  };
  return sign(payload, { typ: 'dpop+jwt', alg, jwk, ...header }, key);
}

/** `cnf` of tokens for the holder of `key` (RFC 9449, 6.1). */
export async function confirmation(key) {
  return { jkt: await jose.calculateJwkThumbprint(publicKey(key)) };
}

/** The headers of a call with a bound token. */
export function bound(token, ...proofs) {
  return [['authorization', `DPoP ${token}`], ...proofs.map((proof) => ['dpop', proof])];
}

/** A new private JWK for `alg`. */
export async function newKey(alg, kid = randomUUID()) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...await jose.exportJWK(privateKey), alg, kid, use: 'sig' };
}

/** The public part. */
export function publicKey({ d, p, q, dp, dq, qi, ...rest }) {
  return rest;
}

/** What a bootstrap says about HTTP. */
export function connectionManager(bootstrap) {
  return bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
}

/** The results of `run` for all items, `width` of them under way at a time. */
export async function inParallel(items, width, run) {
  const results = [];
  let next = 0;
  await Promise.all(Array.from({ length: width }, async () => {
    while (next < items.length) {
      const index = next;
      next += 1;
      results[index] = await run(items[index]);
    }
  }));
  return results;
}

/** Connections each worker of the listener `mcp` got. */
export async function connectionsByWorker(stack) {
  const text = await (await fetch(`${stack.admin}/stats?filter=worker_.*downstream_cx_total`)).text();
  const lines = text.trim().split('\n').filter((line) => line.startsWith('listener.127.0.0.1'));
  return lines.map((line) => Number(line.split(': ')[1]));
}

/**
 * Adds the cluster `name`, which is like that of the OAuth server, with an endpoint at each of
 * `ports`; returns it.
 */
export function addCluster({ static_resources: { clusters } }, name, ...ports) {
  const cluster = structuredClone(clusters.find((known) => known.name === 'idp'));
  cluster.name = name;
  cluster.load_assignment = {
    cluster_name: name,
    endpoints: [{
      lb_endpoints: ports.map((port) => ({ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } })),
    }],
  };
  clusters.push(cluster);
  return cluster;
}

/**
 * Adds the cluster `idp_tls`, the OAuth server's listener with TLS, where Envoy shows the
 * certificate `client`.
 */
export function addTlsCluster(bootstrap, { tlsTokenEndpoint, certificates }) {
  const { hostname, port } = new URL(tlsTokenEndpoint);
  const { cert, key } = certificates.files('client');
  addCluster(bootstrap, 'idp_tls', Number(port)).transport_socket = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: {
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
        validation_context: {
          trusted_ca: { filename: certificates.caFile },
          match_typed_subject_alt_names: [{ san_type: 'IP_ADDRESS', matcher: { exact: hostname } }],
        },
      },
    },
  };
}

/** Has Envoy add the credential of `client` to what goes to the OAuth server: the filter never has it. */
export function injectCredential({ static_resources: resources }, client) {
  const extensions = 'type.googleapis.com/envoy.extensions';
  resources.secrets = [{ name: 'gateway', generic_secret: { secret: { inline_string: `Basic ${btoa(`${client}:${SECRET}`)}` } } }];
  resources.clusters.find(({ name }) => name === 'idp').typed_extension_protocol_options = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${extensions}.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http_protocol_options: {} },
      http_filters: [
        {
          name: 'envoy.filters.http.credential_injector',
          typed_config: {
            '@type': `${extensions}.filters.http.credential_injector.v3.CredentialInjector`,
            overwrite: true,
            credential: {
              name: 'envoy.http.injected_credentials.generic',
              typed_config: {
                '@type': `${extensions}.http.injected_credentials.generic.v3.Generic`,
                credential: { name: 'gateway' },
              },
            },
          },
        },
        { name: 'envoy.filters.http.upstream_codec', typed_config: { '@type': `${extensions}.filters.http.upstream_codec.v3.UpstreamCodec` } },
      ],
    },
  };
}

/**
 * A server that misbehaves as no real one would, or answers when it is told to; on `port`, or on a
 * free one. `watch` is given every connection.
 */
export async function startStub(handler, { port = 0, watch } = {}) {
  const server = createServer(handler);
  if (watch) server.on('connection', watch);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * An MCP server that answers every request alike and keeps every byte that it is sent.
 *
 * Returns `{ port, requests, bytes(), forget(), stop() }`: `requests` are those that came whole,
 * `{ method, headers, body }` with `headers` as Node parses them.
 */
export async function startRecorder() {
  const chunks = [];
  const requests = [];
  const stub = await startStub((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part)).on('end', () => {
      const body = Buffer.concat(parts).toString();
      requests.push({ method: request.method, headers: request.headers, body });
      const id = /"id":(\d+)/.exec(body)?.[1];
      if (!id) return response.writeHead(202).end();
      response.setHeader('content-type', 'application/json');
      return response.end(`{"jsonrpc":"2.0","id":${id},"result":{"content":[],"resultType":"complete"}}`);
    });
  }, { watch: (socket) => socket.on('data', (chunk) => chunks.push(chunk)) });
  return {
    ...stub,
    requests,
    bytes: () => Buffer.concat(chunks),
    forget: () => {
      chunks.length = 0;
      requests.length = 0;
    },
  };
}

/** What `probe` gives once that is something; fails after `limit` ms. */
export async function eventually(what, probe, limit) {
  for (const deadline = Date.now() + limit; Date.now() < deadline; await sleep(20)) {
    const found = await probe();
    if (found) return found;
  }
  throw new assert.AssertionError({ message: `not within ${limit} ms: ${what}` });
}

/** Sends the pieces, `pause` ms apart, and reads until the answer is complete or the peer closes. */
export async function exchange(origin, pieces, { pause = 0, method = 'POST', limit = ANSWER_LIMIT, tls } = {}) {
  const { hostname, port } = new URL(origin);
  // Each piece is a segment of its own.
  const address = { host: hostname, port: Number(port), noDelay: true };
  const socket = tls ? connectTls({ ...address, ...tls }) : connect(address);
  const chunks = [];
  const started = Date.now();
  let timer;
  const ended = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no complete answer in ${limit} ms; so far: ${Buffer.concat(chunks)}`)), limit);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      // Envoy waits a second for us to close first.
      if (isComplete(Buffer.concat(chunks), method)) resolve();
    });
    socket.on('close', resolve);
    // A reset after the answer is how a peer refuses the rest of a body.
    socket.on('error', (error) => (chunks.length ? resolve() : reject(error)));
  });
  ended.catch(() => {});
  try {
    await Promise.race([once(socket, tls ? 'secureConnect' : 'connect'), ended]);
    for (const piece of pieces) {
      if (socket.destroyed) break;
      socket.write(piece);
      if (pause) await sleep(pause);
    }
    await ended;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
  return Object.assign(parseResponse(Buffer.concat(chunks), method), { took: Date.now() - started });
}

function isComplete(bytes, method) {
  if (!bytes.includes('\r\n\r\n')) return false;
  const { complete, header } = parseResponse(bytes, method);
  return complete && (header('content-length') !== undefined || header('transfer-encoding') !== undefined);
}

/** A response as it was on the wire: `raw` is its head, byte for byte. */
export function parseResponse(bytes, method) {
  const end = bytes.indexOf('\r\n\r\n');
  assert.ok(end > 0, `no response head in ${JSON.stringify(bytes.toString('latin1'))}`);
  const raw = bytes.subarray(0, end).toString('latin1');
  const [statusLine, ...lines] = raw.split('\r\n');
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
  const all = (name) => headers.filter(([given]) => given === name).map(([, value]) => value);
  const header = (name) => all(name)[0];
  let body = bytes.subarray(end + 4);
  let complete = true;
  if (header('transfer-encoding') === 'chunked') {
    ({ body, complete } = dechunk(body));
  } else if (header('content-length') !== undefined && method !== 'HEAD') {
    complete = body.length === Number(header('content-length'));
  }
  const text = body.toString();
  return {
    status: Number(statusLine.split(' ')[1]), raw, headers, all, header, body, text, complete, get json() { return messageOf(text); },
  };
}

function dechunk(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) break;
    const size = Number.parseInt(bytes.subarray(at, line).toString(), 16);
    if (size === 0) return { body: Buffer.concat(parts), complete: true };
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
  return { body: Buffer.concat(parts), complete: false };
}

/** The JSON-RPC message of a JSON answer, or the last one of an event stream. */
function messageOf(text) {
  if (!/^(event|data|id|:)/.test(text)) return JSON.parse(text);
  const events = text.split(/\r?\n\r?\n/).map((event) => event.split(/\r?\n/)
    .filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n')).filter(Boolean);
  return JSON.parse(events.at(-1));
}

/** Opens a session of the revisions up to 2025-11-25 at the TypeScript server's place; returns its id. */
export async function openSession(stack) {
  const params = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'tests', version: '1' } };
  const response = await stack.send({ token: await stack.token(), body: rpcMessage('initialize', params, { era: LEGACY }).body });
  assert.equal(response.status, 200, response.text);
  await stack.recordOf(response);
  return response.header('mcp-session-id');
}

/** Memory that may come and go between two rounds, in bytes: caches of the allocator, garbage of V8. */
const MEMORY_NOISE = 4 * 1024 * 1024;

/** How much more memory there may be after the last of several equal rounds than before it, as a ratio. */
const MEMORY_GROWTH = 1.05;

/**
 * Runs `round` twice: Envoy holds no more after the second than after the first. Ahead of that it
 * has to have run once, because what Envoy keeps for good grows then.
 */
export async function assertNoGrowth(stack, round) {
  await round();
  const before = await memoryOf(stack);
  await round();
  const after = await memoryOf(stack);
  for (const kind of ['allocated', 'resident']) {
    const bound = before[kind] * MEMORY_GROWTH + MEMORY_NOISE;
    assert.ok(after[kind] <= bound, `${kind}: ${before[kind]} bytes, a round later ${after[kind]}`);
  }
}

/** What Envoy has allocated outside of V8, and the whole process's resident set, in bytes. */
async function memoryOf({ admin, pid }) {
  const { allocated } = await (await fetch(`${admin}/memory`)).json();
  const [, resident] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return { allocated: Number(allocated), resident: Number(resident) * 1024 };
}

/** The text of a tool's result. */
export function resultText(response) {
  return response.json.result?.content?.[0]?.text;
}

/** Calls a tool in the modern era; with a good token unless `token` is given, `undefined` included. */
export async function whoami(stack, { tool = 'whoami', headers = [], ...options } = {}) {
  const message = rpcMessage('tools/call', { name: tool, arguments: {} });
  const given = new Set(headers.map(([name]) => name));
  return stack.send({
    ...('token' in options ? {} : { token: await stack.token() }),
    ...options,
    headers: [...message.headers.filter(([name]) => !given.has(name)), ...headers],
    body: message.body,
  });
}

/**
 * One request over HTTP/2, with or without trailers; `parameters` are of the method, in place of
 * `tool`, and `message` (of `rpcMessage`) is in place of both.
 */
export async function http2Call(stack, {
  session, token, tool, method = 'tools/call', parameters = tool ? { name: tool, arguments: {} } : {},
  message = rpcMessage(method, parameters), trailers,
}) {
  const client = session ?? connectHttp2(stack.origin);
  try {
    const { headers, body } = message;
    const stream = client.request({
      ':method': 'POST', ':path': '/typescript/mcp', 'content-type': 'application/json', accept: 'application/json, text/event-stream',
      authorization: `Bearer ${token ?? await stack.token()}`, ...Object.fromEntries(headers),
    }, { waitForTrailers: Boolean(trailers) });
    if (trailers) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.setTimeout(10_000, () => stream.destroy(new Error('no answer in 10 s')));
    stream.end(body);
    const [response] = await once(stream, 'response');
    let text = '';
    for await (const chunk of stream.setEncoding('utf8')) text += chunk;
    return { status: response[':status'], headers: response, text };
  } finally {
    if (!session) client.close();
  }
}
