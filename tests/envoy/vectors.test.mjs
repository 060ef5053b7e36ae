// Published test vectors, verified by the cryptography of a real Envoy, and by the module as Envoy
// runs it. The unit tests, which have neither, wrote them down with what is expected.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';

import { startEnvoy } from '../../examples/demo/lib/envoy.mjs';
import { ROOT, freePorts } from './support.mjs';

/** The filter that takes vectors for a configuration (`--features test-faults`). */
const FAULTY = join(ROOT, 'target/faults/wasm32-wasip1/release/countersign.wasm');

/**
 * All suites: `{ name, vectors, verify, invalid, refusals, by_host }`. `verify` has the ids of those
 * that do, `by_host` says for how many the host is asked.
 */
const SUITES = JSON.parse(readFileSync(join(ROOT, 'target/vectors.json'), 'utf8'));

/** Suites for one Envoy, which has to start within a minute: they are run before it is ready. */
const AT_ONCE = 9;

const REPORT = /countersign: test vectors: (\{.*\})$/;

/** Starts an Envoy with a filter for each suite and returns what they report. */
async function run(suites) {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-'));
  try {
    const [port] = await freePorts(1);
    const envoy = await startEnvoy({
      mode: 'hold', port, directory, wasm: FAULTY, edit: (bootstrap) => configure(bootstrap, suites),
      // Nothing is behind it: no request is sent.
      backends: { ports: {}, issuer: 'http://127.0.0.1:9' },
    });
    await envoy.stop();
    const lines = readFileSync(envoy.log, 'utf8').split('\n');
    return lines.map((line) => line.match(REPORT)).filter(Boolean).map(([, report]) => JSON.parse(report));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function configure(bootstrap, suites) {
  const [manager] = bootstrap.static_resources.listeners[0].filter_chains[0].filters;
  const [filter, ...others] = manager.typed_config.http_filters;
  const filters = suites.map(({ name, vectors }) => {
    const copy = structuredClone(filter);
    copy.name = name;
    copy.typed_config.config.configuration.value = JSON.stringify({ name, test_vectors: vectors });
    return copy;
  });
  manager.typed_config.http_filters = [...filters, ...others];
}

describe('published test vectors', () => {
  const reports = [];
  before(async () => {
    for (let from = 0; from < SUITES.length; from += AT_ONCE) {
      reports.push(...await run(SUITES.slice(from, from + AT_ONCE)));
    }
  });

  for (const { name, vectors, verify, invalid, refusals, by_host: byHost } of SUITES) {
    test(name, (context) => {
      // One of each VM: Envoy tries a configuration before it gives it to a worker.
      const own = reports.filter(({ suite }) => suite === name);
      assert.ok(own.length > 0, 'not run');
      for (const report of own) {
        assert.ok(report.host_verifies, 'Envoy has no verify_signature');
        assert.deepEqual(report.native, verify, 'native');
        assert.deepEqual(report.module, verify, 'module');
      }
      const { length } = vectors;
      context.diagnostic(`vectors: ${name} in Envoy: ${length} cases, ${verify.length} valid, ${invalid} invalid, `
        + `${refusals}; module ${length} as expected, native ${length} as expected (${byHost} by the host)`);
    });
  }
});
