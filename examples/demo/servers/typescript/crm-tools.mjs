// Tools of a customer database, for the examples of policies. They say what they would do.

import { z } from 'zod';

const id = z.string().describe('Id of a record');

/** Adds them to an MCP server of the TypeScript SDK. */
export function registerCrmTools(server) {
  server.registerTool(
    'readContacts',
    { description: 'Contacts that contain a phrase', inputSchema: z.object({ query: z.string() }), annotations: { readOnlyHint: true } },
    ({ query }) => said(`contacts with ${query}`),
  );
  server.registerTool(
    'sendEmail',
    { description: 'Send an e-mail to a contact', inputSchema: z.object({ to: z.string(), text: z.string() }) },
    ({ to }) => said(`sent to ${to}`),
  );
  server.registerTool(
    'deleteRecord',
    { description: 'Delete a record', inputSchema: z.object({ id }), annotations: { destructiveHint: true } },
    (args) => said(`deleted ${args.id}`),
  );
}

function said(text) {
  return { content: [{ type: 'text', text }] };
}
