// The official TypeScript client of the revisions up to 2025-11-25 (`@modelcontextprotocol/sdk`),
// unmodified, through whatever server-everything offers.

import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';

/** How long the server may take to ask for the roots, which it does a third of a second after the start, in ms. */
const PATIENCE = 5_000;

/** A document of server-everything. */
const DOCUMENT = 'demo://resource/dynamic/text/1';

/** Streamable HTTP, with `headers` in each request to `url`. */
const streamableHttp = (url, headers) => new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });

/** The same over HTTP+SSE of 2024-11-05. */
export const httpSse = (url, headers) => new SSEClientTransport(new URL(url), { requestInit: { headers } });

/**
 * Does everything once at `url`, with `headers` in each request, over what `open` makes of them. Returns what a caller of the SDK
 * could see: `{ steps, asked, told }`, the outcome of each step by its name, the server's requests
 * and its notifications, the latter sorted. What differs by nature (session ids, times of day) is
 * replaced.
 */
export async function tour(url, headers = {}, open = streamableHttp) {
  const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
  const client = new Client({ name: 'tests', version: '1' }, { capabilities });
  const transport = open(url, headers);
  const asked = [];
  const told = [];
  const answer = (schema, result) => client.setRequestHandler(schema, ({ method, params }) => {
    asked.push({ method, message: params?.messages?.[0].content.text ?? params?.message });
    return result;
  });
  answer(CreateMessageRequestSchema, { model: 'none', role: 'assistant', content: { type: 'text', text: 'sampled' } });
  answer(ElicitRequestSchema, { action: 'accept', content: { name: 'Alice' } });
  answer(ListRootsRequestSchema, { roots: [{ uri: 'file:///root', name: 'root' }] });
  for (const schema of [LoggingMessageNotificationSchema, ResourceUpdatedNotificationSchema]) {
    client.setNotificationHandler(schema, ({ method, params }) => { told.push({ method, params }); });
  }

  const steps = {};
  const step = async (name, run) => {
    try {
      steps[name] = await run();
    } catch (error) {
      steps[name] = { error: error.name, code: error.code, message: error.message };
    }
  };
  const call = (name, given = {}, ...options) => client.callTool({ name, arguments: given }, undefined, ...options);
  const until = async (holds) => {
    for (const deadline = Date.now() + PATIENCE; !holds() && Date.now() < deadline;) await sleep(10);
  };

  await step('connect', () => client.connect(transport));
  const { sessionId, protocolVersion } = transport;
  steps.server = {
    protocolVersion, ...client.getServerVersion(), capabilities: client.getServerCapabilities(), instructions: client.getInstructions(),
  };
  // Whatever else it asks comes on the stream of a request; this comes on that of the session.
  await until(() => asked.length > 0 && told.length > 0);
  await step('ping', () => client.ping());
  await step('logging/setLevel', () => client.setLoggingLevel('debug'));
  await step('tools/list', () => client.listTools());
  await step('echo', () => call('echo', { message: 'hello \u2603 \u0000' }));
  await step('get-sum', () => call('get-sum', { a: 1, b: 2 }));
  await step('structured content', () => call('get-structured-content', { location: 'Chicago' }));
  await step('bad arguments', () => call('get-sum', { a: 'x' }));
  await step('resource links', () => call('get-resource-links', { count: 2 }));
  await step('image', () => call('get-tiny-image'));
  await step('environment', () => call('get-env').then(({ content }) => content.length));
  await step('no such tool', () => call('no-such-tool'));
  await step('sampling', () => call('trigger-sampling-request', { prompt: 'a prompt', maxTokens: 10 }));
  await step('elicitation', () => call('trigger-elicitation-request'));
  await step('roots', () => call('get-roots-list'));
  await step('progress', async () => {
    const seen = [];
    const onprogress = (progress) => seen.push(progress);
    const result = await call('trigger-long-running-operation', { duration: 0.3, steps: 3 }, { onprogress });
    return { result, seen };
  });
  await step('cancellation', async () => {
    const controller = new AbortController();
    const running = call('trigger-long-running-operation', { duration: 1, steps: 2 }, { signal: controller.signal });
    await sleep(100);
    controller.abort('enough');
    return running;
  });
  await step('many at once', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, (_, i) => call('echo', { message: `number ${i}` })));
    return results.map(({ content }) => content[0].text);
  });
  await step('resources/list', () => client.listResources());
  await step('resources/templates/list', () => client.listResourceTemplates());
  await step('resources/read', () => client.readResource({ uri: DOCUMENT }));
  await step('resources/read, blob', () => client.readResource({ uri: 'demo://resource/dynamic/blob/1' }));
  await step('resources/read, unknown', () => client.readResource({ uri: 'demo://no/such' }));
  await step('resources/subscribe', () => client.subscribeResource({ uri: DOCUMENT }));
  await step('updates on', () => call('toggle-subscriber-updates'));
  await until(() => told.some(({ method }) => method === 'notifications/resources/updated'));
  await step('updates off', () => call('toggle-subscriber-updates'));
  await step('resources/unsubscribe', () => client.unsubscribeResource({ uri: DOCUMENT }));
  await step('prompts/list', () => client.listPrompts());
  await step('prompts/get', () => client.getPrompt({ name: 'args-prompt', arguments: { city: 'Zurich' } }));
  await step('completion, prompt', () => client.complete({
    ref: { type: 'ref/prompt', name: 'completable-prompt' }, argument: { name: 'department', value: 'S' },
  }));
  await step('completion, template', () => client.complete({
    ref: { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' }, argument: { name: 'resourceId', value: '1' },
  }));
  if (sessionId) {
    await step('end of the session', () => transport.terminateSession());
    await step('after the end', () => fetch(url, {
      method: 'POST',
      headers: {
        ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream',
        'mcp-session-id': sessionId, 'mcp-protocol-version': protocolVersion,
      },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    }).then(({ status }) => status));
  }
  await client.close();
  told.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return comparable({ steps, asked, told });
}

/**
 * Does the `steps` of the demo's servers (`examples/demo/scenarios/steps.json`) at `url`; returns
 * their outcomes in order.
 */
export async function visit(url, steps, headers = {}) {
  const client = new Client({ name: 'tests', version: '1' });
  await client.connect(streamableHttp(url, headers));
  const perform = {
    'tools/list': () => client.listTools(),
    'tools/call': (params) => client.callTool(params),
    'prompts/get': (params) => client.getPrompt(params),
    'resources/read': (params) => client.readResource(params),
  };
  const outcomes = [];
  for (const { method, params } of steps) {
    outcomes.push(await perform[method](params).catch(({ code, message }) => ({ code, message })));
  }
  await client.close();
  return comparable(outcomes);
}

function comparable(value) {
  return JSON.parse(JSON.stringify(value)
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<session>')
    .replaceAll(/\d{1,2}:\d{2}:\d{2} [AP]M/g, '<time>')
    .replaceAll(/"blob":"[^"]+"/g, '"blob":"<text with a time>"'));
}
