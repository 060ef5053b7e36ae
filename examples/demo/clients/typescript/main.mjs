// The official TypeScript MCP client, unmodified, through ../../scenarios/steps.json:
//
//   node main.mjs URL          revisions up to 2025-11-25 (the SDK's default)
//   MODE=auto node main.mjs URL    2026-07-28 where the server has it
//   DPOP=ES256 node main.mjs URL   tokens bound to a key of this algorithm (RFC 9449)
//
// It starts knowing the URL and nothing else. Prints one JSON line per step:
//   { step, outcome: "result" | "error", value, exchanges }
// where `exchanges` are the HTTP requests the SDK made meanwhile:
//   { request, message?, status, decision?, challenge? }
// `message` is the MCP method with its object, `decision` the filter's decision id and
// `challenge` the WWW-Authenticate header.

import { readFileSync } from 'node:fs';

import { Client, DpopSession, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

import { HeadlessOAuth } from './oauth.mjs';

const url = new URL(process.argv[2]);
const mode = process.env.MODE ?? 'legacy';
const steps = JSON.parse(readFileSync(new URL('../../scenarios/steps.json', import.meta.url), 'utf8'));

let exchanges = [];
const authProvider = new HeadlessOAuth(process.env.DPOP && await DpopSession.create({ alg: process.env.DPOP }));
let transport;
const client = await report('connect', connect);
for (const { method, params } of steps) {
  await report(label({ method, params }), () => withAuthorization(() => perform(method, params)));
}
await client.close();

/** Runs one step, prints its line, and returns what the step returned. */
async function report(step, run) {
  exchanges = [];
  try {
    const result = await run();
    print({ step, outcome: 'result', value: summary(result), exchanges });
    return result;
  } catch (error) {
    print({ step, outcome: 'error', value: { code: error.code, message: error.message }, exchanges });
    if (step === 'connect') process.exit(1);
    return undefined;
  }
}

function connect() {
  return withAuthorization(async () => {
    // A transport serves one connection attempt; what was learned is in `authProvider`.
    transport = new StreamableHTTPClientTransport(url, {
      authProvider,
      fetch: observedFetch,
      // Every request claims to be somebody else.
      requestInit: { headers: { 'x-countersign-subject': 'mallory' } },
    });
    const connecting = new Client(
      { name: 'countersign-demo-typescript', version: '1.0.0' },
      { versionNegotiation: { mode } },
    );
    await connecting.connect(transport);
    return connecting;
  });
}

/** The SDK sends the person to the browser and gives up the call; it is made again afterwards. */
async function withAuthorization(run) {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(authProvider.callback);
    return run();
  }
}

function perform(method, params) {
  switch (method) {
    case 'tools/list': return client.listTools();
    case 'tools/call': return client.callTool(params);
    case 'prompts/get': return client.getPrompt(params);
    case 'resources/read': return client.readResource(params);
    default: throw new Error(`no such step: ${method}`);
  }
}

/** The part of a result that the demo compares. */
function summary(result) {
  if (result instanceof Client) return result.getNegotiatedProtocolVersion();
  if (result.tools) return result.tools.map((tool) => tool.name).sort();
  if (result.content) return result.content.map((part) => part.text).join('\n');
  if (result.messages) return result.messages.map((message) => message.content.text).join('\n');
  return result.contents.map((part) => part.text).join('\n');
}

async function observedFetch(input, init) {
  const response = await fetch(input, init);
  const target = new URL(input);
  const message = target.pathname === url.pathname && init?.body ? label(JSON.parse(init.body)) : undefined;
  exchanges.push({
    request: `${init?.method ?? 'GET'} ${target.pathname}`,
    message,
    status: response.status,
    decision: response.headers.get('x-countersign-decision-id') ?? undefined,
    challenge: response.headers.get('www-authenticate') ?? undefined,
  });
  return response;
}

function label({ method, params }) {
  return [method, params?.name ?? params?.uri].filter(Boolean).join(' ');
}

function print(line) {
  console.log(JSON.stringify(line));
}
