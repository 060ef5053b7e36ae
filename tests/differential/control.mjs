// Readers that are not strict. Held against the same servers they must disagree: a run in which
// they do not has tested nothing.

import { operationOf } from './operations.mjs';

/** What each makes of a case, as the verdict of `compare`. */
export const CONTROLS = {
  /** Believes `Mcp-Method` and `Mcp-Name` where they are there. */
  'believes headers'({ headers, body }) {
    const value = (wanted) => headers.find(([name]) => name === wanted)?.[1];
    const message = parsed(body.toString());
    const method = value('mcp-method') ?? message?.method;
    const name = value('mcp-name');
    const operation = operationOf({ method, params: message?.params });
    return verdict(method && { method, objects: name === undefined ? operation.objects : [name] });
  },
  /** Reads as most parsers do, and a batch by its first message. */
  'reads leniently'({ body }) {
    const message = [parsed(body.toString())].flat()[0];
    return verdict(message?.method && operationOf(message));
  },
  /** Takes the first of several members of one name. */
  'takes the first member'({ body }) {
    const first = body.toString();
    const method = /"method"\s*:\s*"([^"]*)"/.exec(first)?.[1];
    const params = { name: /"name"\s*:\s*"([^"]*)"/.exec(first)?.[1], uri: /"uri"\s*:\s*"([^"]*)"/.exec(first)?.[1] };
    return verdict(method && operationOf({ method, params }));
  },
};

function verdict(operation) {
  return operation ? { allowed: true, operation, arrived: 'same' } : { allowed: false, arrived: 'nothing' };
}

function parsed(content) {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}
