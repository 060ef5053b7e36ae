// CPU time of a process, from the scheduler's own account of each thread.

import { readFileSync, readdirSync } from 'node:fs';

/**
 * CPU time of all threads of the process, in µs: the first number of `schedstat` is nanoseconds on
 * a CPU. A thread that runs is accounted for when it stops, so let the process become idle first.
 */
export function cpuTime(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const times = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
  return times.reduce((sum, time) => sum + time, 0) / 1000;
}
