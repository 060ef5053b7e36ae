// The checked-in bootstraps can be moved to other ports without leaving a trace of the old ones.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { renderBootstrap } from '../lib/envoy.mjs';
import { BOOTSTRAPS } from '../lib/paths.mjs';

for (const [mode, file] of Object.entries(BOOTSTRAPS)) {
  test(`envoy.${mode}.yaml can be moved`, () => {
    const rendered = renderBootstrap(readFileSync(file, 'utf8'), {
      ports: { mcp: 1, admin: 2, mcp_typescript: 3, mcp_python: 4, idp: 5 },
      origins: [['http://127.0.0.1:10000', 'http://127.0.0.1:1'], ['http://127.0.0.1:9000', 'http://127.0.0.1:5']],
      wasm: '/filter.wasm',
      accessLog: '/audit.jsonl',
      configure: (configuration) => ({ ...configuration, issuers: { local: { ...configuration.issuers.local, algorithms: ['EdDSA'] } } }),
      edit: (bootstrap) => { bootstrap.node = { id: 'edited' }; },
    });
    const text = JSON.stringify(rendered);
    for (const old of ['10000', '9901', ':9000', '"port_value":3001', '"port_value":3002', '/dev/stdout', 'target/wasm32']) {
      assert.ok(!text.includes(old), `${old} is left`);
    }
    const { listeners: [listener], clusters } = rendered.static_resources;
    assert.equal(listener.address.socket_address.port_value, 1);
    assert.equal(rendered.admin.address.socket_address.port_value, 2);
    const ports = clusters.map(({ name, load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint }] }] } }) => (
      [name, endpoint.address.socket_address.port_value]));
    assert.deepEqual(Object.fromEntries(ports), { mcp_typescript: 3, mcp_python: 4, idp: 5 });
    const { config } = listener.filter_chains[0].filters[0].typed_config.http_filters[0].typed_config;
    const configuration = JSON.parse(config.configuration.value);
    assert.equal(configuration.host_mode, mode);
    assert.deepEqual(configuration.issuers.local.algorithms, ['EdDSA']);
    assert.equal(configuration.servers[0].resource, 'http://127.0.0.1:1/typescript/mcp');
    assert.equal(rendered.node.id, 'edited');
  });
}
