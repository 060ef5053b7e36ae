// Policies of many rules, and documents of many issuers: what a request costs must not depend on
// how many there are.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ISSUER } from './credentials.mjs';
import { cpuTime } from './cpu.mjs';

/** How many rules and issuers are compared. */
export const RULES = [10, 1000, 10_000];
export const ISSUERS = [1, 10, 50];

/**
 * `count` rules for tools: names, beginnings and patterns with a `*` within, in turn, that ask for
 * scopes and roles. Two of them are for the tools that the lanes call, `called` and `forbidden`.
 */
export function manyRules(count, { called, forbidden }) {
  const others = Array.from({ length: count - 2 }, (_, index) => {
    const id = String(index).padStart(5, '0');
    const name = [`tool_${id}`, `group_${id}_*`, `${id}_*_draft`][index % 3];
    return { names: [name], scopes: ['docs:read'], ...(index % 2 && { roles: ['r'] }) };
  });
  const half = others.length / 2;
  return {
    rules: [
      ...others.slice(0, half),
      { names: [called], scopes: ['docs:read'] },
      { names: [forbidden], scopes: ['docs:admin'] },
      ...others.slice(half),
    ],
  };
}

/** `count` issuers with the keys `jwks`; the one of the lanes' tokens comes last. */
export function manyIssuers(count, jwks) {
  const algorithms = jwks.keys.map(({ alg }) => alg);
  const others = Array.from({ length: count - 1 }, (_, index) => [`bench-${index}`, `https://idp-${index}.example.com`]);
  return Object.fromEntries([...others, ['bench', ISSUER]].map(([name, issuer]) => [name, { issuer, jwks, algorithms }]));
}

/** CPU time in ms that a just started process took so far, and its memory in MiB, once it rests. */
export async function startCost(pid) {
  for (let last = -1, now = cpuTime(pid); now - last > 1000; last = now, now = cpuTime(pid)) await sleep(200);
  const status = readFileSync(join('/proc', String(pid), 'status'), 'utf8');
  return { cpu: cpuTime(pid) / 1000, memory: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) / 1024 };
}
