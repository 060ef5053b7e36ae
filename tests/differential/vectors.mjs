// The documents of nst/JSONTestSuite, in the places where a message has JSON.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { LEGACY, MODERN, modern, request, rightHeaders } from './messages.mjs';

const MARK = '"@"';

/** Where a document goes, in both eras. */
const PLACES = {
  params: [request('tools/call', '@')],
  arguments: [request('tools/call', { name: 'allowed', arguments: '@' }), modern('tools/call', { name: 'allowed', arguments: { a: '@' } })],
  id: [request('tools/list', {}, '@'), modern('tools/list', {}, '@')],
  name: [request('tools/call', { name: '@', arguments: {} })],
};

/** The cases, or none where `folder`, which has `json-test-suite`, is not there. */
export function vectorCases(folder) {
  const tests = folder && join(folder, 'json-test-suite/test_parsing');
  if (!tests || !existsSync(tests)) return [];
  return readdirSync(tests).filter((file) => file.endsWith('.json')).flatMap((file) => {
    const document = readFileSync(join(tests, file));
    const places = Object.entries(PLACES).flatMap(([place, messages]) => messages.map((message) => {
      const era = message.params._meta ? MODERN : LEGACY;
      return { kind: 'vector', note: `${file} as ${place}`, headers: rightHeaders(era, message), body: inPlace(message, document), session: false };
    }));
    return [{ kind: 'vector', note: `${file} as the body`, headers: rightHeaders(LEGACY), body: document, session: false }, ...places];
  });
}

function inPlace(message, document) {
  const [before, after] = JSON.stringify(message).split(MARK);
  return Buffer.concat([Buffer.from(before), document, Buffer.from(after)]);
}
