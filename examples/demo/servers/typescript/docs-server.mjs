// The MCP server behind the filter, on the official TypeScript SDK. Of itself it checks nothing;
// guard.mjs may.

import { readFileSync } from 'node:fs';

import { McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

const DOCS = JSON.parse(readFileSync(new URL('../docs.json', import.meta.url), 'utf8'));

/**
 * A server for one request, which arrived with `headers` (a Fetch `Headers`); `access` is of
 * `createGuard`.
 */
export function createDocsServer(headers, access) {
  const server = guarded(new McpServer({ name: 'docs-typescript', version: '1.0.0' }), access);
  const uri = z.string().describe('URI of a document');

  server.registerTool(
    'whoami',
    { description: 'What this server was told about the caller' },
    () => text(JSON.stringify({ ...seen(headers), ...(access.token && { token: access.token }) })),
  );
  server.registerTool(
    'search_docs',
    { description: 'Documents that contain a phrase', inputSchema: z.object({ query: z.string() }) },
    ({ query }) => text(DOCS.filter((doc) => doc.text.includes(query)).map((doc) => doc.uri).join('\n')),
  );
  server.registerTool(
    'read_doc',
    { description: 'One document', inputSchema: z.object({ uri }) },
    (args) => text(find(args.uri).text),
  );
  // Says so and keeps the document: the demo wants it again.
  server.registerTool(
    'delete_doc',
    { description: 'Delete a document', inputSchema: z.object({ uri }), annotations: { destructiveHint: true } },
    (args) => text(`deleted ${find(args.uri).uri}`),
  );
  // The tool somebody forgot: no rule names it, so nobody may see or call it.
  server.registerTool(
    'internal_debug',
    { description: 'The environment of this process' },
    () => text(Object.keys(process.env).join('\n')),
  );
  server.registerPrompt(
    'summarize',
    { description: 'Ask for a summary', argsSchema: z.object({ uri }) },
    (args) => ({
      messages: [{ role: 'user', content: { type: 'text', text: `Summarize: ${find(readable(args.uri)).text}` } }],
    }),
  );
  for (const doc of DOCS) {
    server.registerResource(doc.title, doc.uri, { mimeType: 'text/plain' }, () => ({
      contents: [{ uri: readable(doc.uri), mimeType: 'text/plain', text: doc.text }],
    }));
  }
  return server;

  /** Prompts and resources are documents as well: what `read_doc` needs, they need. */
  function readable(documentUri) {
    const refusal = access.refusal('read_doc');
    if (refusal) throw new Error(refusal);
    return documentUri;
  }
}

/** The server, whose tools refuse a token that is not for them. */
function guarded(server, access) {
  const register = server.registerTool.bind(server);
  server.registerTool = (name, description, run) => {
    const refusal = access.refusal(name);
    return register(name, description, refusal ? () => ({ ...text(refusal), isError: true }) : run);
  };
  return server;
}

/** The identity headers, and whether the caller's credentials came along. Names are lowercase. */
function seen(headers) {
  return {
    headers: Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-countersign-'))),
    authorization: headers.has('authorization'),
    dpop: headers.has('dpop'),
  };
}

function find(uri) {
  const doc = DOCS.find((candidate) => candidate.uri === uri);
  if (!doc) throw new Error(`no document ${uri}`);
  return doc;
}

function text(value) {
  return { content: [{ type: 'text', text: value }] };
}
