// What the filter read, held against what the servers ran. Pure functions.

import { operationOf, sameArea } from './operations.mjs';

/** Longest object in the audit record, in characters; longer ones end in `…`. */
const RECORDED = 512;

/**
 * What became of one case.
 *
 * `verdict` is `{ allowed, operation, arrived }`: `operation` as of `operationOf`, with no method
 * where an answer to the server was allowed; `arrived` is `same`, `differs` or `nothing`. `ran` has
 * the messages that ran, by server.
 *
 * Returns `{ kinds, disagreements }`: for each server one of `agree`, `not run`, `stricter filter`,
 * `both refuse` or `disagree`; and the texts of what is wrong.
 */
export function compare(verdict, ran) {
  const disagreements = [];
  if (verdict.allowed && verdict.arrived === 'nothing') disagreements.push('allowed, and nothing arrived');
  if (verdict.allowed && verdict.arrived === 'differs') disagreements.push('allowed, and other bytes arrived');
  if (!verdict.allowed && verdict.arrived !== 'nothing') disagreements.push('refused, and it arrived');
  const kinds = Object.entries(ran).map(([server, messages]) => {
    const operations = messages.map(operationOf);
    if (!verdict.allowed) return [server, operations.length ? 'stricter filter' : 'both refuse'];
    if (operations.length === 0) return [server, 'not run'];
    if (operations.length === 1 && isSame(verdict.operation, operations[0])) return [server, 'agree'];
    disagreements.push(`allowed as ${say(verdict.operation)}; ${server} ran ${operations.map(say).join(' and ')}`);
    return [server, 'disagree'];
  });
  return { kinds: Object.fromEntries(kinds), disagreements };
}

/** The operation in an audit record. Of a subscription it names the first resource only. */
export function recordedOperation({ method, object }) {
  return { method, objects: object?.name ? [object.name] : [] };
}

function isSame(allowed, run) {
  if (allowed.method !== run.method) return false;
  if (run.method === 'subscriptions/listen') {
    return run.objects.length === 0 || isSameObject(allowed.objects[0], run.objects[0]);
  }
  if (run.objects.length !== allowed.objects.length) return false;
  return run.objects.every((object, index) => {
    const recorded = allowed.objects[index];
    // A server may resolve a URI, as long as it stays where the rule that allowed it is about.
    return isSameObject(recorded, object) || (run.method.startsWith('resources/') && sameArea(recorded, object));
  });
}

function isSameObject(recorded, object) {
  if (recorded === object) return true;
  return typeof object === 'string' && typeof recorded === 'string' && recorded.endsWith('…')
    && [...object].length > RECORDED && object.startsWith(recorded.slice(0, -1));
}

function say({ method, objects }) {
  return method === undefined ? 'an answer' : [method, ...objects.map((object) => JSON.stringify(object))].join(' ');
}
