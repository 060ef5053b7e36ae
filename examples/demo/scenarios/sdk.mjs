// The official SDK clients, each in both protocol eras, through steps.json.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { DEMO, NODE, PYTHON } from '../lib/paths.mjs';

/** Longest run of one client, in ms; it takes two seconds. */
const LIMIT = 60_000;

/** How much of what a client wrote to standard error is shown, in characters. */
const LAST_WORDS = 500;

const TYPESCRIPT = { command: NODE, script: 'clients/typescript/main.mjs' };
const PYTHON_SDK = { command: PYTHON, script: 'clients/python/main.py' };
const LEGACY = { mode: 'legacy', revision: '2025-11-25' };
const MODERN = { mode: 'auto', revision: '2026-07-28' };

export const CLIENTS = [
  { client: 'TypeScript SDK, 2025-11-25', ...TYPESCRIPT, ...LEGACY },
  { client: 'TypeScript SDK, 2026-07-28', ...TYPESCRIPT, ...MODERN },
  { client: 'TypeScript SDK, 2025-11-25, DPoP', ...TYPESCRIPT, ...LEGACY, dpop: 'EdDSA' },
  { client: 'TypeScript SDK, 2026-07-28, DPoP', ...TYPESCRIPT, ...MODERN, dpop: 'ES256' },
  { client: 'Python SDK, 2025-11-25', ...PYTHON_SDK, ...LEGACY },
  { client: 'Python SDK, 2026-07-28', ...PYTHON_SDK, ...MODERN },
];

/** What each step comes to (see check.mjs): the person starts with no scope and gains two. */
const EXPECTED = [
  { statuses: [401, 200], challenge: { scope: 'mcp:connect' } },
  { value: ['whoami'] },
  { subject: 'alice' },
  { statuses: [403, 200], challenge: { error: 'insufficient_scope', scope: 'docs:read' }, value: 'docs://runbook' },
  { value: ['read_doc', 'search_docs', 'whoami'] },
  { statuses: [403, 200], challenge: { error: 'insufficient_scope', scope: 'docs:admin' }, value: 'deleted docs://roadmap' },
  { outcome: 'error', code: -32602 },
  { value: 'Summarize: Keep calm, read the audit record, then act.' },
  { value: 'Ask before you delete.' },
  { value: ['delete_doc', 'read_doc', 'search_docs', 'whoami'] },
];

/**
 * Runs one of `CLIENTS` against `url`, where proofs need a nonce if `nonce` says so; returns its
 * steps, each with its `expected`. Steps that a client did not come to have the outcome "missing"
 * and its last words as their value.
 */
export async function runSdk({ client, command, script, mode, revision, dpop }, { url, nonce }) {
  const options = { env: { ...process.env, MODE: mode, ...(dpop && { DPOP: dpop }) }, timeout: LIMIT };
  const { stdout, stderr } = await promisify(execFile)(command, [join(DEMO, script), url], options)
    .catch((error) => error);
  const steps = stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const missing = { step: '(not reached)', outcome: 'missing', value: stderr.slice(-LAST_WORDS), exchanges: [] };
  return EXPECTED.map((expected, index) => ({
    ...steps[index] ?? missing,
    client,
    expected: index > 0 ? expected : {
      ...expected,
      value: revision,
      // The nonce that the second answer brings is that of all further proofs.
      ...(dpop && nonce && { statuses: [401, 401, 200] }),
    },
  }));
}
