// `make walk EXAMPLE=name`: walks through an example on the real stack. Its `walk.json` says who
// calls what and what becomes of it; the calls go through a real Envoy with the example's own
// bootstrap, with tokens of the real OAuth server. Prints what happened, and whose token went how
// far; exits with 1 when anything differs.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './lib/paths.mjs';
import { table } from './lib/table.mjs';
import { walk } from './lib/walk.mjs';

const names = process.argv.slice(2);
if (names.length === 0) throw new Error('which example? one with a walk.json, such as roles-table');

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
let problems = 0;
for (const name of names) {
  const directory = join(ROOT, '.stack/walks', name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const steps = await walk(name, { directory });
  console.log(`\n${name}\n`);
  console.log(table(
    ['mode', 'who', 'what', 'answer', 'decision', 'why', 'as it should be'],
    steps.map(({ mode, who, what, answer, record, problem }) => [
      mode, who, what, answer, record?.outcome ?? '', why(record), problem ?? 'yes',
    ]),
  ).join('\n'));
  for (const step of steps.filter(({ hops }) => hops)) console.log(`\n${hopsOf(step).join('\n')}`);
  const wrong = steps.filter(({ problem }) => problem).length;
  if (wrong === 0) console.log("\nThe caller's token never reached the TypeScript MCP server.");
  problems += wrong;
}
console.log(`\n${problems} problems`);
process.exitCode = problems ? 1 : 0;

function why({ policy_reason: reason, code, refused_by: side, exchange } = {}) {
  return [...new Set([reason ?? code, side, exchange?.outcome])].filter(Boolean).join(', ');
}

/** Whose token went how far, a line for each hop. */
function hopsOf({ mode, who, what, record: { exchange = {} } = {}, hops: { given, arrived } }) {
  const { name, outcome, scopes_asked: asked = [], scopes_granted: granted, credential } = exchange;
  return [
    `${mode}: ${who} calls ${what}`,
    `  agent -> filter      ${told(given)}`,
    `  filter -> issuer     ${name}: asked for ${asked.join(' ') || 'no scopes'}, got ${(credential && granted?.join(' ')) || '-'}: ${outcome}`,
    `  filter -> server     ${told(arrived)}`,
  ];
}

/** Whom a token is about, for whom it is, and who acts: the current actor first (RFC 8693, 4.1). */
function told(claims) {
  if (claims === undefined) return 'nothing';
  if (claims === null) return 'a token that says nothing';
  const { iss, sub, client_id: client, azp, aud, scope, scp, act } = claims;
  const actors = [];
  for (let actor = act; actor; actor = actor.act) actors.push(actor.sub);
  return Object.entries({ sub, client: client ?? azp, act: actors.join(' for '), scope: scope ?? scp, aud, iss })
    .filter(([, value]) => value?.length)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
