// Free loopback ports.

import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Below the ports that systems give to outgoing connections, of which load tests have thousands. */
const FIRST = 15_000;
const LAST = 32_000;

/** Which process has which port: test files run side by side, each with servers of its own. */
const CLAIMS = join(tmpdir(), `countersign-ports-${process.getuid?.() ?? 0}`);

const claimed = new Set();
process.once('exit', () => {
  for (const port of claimed) rmSync(join(CLAIMS, String(port)), { force: true });
});

/**
 * `count` different TCP ports that nobody listens on and no other of our processes gets until this
 * one ends.
 */
export async function freePorts(count) {
  mkdirSync(CLAIMS, { recursive: true });
  const ports = [];
  for (let port = FIRST + Math.floor(Math.random() * (LAST - FIRST)), tries = 0; ports.length < count; port += 1, tries += 1) {
    if (tries > LAST - FIRST) throw new Error(`there are not ${count} free ports`);
    if (port > LAST) port = FIRST;
    if (claim(port) && await isFree(port)) ports.push(port);
  }
  return ports;
}

/** Whether the port is this process's from now on. A claim of a process that is gone is void. */
function claim(port) {
  const file = join(CLAIMS, String(port));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      claimed.add(port);
      return true;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (claimed.has(port) || isRunning(file)) return false;
      rmSync(file, { force: true });
    }
  }
  return false;
}

/** A claim that is just being written, or taken back, counts as somebody's. */
function isRunning(file) {
  try {
    process.kill(Number(readFileSync(file, 'utf8') || process.pid), 0);
    return true;
  } catch (error) {
    return error.code !== 'ESRCH';
  }
}

async function isFree(port) {
  const holder = createServer();
  const listening = once(holder.listen(port, '127.0.0.1'), 'listening').then(() => true, () => false);
  if (!await listening) return false;
  await once(holder.close(), 'close');
  return true;
}
