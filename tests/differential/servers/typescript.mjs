// The recording MCP server on the official TypeScript SDK, version 2: see ../README.md. Tools,
// prompts and resources are registered, so that the SDK finds them by its own rules.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { DEMO } from '../../../examples/demo/lib/paths.mjs';
import { record, serve, sessions, watch } from './record.mjs';

const packages = createRequire(join(DEMO, 'package.json'));
const { McpServer, ResourceTemplate, createMcpHandler } = await import(packages.resolve('@modelcontextprotocol/server'));
const { NodeStreamableHTTPServerTransport, toNodeHandler } = await import(packages.resolve('@modelcontextprotocol/node'));

const OBJECTS = JSON.parse(readFileSync(new URL('objects.json', import.meta.url), 'utf8'));

/** Methods that are about no registered object; the SDK would answer most of them itself. */
const LISTS = { 'tools/list': 'tools', 'prompts/list': 'prompts', 'resources/list': 'resources', 'resources/templates/list': 'resourceTemplates' };
const EMPTY = ['logging/setLevel', 'resources/subscribe', 'resources/unsubscribe'];

function createRecordingServer() {
  const server = new McpServer({ name: 'recording-typescript', version: '1.0.0' });
  for (const name of OBJECTS.tools) {
    server.registerTool(name, {}, () => {
      record('tools/call', { name });
      return { content: [] };
    });
  }
  for (const name of OBJECTS.prompts) {
    server.registerPrompt(name, {}, () => {
      record('prompts/get', { name });
      return { messages: [] };
    });
  }
  const read = (url) => {
    record('resources/read', { uri: url.href });
    return { contents: [] };
  };
  for (const uri of OBJECTS.resources) server.registerResource(uri, uri, {}, read);
  server.registerResource('template', new ResourceTemplate(OBJECTS.template, { list: undefined }), {}, read);

  const protocol = server.server;
  protocol.registerCapabilities({ completions: {}, logging: {}, resources: { subscribe: true } });
  const on = (method, answer) => protocol.setRequestHandler(method, ({ params }) => {
    record(method, params);
    return answer;
  });
  for (const [method, member] of Object.entries(LISTS)) on(method, { [member]: [] });
  for (const method of EMPTY) on(method, {});
  on('completion/complete', { completion: { values: [] } });
  protocol.fallbackRequestHandler = ({ method, params }) => {
    record(method, params);
    return {};
  };
  protocol.fallbackNotificationHandler = async ({ method, params }) => record(method, params);
  // No public way leads to what the SDK handles itself.
  watch(protocol._requestHandlers, ['initialize', 'ping']);
  watch(protocol._notificationHandlers, ['notifications/cancelled', 'notifications/progress']);
  const discover = protocol._ondiscover;
  protocol._ondiscover = function observedDiscover() {
    record('server/discover');
    return discover.call(this);
  };
  protocol.oninitialized = () => record('notifications/initialized');
  return server;
}

createServer(serve({
  '/stateless': toNodeHandler(createMcpHandler(createRecordingServer)),
  '/session': sessions(async (onsessioninitialized) => {
    const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized });
    await createRecordingServer().connect(transport);
    return transport;
  }),
})).listen(Number(process.env.PORT), '127.0.0.1');
