// What a run found, for people.

import { table } from '../../examples/demo/lib/table.mjs';
import { compare } from './compare.mjs';
import { CONTROLS } from './control.mjs';

/** Fewest different bodies of a run that says something. */
const MIN_BODIES = 5_000;

/** Disagreements that are printed. */
const PRINTED = 50;

/**
 * Prints everything. `outcomes` are of `compare`, with `verdict` and `ran`, one for each case.
 *
 * Returns the exit code: 1 for a disagreement, and for a run that proves nothing.
 */
export function report(cases, outcomes, seed) {
  const bodies = new Set(cases.map(({ body }) => body.toString('base64')));
  const kinds = [...new Set(cases.map(({ kind }) => kind))];
  show(['cases', 'sent', 'bodies', 'allowed', 'refused'], kinds.map((kind) => {
    const own = cases.map((_case, index) => index).filter((index) => cases[index].kind === kind);
    const allowed = own.filter((index) => outcomes[index].verdict.allowed).length;
    return [kind, own.length, new Set(own.map((index) => cases[index].body.toString('base64'))).size, allowed, own.length - allowed];
  }));
  console.log();
  const columns = ['agree', 'not run', 'stricter filter', 'both refuse', 'disagree'];
  const names = [...new Set(outcomes.flatMap(({ kinds: byServer }) => Object.keys(byServer)))];
  show(['server', ...columns], names.map((name) => [
    name, ...columns.map((column) => outcomes.filter(({ kinds: byServer }) => byServer[name] === column).length),
  ]));
  console.log();
  for (const name of names) console.log(`${name} does not run: ${unknownMethods(cases, outcomes, name).join(', ') || 'nothing'}`);
  console.log();
  const controls = Object.entries(CONTROLS).map(([name, read]) => [
    name, outcomes.filter(({ ran }, index) => compare(read(cases[index]), ran).disagreements.length > 0).length,
  ]);
  for (const [name, count] of controls) console.log(`control: a filter that ${name} disagrees in ${count} cases`);
  console.log();
  const wrong = outcomes.map((_outcome, index) => index).filter((index) => outcomes[index].disagreements.length > 0);
  for (const index of wrong.slice(0, PRINTED)) print(cases[index], outcomes[index]);
  console.log(`${bodies.size} bodies, ${cases.length} cases, ${names.length} servers, seed ${seed}: ${wrong.length} disagreements`);
  if (bodies.size < MIN_BODIES) console.log(`fewer than ${MIN_BODIES} bodies: raise CASES`);
  const blind = controls.filter(([, count]) => count === 0);
  for (const [name] of blind) console.log(`a filter that ${name} would pass: this run proves nothing`);
  return wrong.length > 0 || bodies.size < MIN_BODIES || blind.length > 0 ? 1 : 0;
}

/** Valid messages that the filter allows and a server does not run: what a comparison with it cannot tell about. */
function unknownMethods(cases, outcomes, name) {
  const notes = cases.filter(({ kind }, index) => kind === 'valid' && outcomes[index].kinds[name] === 'not run').map(({ note }) => note);
  return [...new Set(notes)];
}

function show(head, rows) {
  console.log(table(head, rows.map((row) => row.map(String))).join('\n'));
}

function print({ kind, note, headers, body, session }, { verdict, disagreements }) {
  console.log(`${kind}: ${note}${session ? ', in a session' : ''} [${verdict.code}]`);
  for (const disagreement of disagreements) console.log(`  ${disagreement}`);
  console.log(`  headers ${JSON.stringify(headers)}`);
  console.log(`  body ${body.toString('base64')}`);
}
