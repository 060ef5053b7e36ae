// One MCP request, made by hand: for what a proper client would never send.

import { post } from './http.mjs';

/** The revision of requests made here: one POST is a whole conversation, `initialize` is gone. */
const REVISION = '2026-07-28';

/** Methods whose parameters name their object, and the parameter (the `Mcp-Name` header). */
const OBJECT = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' };

/**
 * Posts the JSON-RPC request `method` with `params` to the MCP server at `url`, with the
 * `Mcp-*` headers and the `_meta` of revision 2026-07-28. `headers` are added and may replace any;
 * `tls` is of `post`.
 *
 * Returns `{ status, headers, body }`: `headers` a Fetch `Headers`, `body` the parsed JSON or the text.
 */
export async function request(url, method, params = {}, headers = {}, tls = undefined) {
  const object = params[OBJECT[method]];
  const { status, headers: received, text } = await post(url, {
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': REVISION,
      'mcp-method': method,
      ...(object === undefined ? {} : { 'mcp-name': object }),
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': REVISION,
          'io.modelcontextprotocol/clientCapabilities': {},
        },
      },
    }),
    tls,
  });
  const json = received.get('content-type')?.startsWith('application/json');
  return { status, headers: received, body: json ? JSON.parse(text) : text };
}
