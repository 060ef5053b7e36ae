// The examples' bootstraps are made from their configurations.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import YAML from 'yaml';

import { clusters, examples, render } from '../../render.mjs';
import { ROOT } from '../lib/paths.mjs';

for (const name of examples()) {
  test(`envoy.yaml of ${name} is what \`make examples\` writes`, () => {
    assert.equal(readFileSync(join(ROOT, 'examples', name, 'envoy.yaml'), 'utf8'), render(name));
  });

  test(`envoy.yaml of ${name} has the clusters of its configuration and no others`, () => {
    const config = readFileSync(join(ROOT, 'examples', name, 'config.json'), 'utf8');
    const named = [...config.matchAll(/"cluster": "(\w+)"/g)].map(([, cluster]) => cluster);
    const made = YAML.parse(render(name)).static_resources.clusters.map((cluster) => cluster.name);
    assert.deepEqual(made.sort(), [...new Set(['mcp_typescript', 'mcp_python', ...named])].sort());
  });
}

/** The clusters of a configuration, and the first words of what is said of each. */
function made(exchange, jwks = { uri: 'https://as.example/keys', cluster: 'as' }) {
  const text = clusters({ issuers: { as: { issuer: 'https://as.example', jwks } }, exchanges: { exchange } });
  const said = text.split(/^  - name: .*\n(?:^    .*\n)*/m).slice(0, -1).map((comment) => comment.replace(/\s*#\s*/g, ' ').trim());
  return [YAML.parse(text), said];
}

test('what is said of a cluster is what it is used for', () => {
  const keys = /^The filter fetches the issuer's keys/;
  const [, [both]] = made({ profile: 'token_exchange', uri: 'https://as.example/token', cluster: 'as' });
  assert.match(both, keys);
  assert.match(both, /It also sends callers' tokens and its own credentials through/);
  const [, [, alone]] = made({ profile: 'client_credentials', uri: 'https://other.example/token', cluster: 'other' });
  assert.match(alone, /^The filter sends its own credentials through/);
  const [, [fetched, , last]] = made({
    profile: 'identity_chaining', uri: 'https://first.example', cluster: 'first', then: { uri: 'https://last.example', cluster: 'last' },
  });
  assert.match(fetched, keys);
  assert.doesNotMatch(fetched, /sends/);
  assert.match(last, /^The filter sends assertions about callers and its own credentials through/);
  assert.equal(made({ profile: 'injected' })[1].length, 1);
});

test('a URL without a port has that of its scheme', () => {
  const portOf = (uri) => {
    const [[cluster]] = made({ profile: 'injected' }, { uri, cluster: 'as' });
    return cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value;
  };
  assert.deepEqual(['http://127.0.0.1/keys', 'http://127.0.0.1:9000/keys', 'https://as.example/keys'].map(portOf), [80, 9000, 443]);
});
