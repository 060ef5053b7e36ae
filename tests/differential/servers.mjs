// The recording servers: started, sent to, asked what ran.

import { join } from 'node:path';

import { NODE, PYTHON, ROOT } from '../../examples/demo/lib/paths.mjs';
import { freePorts } from '../../examples/demo/lib/ports.mjs';
import { startProcess, stopAll } from '../../examples/demo/lib/process.mjs';

const SERVERS = join(import.meta.dirname, 'servers');

const PROCESSES = [
  { name: 'typescript', command: NODE, args: [join(SERVERS, 'typescript.mjs')] },
  { name: 'typescript-v1', command: NODE, args: [join(SERVERS, 'typescript-v1.mjs')] },
  { name: 'python', command: PYTHON, args: [join(SERVERS, 'python.py')] },
  { name: 'rmcp', command: join(ROOT, 'target/differential/debug/recording-rmcp') },
];

/** Where a case goes: `{ name, process, path, sessions }`; without `sessions` those cases are left out. */
const TARGETS = [
  { name: 'typescript', process: 'typescript', path: '/stateless', sessions: '/session' },
  { name: 'typescript-v1', process: 'typescript-v1', path: '/stateless', sessions: '/session' },
  { name: 'express', process: 'typescript-v1', path: '/express' },
  { name: 'python', process: 'python', path: '/stateless', sessions: '/session' },
  { name: 'python, registered', process: 'python', path: '/registered' },
  { name: 'rmcp', process: 'rmcp', path: '/stateless', sessions: '/session' },
];

/**
 * Starts them all.
 *
 * Returns `{ targets, stop() }`; a target is `{ name, url, sessionUrl, ran() }`, `ran()` the
 * messages that ran, by the value of `X-Case`.
 */
export async function startServers({ directory }) {
  const ports = await freePorts(PROCESSES.length);
  const starting = await Promise.allSettled(PROCESSES.map(({ name, command, args }, index) => startProcess({
    name,
    command,
    args,
    env: { PORT: ports[index] },
    logFile: join(directory, `${name}.log`),
    ready: `http://127.0.0.1:${ports[index]}/ran`,
  })));
  const processes = starting.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  const failed = starting.find(({ status }) => status === 'rejected');
  if (failed) {
    await stopAll(processes);
    throw failed.reason;
  }
  const targets = TARGETS.map(({ name, process, path, sessions }) => {
    const origin = `http://127.0.0.1:${ports[PROCESSES.findIndex((candidate) => candidate.name === process)]}`;
    return {
      name,
      url: origin + path,
      sessionUrl: sessions && origin + sessions,
      ran: async () => (await fetch(`${origin}/ran`)).json(),
    };
  });
  return { targets, stop: () => stopAll(processes) };
}
