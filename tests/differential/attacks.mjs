// Known ways to have two parsers read one message differently: the advisories about MCP servers
// and gateways, and what the SDKs' parsers were seen to take.

import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';

import { utf16, utf32, utf7 } from './encodings.mjs';
import { JSON_TYPE, LEGACY, MODERN, headerSets, modern, request, rightHeaders } from './messages.mjs';

/** The tool that a caller wants, under cover of the one that is allowed. */
const WANTED = { name: 'secret', arguments: {} };
const COVER = { name: 'allowed', arguments: {} };

/** Content types that carry, or claim to carry, JSON. */
const CONTENT_TYPES = [
  'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset=UTF-8', 'application/json; charset=utf-16',
  'application/json; charset=utf-16le', 'application/json; charset=utf-32', 'application/json; charset=utf-7', 'application/json; charset=latin1',
  'application/json, text/plain', 'text/plain', 'text/plain;x=application/json', 'text/json', 'application/jsonp',
  'application/vnd.api+json', 'application/json-rpc', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=application/json',
  'application/json;', ' application/json', '',
];

/** All cases: `{ kind, note, headers, body, session }`. */
export function attackCases() {
  const bodies = [...smuggled(), ...framed(), ...envelopes(), ...objects(), ...encoded()];
  const cases = bodies.flatMap(({ note, body, message }) => everyHeaderSet(note, Buffer.from(body), message));
  return [...cases, ...contentTypes(), ...compressed(), ...headerLines(), ...crossSite()];
}

function everyHeaderSet(note, body, message) {
  const sets = headerSets(message);
  return [
    ...Object.entries(sets).map(([set, headers]) => ({ kind: 'attack', note: `${note} (${set})`, headers, body, session: false })),
    { kind: 'attack', note: `${note} (session)`, headers: sets.legacy, body, session: true },
  ];
}

/** Both eras' text of a call, and the message that its headers describe. */
function calls(params = WANTED) {
  return [request('tools/call', params), modern('tools/call', params)].map((message) => ({ message, text: JSON.stringify(message) }));
}

/** An edit that finds nothing to change would be no attack. */
function edit(text, from, to) {
  if (!text.includes(from)) throw new Error(`no ${from} in ${text}`);
  return text.replace(from, () => to);
}

/** A second member of a name that some parser takes for another. */
function smuggled() {
  const name = '"name":"secret"';
  const cover = '"name":"allowed"';
  const edits = {
    'duplicate name, wanted last': [name, `${cover},${name}`],
    'duplicate name, wanted first': [name, `${name},${cover}`],
    'duplicate name by escape': [name, `${cover},"n\\u0061me":"secret"`],
    'escaped name': [name, '"n\\u0061me":"s\\u0065cret"'],
    'escaped method': ['"method":"tools/call"', '"m\\u0065thod":"tools\\u002fcall"'],
    'escaped slash': ['tools/call', 'tools\\/call'],
    'duplicate method': ['"method":"tools/call"', '"method":"tools/list","method":"tools/call"'],
    'duplicate method, wanted first': ['"method":"tools/call"', '"method":"tools/call","method":"ping"'],
    'duplicate params': ['"params":', '"params":{"name":"allowed","arguments":{}},"params":'],
    'duplicate jsonrpc': ['"jsonrpc":"2.0"', '"jsonrpc":"1.0","jsonrpc":"2.0"'],
    'duplicate id': ['"id":1', '"id":1,"id":2'],
    'name with NUL': [name, `${cover},"name\\u0000":"secret"`],
    'method with NUL': ['"method":"tools/call"', '"method":"tools/list","method\\u0000":"tools/call"'],
    'params with NUL': ['"params":', '"params\\u0000":'],
    'value with NUL': [name, '"name":"secret\\u0000allowed"'],
    'raw NUL in value': [name, '"name":"secret\0"'],
    'capital Name': [name, `${cover},"Name":"secret"`],
    'capital Name first': [name, `"NAME":"secret",${cover}`],
    'only Name': [name, '"Name":"secret"'],
    'capital Method': ['"method":"tools/call"', '"method":"tools/list","Method":"tools/call"'],
    'capital Params': ['"params":', '"params":{"name":"allowed"},"Params":'],
    'long s in params': ['"params":', '"params":{"name":"allowed"},"param\u017f":'],
    'only long s': ['"params":', '"param\u017f":'],
    'dotless i': ['"id":1', '"\u0131d":1'],
    'result beside method': ['"id":1', '"id":1,"result":{}'],
    'error beside method': ['"id":1', '"id":1,"error":{"code":1,"message":"x"}'],
    'null result beside method': ['"id":1', '"id":1,"result":null'],
    'null error beside method': ['"id":1', '"id":1,"error":null'],
    'extra member': ['"id":1', '"id":1,"x":{"method":"tools/list"}'],
    'prototype': ['"params":{', '"params":{"__proto__":{"name":"allowed"},'],
    'prototype of the message': ['"id":1', '"id":1,"__proto__":{"method":"tools/list"}'],
    'constructor': [name, '"name":"constructor"'],
    'NaN': ['"arguments":{}', '"arguments":{"n":NaN}'],
    'Infinity': ['"arguments":{}', '"arguments":{"n":-Infinity}'],
    'huge number': ['"arguments":{}', '"arguments":{"n":1e400}'],
    'big integer': ['"arguments":{}', '"arguments":{"n":123456789012345678901234567890}'],
    'lone surrogate': ['"arguments":{}', '"arguments":{"s":"\\ud800"}'],
    'lone surrogate in name': [name, '"name":"secret\\udc00"'],
    'surrogates the wrong way round': [name, '"name":"secret\\udc00\\ud800"'],
    'trailing comma': ['"arguments":{}', '"arguments":{},'],
    'comment': ['"id":1', '/* "id":2 */"id":1'],
    'line comment': ['"id":1', '//"id":2\n"id":1'],
    'single quotes': ['"id":1', "'id':1"],
    'bare name': ['"id":1', 'id:1'],
    'hex number': ['"id":1', '"id":0x1'],
    'raw newline in name': [name, '"name":"sec\nret"'],
    'raw tab in name': [name, '"name":"secret\t"'],
    'meta by its alias': ['"params":{', '"params":{"meta":{"progressToken":1},'],
    'version in a second _meta': ['"params":{', '"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},'],
    'snake case': ['"arguments":{}', '"arguments":{},"task_id":"t","input_responses":{},"request_state":"s"'],
    'task of another tool': ['"arguments":{}', '"arguments":{},"task":{"ttl":1,"name":"allowed"}'],
  };
  return Object.entries(edits).flatMap(([note, [from, to]]) => calls().map(({ message, text }) => ({ note, message, body: edit(text, from, to) })));
}

/** More, or something else, around the message. */
function framed() {
  return calls().flatMap(({ message, text }) => {
    const cover = JSON.stringify({ ...message, params: { ...message.params, ...COVER } });
    const deep = (depth) => text.replace('"arguments":{}', `"arguments":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`);
    return Object.entries({
      batch: `[${text}]`,
      'batch of two': `[${cover},${text}]`,
      'batch with a response': `[{"jsonrpc":"2.0","id":9,"result":{}},${text}]`,
      'batch of 100': `[${Array(100).fill(text).join()}]`,
      'empty batch': '[]',
      'nested batch': `[[${text}]]`,
      'white space before a batch': ` \n\t[${text}]`,
      'two messages': `${cover}${text}`,
      'two messages on lines': `${cover}\n${text}\n`,
      'two messages with a comma': `${cover},${text}`,
      'record separator': `\x1e${text}\n`,
      'message in a string': JSON.stringify(text),
      'message in a message': JSON.stringify({ ...message, params: { ...message.params, ...COVER, message } }),
      'trailing bracket': `${text}]`,
      'trailing NUL': `${text}\0`,
      'leading NUL': `\0${text}`,
      'form feed': `\f${text}`,
      'no-break space': `\u00a0${text}`,
      'unicode line separator': `${text}\u2028`,
      'as a form': `body=${encodeURIComponent(text)}`,
      'as an event': `event: message\ndata: ${text}\n\n`,
      'depth 70': deep(70),
      'depth 130': deep(130),
      'depth 250': deep(250),
      'depth 20000': deep(20_000),
      'white space': text.replaceAll(/([{}:,])/g, ' \r\n\t$1 \r\n\t'),
      empty: '',
      null: 'null',
    }).map(([note, body]) => ({ note, message, body }));
  });
}

/** The members of JSON-RPC itself. */
function envelopes() {
  const ids = ['null', 'true', '1.0', '1.5', '-0', '0', '-1', '1e0', '9007199254740993', '18446744073709551616', '"1"', '""', '"\\u0000"', '[]', '{}', '[1]', '"' + 'x'.repeat(300) + '"'];
  return calls().flatMap(({ message, text }) => [
    ...ids.map((id) => ({ note: `id ${id.slice(0, 20)}`, message, body: edit(text, '"id":1', `"id":${id}`) })),
    ...Object.entries({
      'no id': ['"id":1,', ''],
      'no jsonrpc': ['"jsonrpc":"2.0",', ''],
      'jsonrpc 1.0': ['"2.0"', '"1.0"'],
      'jsonrpc a number': ['"2.0"', '2.0'],
      'jsonrpc with space': ['"2.0"', '"2.0 "'],
      'method in capitals': ['tools/call', 'Tools/Call'],
      'method with space': ['tools/call', 'tools/call '],
      'method in an array': ['"tools/call"', '["tools/call"]'],
      'method null': ['"tools/call"', 'null'],
      'full-width method': ['tools/call', 'tools\uff0fcall'],
      'doubled slash': ['tools/call', 'tools//call'],
      'a notification with id': ['tools/call', 'notifications/initialized'],
      'no method': ['"method":"tools/call",', ''],
    }).map(([note, [from, to]]) => ({ note, message, body: edit(text, from, to) })),
    { note: 'response only', message, body: '{"jsonrpc":"2.0","id":1,"result":{"name":"secret"}}' },
    { note: 'error only', message, body: '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}' },
    { note: 'error without id', message, body: '{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}' },
    { note: 'error with a null id', message, body: '{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}' },
    { note: 'only an envelope', message, body: '{"jsonrpc":"2.0","id":1}' },
  ]);
}

/** Names and URIs that a server may resolve to another object. */
function objects() {
  const names = ['secret ', ' secret', 'SECRET', 'secret\u200b', 'se\u0301cret', 'secre\u0074', 'ｓecret', 'secret\u0000', 'secret/../allowed', '__proto__', 'toString', 'hasOwnProperty', '../secret', 'allowed,secret'];
  const uris = [
    'docs://shop/public/../secret/a', 'docs://shop/public/./../secret/a', 'docs://shop/public/%2e%2e/secret/a', 'docs://shop/public/.%2e/secret/a',
    'docs://shop/public/.\t./secret/a', 'docs://shop/public/.\n./secret/a', 'docs://shop/public/\r../secret/a', 'docs://shop/pub\tlic/a',
    'docs://shop/public/.. ', 'docs://shop/public/..\u0001', ' docs://shop/secret/a', 'docs://shop/secret/a ', 'docs://shop/secret/a\n', '\u0000docs://shop/secret/a',
    'DOCS://shop/secret/a', 'do\tcs://shop/secret/a', 'docs:\n//shop/secret/a', 'docs://SHOP/secret/a', 'docs:///shop/secret/a', 'docs:/shop/secret/a', 'docs:shop/secret/a',
    'docs://shop/secr\tet/a', 'docs://shop\t/secret/a', 'docs://shop/%73ecret/a', 'docs://shop/public%2f..%2fsecret/a', 'docs://shop/public\\..\\secret\\a',
    'docs://shop/public/..;/secret/a', 'docs://shop/public//../secret/a', 'docs://shop//secret/a', 'docs://user@shop/secret/a', 'docs://shop:80/secret/a',
    'docs://shop/public/a#/../secret/a', 'docs://shop/public/a?x=/../../secret/a', 'docs://shop/public/\u2025/secret/a', 'docs://shop/public/\uff0e\uff0e/secret/a',
    'docs://shop/{area}/{page}', 'docs://shop/secret/{page}', 'docs://shop/public/a b', 'docs://shop/public/\u00e4',
  ];
  const refs = [
    { type: 'ref/prompt', name: 'allowed', uri: 'docs://shop/secret/a' }, { type: 'ref/resource', uri: 'docs://shop/public/a', name: 'secret' },
    { type: 'ref/resource', name: 'allowed' }, { type: 'ref/prompt', uri: 'docs://shop/secret/a' }, { type: 'ref/tool', name: 'secret' }, { name: 'secret' },
    { type: 'ref/resource', uri: 'docs://shop/public/../secret/a' }, { type: 'ref/resource', uri: 'docs://shop/public/.\t./secret/a' },
  ];
  const argument = { name: 'a', value: '' };
  const all = [
    ...names.flatMap((name) => [['tools/call', { name, arguments: {} }], ['prompts/get', { name }]]),
    ...uris.flatMap((uri) => [['resources/read', { uri }], ['resources/subscribe', { uri }], ['completion/complete', { ref: { type: 'ref/resource', uri }, argument }]]),
    ...refs.map((ref) => ['completion/complete', { ref, argument }]),
    ['tools/call', { ...WANTED, uri: 'docs://shop/public/a', taskId: 't', ref: { type: 'ref/prompt', name: 'allowed' } }],
    ['tools/call', { name: ['secret'] }], ['tools/call', { name: { name: 'secret' } }], ['tools/call', { name: null }], ['tools/call', ['secret']], ['tools/call', 'secret'],
    ['resources/read', { uri: ['docs://shop/secret/a'] }], ['resources/read', { uri: { href: 'docs://shop/secret/a' } }],
    ['tools/call', { ...COVER, inputResponses: { q: { method: 'tools/call', params: WANTED } }, requestState: 'forged' }],
    ['tasks/get', { taskId: 'of another' }], ['tasks/result', { taskId: 'of another', name: 'secret' }], ['tasks/update', { taskId: 'of another', inputResponses: {} }],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: ['docs://shop/secret/a'], taskIds: ['of another'] } }],
    ['subscriptions/listen', { notifications: { resource_subscriptions: ['docs://shop/secret/a'] } }],
    ['subscriptions/listen', { resourceSubscriptions: ['docs://shop/secret/a'] }],
    ['skills/get', { uri: 'docs://shop/secret/a' }], ['resources/directory/read', { uri: 'docs://shop/secret' }],
  ];
  return all.flatMap(([method, params]) => [request(method, params), ...(isObject(params) ? [modern(method, params)] : [])]
    .map((message) => ({ note: `${method} ${JSON.stringify(params)}`, message, body: JSON.stringify(message) })));
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Other encodings than UTF-8 without a byte order mark. */
function encoded() {
  return calls().flatMap(({ message, text }) => Object.entries({
    'byte order mark': Buffer.from(`\ufeff${text}`),
    'two byte order marks': Buffer.from(`\ufeff\ufeff${text}`),
    'UTF-16LE': utf16(text, 'le'),
    'UTF-16BE': utf16(text, 'be'),
    'UTF-16LE with mark': utf16(`\ufeff${text}`, 'le'),
    'UTF-16BE with mark': utf16(`\ufeff${text}`, 'be'),
    'UTF-32LE': utf32(text, 'le'),
    'UTF-32BE': utf32(text, 'be'),
    'UTF-7': utf7(text),
    'Latin-1': Buffer.from(text.replace('"arguments":{}', '"arguments":{"a":"\u00e4"}'), 'latin1'),
    'invalid UTF-8 in name': Buffer.from(text.replace('secret', 'secret\u00ff'), 'latin1'),
    'overlong solidus': Buffer.from(text.replace('tools/call', 'tools\u00c0\u00afcall'), 'latin1'),
    'encoded surrogate': Buffer.from(text.replace('secret', 'secret\u00ed\u00a0\u0080'), 'latin1'),
    'UTF-8 beyond U+10FFFF': Buffer.from(text.replace('secret', 'secret\u00f4\u0090\u0080\u0080'), 'latin1'),
    'cut character': Buffer.concat([Buffer.from(text), Buffer.from([0xc3])]),
  }).map(([note, body]) => ({ note, message, body })));
}

function contentTypes() {
  const kinds = { 'UTF-8': Buffer.from, 'UTF-16': (text) => utf16(text, 'le'), 'UTF-32': (text) => utf32(text, 'le'), 'UTF-7': utf7 };
  return calls().flatMap(({ message, text }) => CONTENT_TYPES.flatMap((type) => Object.entries(kinds).map(([encoding, encode]) => ({
    kind: 'attack',
    note: `${encoding} as ${JSON.stringify(type)}`,
    headers: [['content-type', type], ...described(message).filter(([name]) => name !== 'content-type')],
    body: Buffer.from(encode(text)),
    session: false,
  }))));
}

function described(message) {
  return rightHeaders(message.params._meta ? MODERN : LEGACY, message);
}

function compressed() {
  const codings = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, identity: Buffer.from, 'x-gzip': gzipSync, 'gzip, identity': gzipSync, 'utf-8': Buffer.from };
  return calls().flatMap(({ message, text }) => Object.entries(codings).map(([coding, encode]) => ({
    kind: 'attack',
    note: `Content-Encoding: ${coding}`,
    headers: [...described(message), ['content-encoding', coding]],
    body: encode(Buffer.from(text)),
    session: false,
  })));
}

/** Header lines that say something else than the body, or twice. */
function headerLines() {
  const wanted = modern('tools/call', WANTED);
  const legacy = request('tools/call', WANTED);
  const mirrored = rightHeaders(MODERN, wanted);
  const without = (name) => mirrored.filter(([given]) => given !== name);
  const name64 = (bytes) => `=?base64?${Buffer.from(bytes).toString('base64')}?=`;
  const sets = [
    [...mirrored, ['mcp-name', 'allowed']],
    [...without('mcp-name'), ['mcp-name', 'allowed'], ['mcp-name', 'secret']],
    [...without('mcp-name'), ['mcp-name', 'allowed, secret']],
    [...without('mcp-name'), ['mcp-name', name64('secret')]],
    [...without('mcp-name'), ['mcp-name', name64('allowed')]],
    [...without('mcp-name'), ['mcp-name', '=?base64?c2VjcmV0?']],
    [...without('mcp-name'), ['mcp-name', '=?BASE64?c2VjcmV0?=']],
    [...without('mcp-name'), ['mcp-name', ' \tsecret\t ']],
    [...without('mcp-name'), ['mcp-name', 'SECRET']],
    [...without('mcp-name'), ['mcp-name', '']],
    [...without('mcp-method'), ['mcp-method', 'Tools/Call']],
    [...without('mcp-method'), ['mcp-method', 'tools/call'], ['mcp-method', 'tools/list']],
    [...without('mcp-protocol-version'), ['mcp-protocol-version', LEGACY]],
    [...without('mcp-protocol-version'), ['mcp-protocol-version', MODERN], ['mcp-protocol-version', LEGACY]],
    [...without('mcp-protocol-version'), ['mcp-protocol-version', `${MODERN}, ${LEGACY}`]],
    [...without('mcp-protocol-version'), ['mcp-protocol-version', '2027-01-01']],
    without('mcp-protocol-version'),
    without('mcp-method'),
    without('mcp-name'),
    [JSON_TYPE, ['mcp-protocol-version', 'DRAFT-2026-v1']],
    [...mirrored, ['mcp-param-name', 'allowed']],
    [...mirrored, ['x-http-method-override', 'DELETE']],
    [...mirrored, ['x-original-url', '/session']],
    [...mirrored, ['mcp-session-id', 'of-another']],
    [...mirrored, ['last-event-id', '1']],
    [JSON_TYPE, JSON_TYPE],
    [JSON_TYPE, ['content-type', 'text/plain']],
  ];
  return sets.flatMap((headers) => [wanted, legacy].map((message) => ({
    kind: 'attack',
    note: `headers ${headers.map(([name, value]) => `${name}: ${value}`).join(' | ')}`,
    headers,
    body: Buffer.from(JSON.stringify(message)),
    session: false,
  })));
}

/** Requests as a page of another site can make a browser send them. */
function crossSite() {
  return calls().flatMap(({ message, text }) => ['https://evil.example', 'null', 'http://127.0.0.1.evil.example', 'http://localhost:1'].flatMap((origin) => [
    { kind: 'attack', note: `Origin: ${origin}`, headers: [...described(message), ['origin', origin]], body: Buffer.from(text), session: false },
    { kind: 'attack', note: `Origin: ${origin} as text/plain`, headers: [['content-type', 'text/plain'], ['origin', origin]], body: Buffer.from(text), session: false },
  ]));
}
