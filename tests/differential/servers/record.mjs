// What a recording server on Node writes down: which operations ran, by the case they ran for.

import { AsyncLocalStorage } from 'node:async_hooks';

const current = new AsyncLocalStorage();
const ran = {};

/** Members of `params` that say what a method is applied to. */
const OBJECTS = ['name', 'uri', 'ref', 'taskId', 'notifications'];

/** Notes that `method` ran with `params`, for the request it came with. */
export function record(method, params) {
  const named = Object.fromEntries(OBJECTS.filter((member) => params?.[member] !== undefined).map((member) => [member, params[member]]));
  (ran[current.getStore() ?? 'unattributed'] ??= []).push({ method, params: named });
}

/** Notes the messages of `methods`, whose handlers are already in the map of an SDK's server. */
export function watch(handlers, methods) {
  for (const method of methods) {
    const handler = handlers.get(method);
    handlers.set(method, (message, ...rest) => {
      record(method, message.params);
      return handler(message, ...rest);
    });
  }
}

/** A handler of `node:http`: answers `/ran`, and gives everything else to the handler of its path. */
export function serve(handlers) {
  return (request, response) => {
    const path = request.url.split('?', 1)[0];
    if (path === '/ran') return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ran));
    const handler = handlers[path];
    if (!handler) return response.writeHead(404).end();
    return current.run(request.headers['x-case'], () => handler(request, response));
  };
}

/**
 * A handler with sessions, as the SDK's guides have it. `open(onsession)` makes a transport that
 * calls `onsession(id)` once it has a session.
 */
export function sessions(open) {
  const transports = new Map();
  return async (request, response) => {
    const id = request.headers['mcp-session-id'];
    if (id !== undefined && !transports.has(id)) return response.writeHead(404).end();
    const transport = transports.get(id) ?? await open((session) => transports.set(session, transport));
    return transport.handleRequest(request, response);
  };
}
