// A run counts only if every lane did what it stands for.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, test } from 'node:test';

import { FORBIDDEN } from '../lanes.mjs';
import { startUpstream } from '../load.mjs';
import { measure } from '../run.mjs';

const ROUNDS = 2;
const REQUESTS = 20;
const CROWD = 50;

const upstream = await startUpstream();
after(() => upstream.stop());

/** A server that answers as `handler` says, and otherwise as the upstream does. */
async function startServer(handler = () => false) {
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    if (await handler(request, response)) return;
    const answer = await fetch(`http://127.0.0.1:${upstream.port}/`, { method: 'POST', body: 'x' });
    const body = await answer.text();
    response.writeHead(answer.status, { 'content-length': body.length }).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return server.address().port;
}

const request = (path) => Buffer.from(`POST /${path ?? ''} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx`);

/** Runs a lane, with this process in the place of Envoy. */
function run(port, lane = {}, { counters = async () => ({}), asked = () => 0 } = {}) {
  const lanes = [{ id: 'lane', request, ...lane }];
  return measure({
    lanes, ports: [port], envoy: { pid: process.pid, counters }, authorizationServer: { asked }, rounds: ROUNDS, requests: REQUESTS,
  });
}

/** Counts the calls of the lane, and answers the one after the tenth by itself. */
function eleventh(respond) {
  let calls = 0;
  return (_, response) => {
    calls += 1;
    if (calls === 11) respond(response);
    return calls === 11;
  };
}

test('a lane of good answers has a sample for each round but the first', async () => {
  const { lane } = await run(await startServer());
  assert.equal(lane.length, ROUNDS);
  assert.ok(lane.every((sample) => sample > 0));
});

test('one answer of another status fails the run, and the lane is named', async () => {
  const port = await startServer(eleventh((response) => response.writeHead(403, { 'content-length': 0 }).end()));
  await assert.rejects(run(port), /^Error: lane: .* 403 /);
});

test('one answer of status 200 that is not the upstream\'s fails the run', async () => {
  const denial = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32602, message: 'Unknown tool' } });
  const port = await startServer(eleventh((response) => response.writeHead(200, { 'content-length': denial.length }).end(denial)));
  await assert.rejects(run(port), /^Error: lane: .*Unknown tool/s);
});

test('a connection that closes fails the run', async () => {
  const port = await startServer(eleventh((response) => response.socket.destroy()));
  await assert.rejects(run(port), /^Error: lane: /);
});

test('a counter that does not rise with the requests fails the run: a hit that misses is no hit', async () => {
  const port = await startServer();
  await assert.rejects(
    run(port, { counters: { hits: (count) => count } }, { counters: async () => ({ hits: 7 }) }),
    /^Error: lane: hits rose by 0 in 20 requests$/,
  );
});

test('a lane that should refuse the forbidden call and lets it pass fails the run, and the other way round', async () => {
  const open = await startServer();
  await assert.rejects(run(open, { enforces: true }), /^Error: lane: the forbidden call passed$/);
  const refusing = await startServer(({ url }, response) => {
    if (url === `/${FORBIDDEN}`) response.writeHead(403, { 'content-length': 0 }).end();
    return url === `/${FORBIDDEN}`;
  });
  await assert.rejects(run(refusing), /^Error: lane: the forbidden call was refused$/);
  await run(refusing, { enforces: true });
});

test('an exchange too many or too few fails the run', async () => {
  const port = await startServer();
  let asked = 0;
  const asking = () => { asked += 1; return asked; };
  await assert.rejects(run(port, {}, { asked: asking }), /^Error: lane: exchanges rose by 1 in 20 requests$/);
  await assert.rejects(run(port, { exchanges: () => 1 }), /^Error: lane: exchanges rose by 0 in 20 requests$/);
  await run(port, { exchanges: () => 1 }, { asked: asking });
});

test('a crowd comes at once, in each round anew', async () => {
  let waiting = [];
  const port = await startServer(async ({ url }) => {
    if (url !== '/') return false;
    // Nobody is answered before all are there.
    await new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length < CROWD) return;
      for (const go of waiting) go();
      waiting = [];
    });
    return false;
  });
  const { lane } = await run(port, { crowd: CROWD });
  assert.equal(lane.length, ROUNDS);
});

test('calls before the first round, and calls of the lane\'s own', async () => {
  const paths = [];
  const port = await startServer(({ url }) => { paths.push(url); return false; });
  await run(port, { warmUp: () => [request('first')], calls: (count) => Array.from({ length: count }, () => request('own')) });
  assert.deepEqual([paths[0], paths[1], paths.length], [`/${FORBIDDEN}`, '/first', 2 + (1 + ROUNDS) * REQUESTS]);
  assert.ok(paths.slice(2).every((path) => path === '/own'));
});
