// The parts of the differential run by themselves.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { test } from 'node:test';

import { attackCases } from './attacks.mjs';
import { compare, recordedOperation } from './compare.mjs';
import { CONTROLS } from './control.mjs';
import { utf7 } from './encodings.mjs';
import { text, tree } from './json.mjs';
import { mutationCases } from './mutations.mjs';
import { Random } from './random.mjs';
import { Lane, nameHeader } from './wire.mjs';

const call = (name) => ({ method: 'tools/call', params: { name } });
const read = (uri) => ({ method: 'resources/read', params: { uri } });
const allowed = (method, ...objects) => ({ allowed: true, operation: { method, objects }, arrived: 'same' });
const refused = { allowed: false, arrived: 'nothing' };

test('the operation that was allowed is what ran, once', () => {
  for (const [verdict, ran, kind] of [
    [allowed('tools/call', 'a'), [call('a')], 'agree'],
    [allowed('tools/call', 'a'), [], 'not run'],
    [refused, [call('a')], 'stricter filter'],
    [refused, [], 'both refuse'],
    [allowed('tools/call', 'a'), [call('b')], 'disagree'],
    [allowed('tools/call', 'a'), [call('a'), call('a')], 'disagree'],
    [allowed('tools/list'), [call('a')], 'disagree'],
    [allowed('prompts/get', 'a'), [call('a')], 'disagree'],
    [allowed(undefined), [call('a')], 'disagree'],
    [allowed('tools/call', 'a'), [call(['a'])], 'disagree'],
    [allowed('resources/read', 'docs://shop/public/a/../b'), [read('docs://shop/public/b')], 'agree'],
    [allowed('resources/read', 'docs://shop/public/../secret/a'), [read('docs://shop/secret/a')], 'disagree'],
    [allowed('subscriptions/listen', 'docs://a'), [{ method: 'subscriptions/listen', params: { notifications: { resourceSubscriptions: ['docs://b'] } } }], 'disagree'],
  ]) {
    const { kinds, disagreements } = compare(verdict, { server: ran });
    assert.deepEqual([kinds.server, disagreements.length], [kind, kind === 'disagree' ? 1 : 0], JSON.stringify([verdict, ran]));
  }
});

test('what was allowed arrives as it was sent, and nothing else does', () => {
  const operation = { method: 'ping', objects: [] };
  for (const [isAllowed, arrived, count] of [[true, 'same', 0], [true, 'differs', 1], [true, 'nothing', 1], [false, 'same', 1], [false, 'differs', 1], [false, 'nothing', 0]]) {
    assert.equal(compare({ allowed: isAllowed, operation, arrived }, {}).disagreements.length, count);
  }
});

test('a recorded object may be cut', () => {
  const name = 'x'.repeat(600);
  const operation = recordedOperation({ method: 'tools/call', object: { kind: 'tool', name: `${name.slice(0, 512)}…` } });
  const verdict = { allowed: true, operation, arrived: 'same' };
  assert.deepEqual(compare(verdict, { server: [call(name)] }).disagreements, []);
  assert.equal(compare(verdict, { server: [call('x'.repeat(400))] }).disagreements.length, 1);
});

test('the controls are fooled', () => {
  const body = Buffer.from('{"method":"tools/call","params":{"name":"allowed","name":"secret"}}');
  const headers = [['mcp-method', 'tools/call'], ['mcp-name', 'allowed']];
  const objects = (name) => CONTROLS[name]({ headers, body }).operation.objects;
  assert.deepEqual(Object.keys(CONTROLS).map(objects), [['allowed'], ['secret'], ['allowed']]);
});

test('a seed repeats its mutations, and no body comes twice', () => {
  const bodies = (seed) => mutationCases(new Random(seed), 500).map(({ body }) => body.toString('base64'));
  assert.deepEqual(bodies(7), bodies(7));
  assert.notDeepEqual(bodies(7), bodies(8));
  assert.equal(new Set(bodies(7)).size, 500);
});

test('every attack comes with the headers of both eras, and in a session', () => {
  const batch = attackCases().filter(({ note }) => note.startsWith('batch of two ('));
  const versions = new Set(batch.map(({ headers }) => headers.find(([name]) => name === 'mcp-protocol-version')?.[1]));
  assert.deepEqual([...versions].sort(), ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28', undefined]);
  assert.deepEqual(new Set(batch.map(({ session }) => session)), new Set([false, true]));
  assert.ok(batch.every(({ body }) => JSON.parse(body).length === 2));
});

test('trees hold what values cannot', () => {
  const root = tree({ a: [1, 'b', { c: null }] });
  assert.equal(text(root), '{"a":[1,"b",{"c":null}]}');
  root.members.push(root.members[0]);
  assert.equal(text(root, () => ' ').replaceAll(' ', ''), '{"a":[1,"b",{"c":null}],"a":[1,"b",{"c":null}]}');
});

test('names that no header can carry are encoded', () => {
  for (const name of ['ä', ' a', 'a\n', '', '=?base64?YQ==?=']) assert.match(nameHeader(name), /^=\?base64\?.*\?=$/);
  assert.equal(nameHeader('docs://shop/a b'), 'docs://shop/a b');
  assert.equal(utf7('{"a"}').toString(), '+AHsAIg-a+ACIAfQ-');
});

test('a lane sends the lines and the bytes it is given, and does not wait for a stream', async () => {
  const seen = [];
  const server = createServer(async (request, response) => {
    seen.push([request.rawHeaders.filter((_, index) => request.rawHeaders[index - 1] === 'mcp-name'), Buffer.concat(await request.toArray())]);
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
    if (seen.length === 1) response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const lane = new Lane(`http://127.0.0.1:${server.address().port}/`);
  const body = Buffer.from([0xff, 0, 0x7b]);
  const lines = [['mcp-name', 'a'], ['mcp-name', 'b']];
  for (const response of [await lane.post(lines, body), await lane.post(lines, body)]) {
    assert.deepEqual([response.status, response.text], [200, 'data: 1\n\n']);
  }
  assert.deepEqual(seen, [[['a', 'b'], body], [['a', 'b'], body]]);
  lane.close();
  server.closeAllConnections();
  server.close();
});
