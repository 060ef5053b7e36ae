// The official Rust SDK's server behind the filter: clients of both eras see what they see without it.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { DEMO } from '../../examples/demo/lib/paths.mjs';
import { startGate } from './gate.mjs';
import { startServers } from './servers.mjs';

const packages = createRequire(join(DEMO, 'package.json'));
const { Client, StreamableHTTPClientTransport } = await import(packages.resolve('@modelcontextprotocol/client'));

const URI = 'docs://shop/public/a';

/** Does everything once; returns what a caller of the SDK could see. */
async function visit(url, { mode, headers = {} }) {
  const client = new Client({ name: 'tests', version: '1' }, { versionNegotiation: { mode } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
  const seen = {
    version: client.getNegotiatedProtocolVersion(),
    session: transport.sessionId !== undefined,
    tools: await client.listTools(),
    call: await client.callTool({ name: 'allowed', arguments: { n: 1 } }),
    resource: await client.readResource({ uri: URI }),
    prompt: await client.getPrompt({ name: 'allowed' }),
    completion: await client.complete({ ref: { type: 'ref/prompt', name: 'allowed' }, argument: { name: 'a', value: 'b' } }),
  };
  const { sessionId } = transport;
  if (mode === 'legacy') {
    await client.ping();
    await client.setLoggingLevel('info');
    await client.subscribeResource({ uri: URI });
    await transport.terminateSession();
  }
  await client.close();
  return { seen, sessionId };
}

const directory = mkdtempSync(join(tmpdir(), 'countersign-rmcp-'));
const servers = await startServers({ directory });
const direct = servers.targets.find(({ name }) => name === 'rmcp').sessionUrl;
after(async () => {
  await servers.stop();
  rmSync(directory, { recursive: true });
});

for (const hostMode of ['stream', 'hold']) {
  describe(hostMode, () => {
    let gate;
    before(async () => {
      const own = join(directory, hostMode);
      mkdirSync(own);
      gate = await startGate({ directory: own, mode: hostMode, upstream: new URL(direct) });
    });
    after(() => gate?.stop());

    for (const [mode, version] of [['legacy', '2025-11-25'], ['auto', '2026-07-28']]) {
      test(version, async () => {
        const headers = { authorization: `Bearer ${gate.token}` };
        const expected = await visit(direct, { mode });
        assert.equal(expected.seen.version, version);
        const { seen, sessionId } = await visit(gate.url, { mode, headers });
        assert.deepEqual(seen, expected.seen);
        assert.equal(seen.session, mode === 'legacy');
        if (mode === 'legacy') {
          // A seal carries the id and the tag that binds it, so it is longer than the server's own.
          assert.ok(sessionId.length > expected.sessionId.length, 'the session is sealed');
          const again = await fetch(gate.url, {
            headers: { ...headers, accept: 'text/event-stream', 'mcp-protocol-version': version, 'mcp-session-id': expected.sessionId },
          });
          assert.equal(again.status, 404, 'the id of a session that was not given out here');
        }
      });
    }
  });
}
