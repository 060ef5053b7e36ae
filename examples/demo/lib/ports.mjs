// Free loopback ports.

import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * `count` different TCP ports that nobody listened on a moment ago. All are held at once before
 * any is given back, so they differ; another program could still take one before it is used.
 */
export async function freePorts(count) {
  const holders = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(holders.map((holder) => once(holder, 'listening')));
  const ports = holders.map((holder) => holder.address().port);
  await Promise.all(holders.map((holder) => once(holder.close(), 'close')));
  return ports;
}
