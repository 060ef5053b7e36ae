// Processes that look for ports at the same time find different ones.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { DEMO, NODE } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';

const PORTS = join(DEMO, 'lib/ports.mjs');

test('no two calls and no two processes get the same port', async () => {
  const script = `import { freePorts } from ${JSON.stringify(PORTS)}; console.log(JSON.stringify(await freePorts(100)));
    await new Promise((done) => process.stdin.once('end', done).resume());`;
  const others = Array.from({ length: 3 }, () => {
    const running = promisify(execFile)(NODE, ['--input-type=module', '-e', script]);
    return { running, child: running.child, printed: once(running.child.stdout, 'data') };
  });
  const theirs = await Promise.all(others.map(async ({ printed }) => JSON.parse((await printed)[0])));
  const ours = (await Promise.all([freePorts(100), freePorts(100)])).flat();
  for (const { child } of others) child.stdin.end();
  await Promise.all(others.map(({ running }) => running));
  const all = [...theirs.flat(), ...ours];
  assert.equal(new Set(all).size, all.length);
});

test('a port that somebody listens on is not free', async () => {
  const [port] = await freePorts(1);
  const holder = createServer().listen(port, '127.0.0.1');
  await once(holder, 'listening');
  const others = await freePorts(50);
  assert.ok(!others.includes(port));
  await once(holder.close(), 'close');
});
