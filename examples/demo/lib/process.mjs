// Child processes: started with a log file, waited for, stopped by their own id.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time a process may take to become ready, in ms: Envoy compiles the filter first, for each worker. */
const START_LIMIT = 180_000;

/** Time between two questions whether it is ready, in ms. */
const POLL = 50;

/** Time a process may take to end after SIGTERM, in ms, before SIGKILL. */
const STOP_LIMIT = 5_000;

/** Lines of the log shown when a process does not start. */
const LOG_TAIL = 20;

const running = new Set();

// Whatever ends this process, including an uncaught error, ends those it started.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Starts `command` with `args` and the additional environment `env`, its output appended to
 * `logFile`, and waits until the URL `ready` answers with any status below 500.
 *
 * Returns `{ name, pid, stop() }`. Throws with the end of the log when the process ends before it
 * is ready or is not ready within three minutes; nothing is left running then.
 */
export async function startProcess({ name, command, args = [], env = {}, cwd, logFile, ready }) {
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', log, log] });
  closeSync(log);
  running.add(child);
  let failure;
  child.once('error', (error) => { failure = error.message; });
  child.once('exit', (code, signal) => {
    running.delete(child);
    failure ??= `ended with ${code ?? signal}`;
  });

  const deadline = Date.now() + START_LIMIT;
  while (!(await answers(ready))) {
    if (Date.now() > deadline) failure ??= 'is not ready in time';
    if (failure) {
      await stop(child);
      const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL).join('\n');
      throw new Error(`${name} ${failure}; ${logFile} ends with:\n${tail}`);
    }
    await sleep(POLL);
  }
  return { name, pid: child.pid, stop: () => stop(child) };
}

/** Stops the processes in the order opposite to their start, all of them even if one resists. */
export async function stopAll(processes) {
  for (const { stop: stopOne } of [...processes].reverse()) await stopOne();
}

async function stop(child) {
  if (!running.has(child) || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT);
  await ended;
  clearTimeout(timer);
}

async function answers(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(STOP_LIMIT) });
    await response.body?.cancel();
    return response.status < 500;
  } catch {
    return false;
  }
}
