// Valid messages of both eras, and the headers they come with.

import { nameHeader } from './wire.mjs';

export const MODERN = '2026-07-28';
export const LEGACY = '2025-06-18';

const META = {
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
};
const PUBLIC = 'docs://shop/public/a';
const TEMPLATE = 'docs://shop/{area}/{page}';
const INITIALIZE = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'differential', version: '1' } };

/** Requests that both eras have. */
const COMMON = [
  ['tools/list', {}],
  ['tools/list', { cursor: 'c' }],
  ['tools/call', { name: 'allowed', arguments: {} }],
  ['tools/call', { name: 'allowed', arguments: { name: 'secret', uri: PUBLIC, n: [1, 2.5, { deep: null }] } }],
  ['tools/call', { name: 'allowed' }],
  ['prompts/list', {}],
  ['prompts/get', { name: 'allowed' }],
  ['prompts/get', { name: 'allowed', arguments: { a: 'b' } }],
  ['resources/list', {}],
  ['resources/templates/list', {}],
  ['resources/read', { uri: PUBLIC }],
  ['resources/read', { uri: 'docs://shop/public/other' }],
  ['completion/complete', { ref: { type: 'ref/prompt', name: 'allowed' }, argument: { name: 'a', value: 'b' } }],
  ['completion/complete', { ref: { type: 'ref/resource', uri: TEMPLATE }, argument: { name: 'page', value: 'b' } }],
  ['tasks/get', { taskId: 'task-1' }],
  ['tasks/cancel', { taskId: 'task-1' }],
  ['vendor/run', { name: 'allowed' }],
];

const LEGACY_ONLY = [
  ['initialize', INITIALIZE],
  ['ping', undefined],
  ['ping', {}],
  ['logging/setLevel', { level: 'info' }],
  ['resources/subscribe', { uri: PUBLIC }],
  ['resources/unsubscribe', { uri: PUBLIC }],
  ['tools/call', { name: 'allowed', arguments: {}, task: { ttl: 1000 }, _meta: { progressToken: 7 } }],
  ['tasks/list', {}],
  ['tasks/result', { taskId: 'task-1' }],
];

const MODERN_ONLY = [
  ['server/discover', {}],
  ['tools/call', { name: 'allowed', arguments: {}, inputResponses: { q: { action: 'accept', content: {} } }, requestState: 's' }],
  ['tasks/update', { taskId: 'task-1', inputResponses: {} }],
  ['subscriptions/listen', { notifications: { resourceSubscriptions: [PUBLIC], toolsListChanged: true } }],
];

const NOTIFICATIONS = [
  ['notifications/initialized', undefined],
  ['notifications/cancelled', { requestId: 77, reason: 'r' }],
  ['notifications/progress', { progressToken: 7, progress: 1 }],
  ['notifications/roots/list_changed', {}],
];

/** Every valid message as `{ era, message, session }`; those of sessions also come without one. */
export function validMessages() {
  const legacy = [...COMMON, ...LEGACY_ONLY].map(([method, params]) => request(method, params));
  const notifications = NOTIFICATIONS.map(([method, params]) => ({ jsonrpc: '2.0', method, ...(params && { params }) }));
  const answers = [
    { jsonrpc: '2.0', id: 'server-1', result: { roots: [] } },
    { jsonrpc: '2.0', id: 4, error: { code: -1, message: 'no' } },
  ];
  return [
    ...[...COMMON, ...MODERN_ONLY].map(([method, params]) => ({ era: MODERN, session: false, message: modern(method, params) })),
    ...[...legacy, ...notifications].flatMap((message) => [false, true].map((session) => ({ era: LEGACY, session, message }))),
    ...answers.map((message) => ({ era: LEGACY, session: true, message })),
  ];
}

/** A request of the legacy era. */
export function request(method, params, id = 1) {
  return { jsonrpc: '2.0', id, method, ...(params && { params }) };
}

/** A request of the modern era. */
export function modern(method, params = {}, id = 1) {
  return request(method, { ...params, _meta: META }, id);
}

/** What opens a session. */
export const OPENING = [
  request('initialize', INITIALIZE, 'open'),
  { jsonrpc: '2.0', method: 'notifications/initialized' },
];

export const JSON_TYPE = ['content-type', 'application/json'];

/** The headers that a client of this era sends with a message. */
export function rightHeaders(era, message) {
  if (era !== MODERN) return [JSON_TYPE, ['mcp-protocol-version', era]];
  const { method, params } = message ?? {};
  const name = params?.name ?? params?.uri ?? params?.taskId;
  const mirrors = ['tools/call', 'prompts/get', 'resources/read', 'tasks/get', 'tasks/update', 'tasks/cancel'].includes(method);
  return [
    JSON_TYPE,
    ['mcp-protocol-version', MODERN],
    ...(isHeaderText(method) ? [['mcp-method', method]] : []),
    ...(mirrors && typeof name === 'string' ? [['mcp-name', nameHeader(name)]] : []),
  ];
}

/** The sets of headers to try a body with, by what they are. */
export function headerSets(message) {
  return {
    modern: rightHeaders(MODERN, message),
    'modern, spoofed name': [JSON_TYPE, ['mcp-protocol-version', MODERN], ['mcp-method', 'tools/call'], ['mcp-name', 'allowed']],
    'modern, spoofed method': [JSON_TYPE, ['mcp-protocol-version', MODERN], ['mcp-method', 'tools/list']],
    'modern, version only': [JSON_TYPE, ['mcp-protocol-version', MODERN]],
    legacy: rightHeaders(LEGACY),
    'legacy, no version': [JSON_TYPE],
    'legacy, batches': [JSON_TYPE, ['mcp-protocol-version', '2025-03-26']],
    'legacy, spoofed': [JSON_TYPE, ['mcp-protocol-version', '2025-11-25'], ['mcp-method', 'tools/call'], ['mcp-name', 'allowed']],
    'no version, spoofed': [JSON_TYPE, ['mcp-method', 'tools/list']],
  };
}

function isHeaderText(value) {
  return typeof value === 'string' && /^[!-~](?:[ -~]*[!-~])?$/.test(value);
}
