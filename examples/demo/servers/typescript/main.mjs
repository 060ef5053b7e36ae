// Starts the TypeScript MCP server with its tap. Environment:
//   PORT      loopback port of the MCP endpoint /mcp, default 3001
//   TAP_PORT  loopback port of the tap (see tap.mjs), default 3011
//   CRM       1: also the tools of crm-tools.mjs
//   TOKEN_... whose tokens it takes, see guard.mjs; default: it asks for none
// Both protocol eras are served; clients before 2026-07-28 get their answers as SSE.

import { createServer } from 'node:http';

import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler } from '@modelcontextprotocol/server';

import { registerCrmTools } from './crm-tools.mjs';
import { createDocsServer } from './docs-server.mjs';
import { createGuard } from './guard.mjs';
import { createTap } from './tap.mjs';

const port = Number(process.env.PORT ?? 3001);
const tapPort = Number(process.env.TAP_PORT ?? 3011);

const guard = createGuard(process.env);
const mcp = toNodeHandler(createMcpHandler(({ requestInfo, authInfo }) => {
  const docs = createDocsServer(requestInfo.headers, guard.access(authInfo?.extra));
  if (process.env.CRM) registerCrmTools(docs);
  return docs;
}));
const server = createServer(async (request, response) => {
  if (request.url.split('?', 1)[0] !== '/mcp') return response.writeHead(404).end();
  try {
    request.auth = { extra: await guard.verify(request) };
  } catch (error) {
    console.log(`401: ${error.message}`);
    // RFC 6750, 3.
    return response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end();
  }
  return mcp(request, response);
});

// Never closes a connection on which Envoy may be sending the next call: nobody makes a call twice.
server.keepAliveTimeout = 0;

createTap(server).listen(tapPort, '127.0.0.1', () => console.log(`tap on http://127.0.0.1:${tapPort}/requests`));
server.listen(port, '127.0.0.1', () => console.log(`MCP on http://127.0.0.1:${port}/mcp`));
process.once('SIGTERM', () => process.exit());
