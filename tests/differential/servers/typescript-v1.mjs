// The recording MCP server on the official TypeScript SDK, version 1, which many servers still
// use: see ../README.md. It takes any object by any name. Under `/express` the body is parsed by
// Express, as the SDK's guides have it.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import express from 'express';

import { record, serve, sessions, watch } from './record.mjs';

const ANSWERS = [
  [types.PingRequestSchema, {}],
  [types.ListToolsRequestSchema, { tools: [] }],
  [types.CallToolRequestSchema, { content: [] }],
  [types.ListPromptsRequestSchema, { prompts: [] }],
  [types.GetPromptRequestSchema, { messages: [] }],
  [types.ListResourcesRequestSchema, { resources: [] }],
  [types.ListResourceTemplatesRequestSchema, { resourceTemplates: [] }],
  [types.ReadResourceRequestSchema, { contents: [] }],
  [types.SubscribeRequestSchema, {}],
  [types.UnsubscribeRequestSchema, {}],
  [types.CompleteRequestSchema, { completion: { values: [] } }],
  [types.SetLevelRequestSchema, {}],
];

async function connected(options) {
  const capabilities = { tools: {}, prompts: {}, resources: { subscribe: true }, completions: {}, logging: {} };
  const server = new Server({ name: 'recording-typescript-v1', version: '1.0.0' }, { capabilities });
  for (const [schema, answer] of ANSWERS) {
    server.setRequestHandler(schema, ({ method, params }) => {
      record(method, params);
      return answer;
    });
  }
  server.fallbackRequestHandler = async ({ method, params }) => {
    record(method, params);
    return {};
  };
  server.fallbackNotificationHandler = async ({ method, params }) => record(method, params);
  server.oninitialized = () => record('notifications/initialized');
  // No public way leads to what the SDK handles itself.
  watch(server._requestHandlers, ['initialize']);
  watch(server._notificationHandlers, ['notifications/cancelled', 'notifications/progress']);
  const transport = new StreamableHTTPServerTransport(options);
  await server.connect(transport);
  return transport;
}

const stateless = async (request, response) => {
  const transport = await connected({ sessionIdGenerator: undefined });
  return transport.handleRequest(request, response, request.body);
};
const app = express();
app.use(express.json({ limit: '4mb' }));
app.post('/express', stateless);
app.use((error, _request, response, _next) => response.status(error.status ?? 500).end());

createServer(serve({
  '/stateless': stateless,
  '/express': app,
  '/session': sessions((onsessioninitialized) => connected({ sessionIdGenerator: randomUUID, onsessioninitialized })),
})).listen(Number(process.env.PORT), '127.0.0.1');
