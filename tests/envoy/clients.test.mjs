// Real clients of both eras, in front of real servers: what they see through the filter is what they
// see without it, except what policy refuses. Each runs twice, directly and through Envoy.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { CLIENTS, runSdk } from '../../examples/demo/scenarios/sdk.mjs';
import { NODE } from '../../examples/demo/lib/paths.mjs';
import { startProcess } from '../../examples/demo/lib/process.mjs';
import { MODES, ROOT, freePorts, resourceUrl, startFleet } from './support.mjs';
import { tour, visit } from '../clients/sdk-v1.mjs';

const PACKAGES = join(ROOT, 'tests/clients/node_modules/@modelcontextprotocol');
const STEPS = JSON.parse(readFileSync(join(ROOT, 'examples/demo/scenarios/steps.json'), 'utf8'));

/** A tool of server-everything that no rule names; a tool and resources that need a scope nobody here has. */
const UNNAMED = 'get-env';
const SCOPED = 'get-tiny-image';
const SCOPED_URIS = 'demo://resource/dynamic/blob/';

const directory = mkdtempSync(join(tmpdir(), 'countersign-clients-'));
const [everythingPort] = await freePorts(1);
const everything = await startProcess({
  name: 'everything',
  command: NODE,
  args: ['--import', join(ROOT, 'tests/clients/loopback.mjs'), join(PACKAGES, 'server-everything/dist/index.js'), 'streamableHttp'],
  env: { PORT: everythingPort },
  logFile: join(directory, 'everything.log'),
  ready: `http://127.0.0.1:${everythingPort}/`,
});
const fleet = await startFleet({ matrix: MODES, configure: withEverything, edit: routeEverything });
after(async () => {
  await fleet.stop();
  await everything.stop();
  rmSync(directory, { recursive: true });
});

const direct = {
  everything: `http://127.0.0.1:${everythingPort}/mcp`,
  typescript: `http://127.0.0.1:${fleet.backends.ports.mcp_typescript}/mcp`,
  python: `http://127.0.0.1:${fleet.backends.ports.mcp_python}/mcp`,
};
const through = (stack, server) => resourceUrl(stack.origin, server);
const SCOPES = 'mcp:connect docs:read docs:admin';
const bearer = async (stack, server) => ({
  authorization: `Bearer ${await stack.token({ scope: SCOPES, claims: { aud: through(stack, server) } })}`,
});

describe('TypeScript SDK 1.x at server-everything: sessions, both directions, every feature', () => {
  let expected;
  before(async () => {
    expected = await tour(direct.everything);
    assert.ok(expected.steps.environment > 0, 'the tour is told the environment');
    assert.deepEqual(expected.asked.map(({ method }) => method), ['roots/list', 'sampling/createMessage', 'elicitation/create']);
    assert.ok(expected.told.some(({ method }) => method === 'notifications/resources/updated'));
  });
  for (const stack of fleet.stacks) {
    test(stack.name, async () => {
      const { steps, asked, told } = await tour(through(stack, 'everything'), await bearer(stack, 'everything'));
      // What policy refuses, as the client shows it.
      const refused = { image: 403, 'resources/read, blob': 403, environment: -32602, 'no such tool': -32602 };
      for (const [name, code] of Object.entries(refused)) assert.equal(steps[name].code, code, steps[name].message);
      for (const [name, outcome] of Object.entries(expected.steps)) {
        if (!(name in refused)) assert.deepEqual(withoutTasks(steps[name]), withoutTasks(visible(outcome)), name);
      }
      assert.deepEqual(asked, expected.asked);
      assert.deepEqual(told, expected.told);
    });
  }
});

describe('TypeScript SDK 1.x at the servers of the demo', () => {
  for (const server of ['typescript', 'python']) {
    for (const stack of fleet.stacks) {
      test(`${stack.name}, ${server}`, async () => {
        const expected = await visit(direct[server], STEPS);
        const seen = await visit(through(stack, server), STEPS, await bearer(stack, server));
        for (const [index, { method, params }] of STEPS.entries()) {
          if (params?.name === 'internal_debug') {
            assert.equal(seen[index].code, -32602);
          } else if (params?.name === 'whoami') {
            assert.equal(JSON.parse(seen[index].content[0].text).headers['x-countersign-subject'], 'alice');
          } else if (method === 'tools/list') {
            assert.deepEqual(seen[index], visible(expected[index]));
          } else {
            assert.deepEqual(seen[index], expected[index]);
          }
        }
      });
    }
  }
});

// Through Envoy they log in and ask for scopes as they need them; see the demo for how.
describe('TypeScript SDK 2.x and Python SDK at the servers of the demo, both eras', () => {
  for (const client of CLIENTS.filter(({ dpop }) => !dpop)) {
    for (const server of ['typescript', 'python']) {
      test(`${client.client}, ${server}`, async () => {
        const urls = [direct[server], ...fleet.stacks.map((stack) => through(stack, server))];
        const [expected, ...seen] = await Promise.all(urls.map((url) => runSdk(client, { url })));
        for (const steps of seen) {
          for (const [index, { step, outcome, value }] of steps.entries()) {
            const without = expected[index];
            assert.equal(step, without.step);
            if (step.endsWith('internal_debug')) {
              assert.deepEqual([outcome, value.code], ['error', -32602]);
            } else if (step.endsWith('whoami')) {
              assert.equal(JSON.parse(value).headers['x-countersign-subject'], 'alice');
            } else if (step === 'tools/list') {
              assert.equal(outcome, 'result');
              assert.ok(value.every((name) => without.value.includes(name)) && !value.includes('internal_debug'), value);
            } else {
              assert.deepEqual([outcome, value], [without.outcome, without.value], step);
            }
          }
        }
      });
    }
  }
});

describe("Inspector's command line", () => {
  const inspector = async (url, headers, args) => {
    const given = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
    const { stdout, stderr, code } = await promisify(execFile)(NODE, [
      join(PACKAGES, 'inspector/clients/launcher/build/index.js'), '--cli', url, '--transport', 'http', ...args, ...given,
      // It keeps tokens and a catalogue at home.
    ], { env: { ...process.env, HOME: directory }, timeout: 60_000 }).catch((error) => error);
    return { code: code ?? 0, stderr, output: stdout };
  };
  const runs = {
    'tools/list': ['everything', ['--method', 'tools/list']],
    'tools/call': ['everything', ['--method', 'tools/call', '--tool-name', 'echo', '--tool-arg', 'message=hi']],
    'resources/list': ['everything', ['--method', 'resources/list']],
    'prompts/get': ['everything', ['--method', 'prompts/get', '--prompt-name', 'args-prompt', '--prompt-args', 'city=Zurich']],
    'tools/list, 2026-07-28': ['typescript', ['--method', 'tools/list', '--protocol-era', 'modern']],
    'tools/call, 2026-07-28': ['typescript', [
      '--method', 'tools/call', '--tool-name', 'search_docs', '--tool-arg', 'query=audit', '--protocol-era', 'modern',
    ]],
  };
  for (const [name, [server, args]] of Object.entries(runs)) {
    test(name, async () => {
      const [expected, ...seen] = await Promise.all([
        inspector(direct[server], {}, args),
        ...fleet.stacks.map(async (stack) => inspector(through(stack, server), await bearer(stack, server), args)),
      ]);
      assert.equal(expected.code, 0, expected.stderr);
      const wanted = visible(JSON.parse(expected.output));
      for (const { code, output, stderr } of seen) {
        assert.equal(code, 0, stderr);
        assert.deepEqual(JSON.parse(output), wanted);
      }
    });
  }

  test('what is refused', async () => {
    // It looks for a tool in the list first.
    for (const [args, shown] of [
      [['tools/call', '--tool-name', UNNAMED], /not found/], [['resources/read', '--uri', `${SCOPED_URIS}1`], /images:read|scope/],
    ]) {
      const [stack] = fleet.stacks;
      const url = through(stack, 'everything');
      const { code, stderr, output } = await inspector(url, await bearer(stack, 'everything'), ['--method', ...args]);
      assert.notEqual(code, 0, output);
      assert.match(stderr + output, shown);
    }
  });
});

/** A list without what policy hides; anything else as it is. */
function visible(result) {
  const hidden = ({ name, uriTemplate }) => [UNNAMED, SCOPED, 'internal_debug'].includes(name) || uriTemplate?.startsWith(SCOPED_URIS);
  const lists = ['tools', 'resourceTemplates'].filter((list) => Array.isArray(result?.[list]));
  if (lists.length === 0) return result;
  return { ...result, ...Object.fromEntries(lists.map((list) => [list, result[list].filter((entry) => !hidden(entry))])) };
}

/** The filter's configuration with one more server, whose every feature is allowed but tasks. */
function withEverything(configuration, { origin }) {
  const [{ dpop: _dpop, ...server }] = configuration.servers;
  const tools = [
    // Every `get-` but that of the environment.
    { names: ['echo', 'get-a*', 'get-r*', 'get-s*', 'gzip-*', 'simulate-*', 'toggle-*', 'trigger-*'], scopes: ['mcp:connect'] },
    { names: [SCOPED], scopes: ['images:read'] },
  ];
  configuration.servers.push({
    ...server,
    resource: resourceUrl(origin, 'everything'),
    methods: { allow: [...server.methods.allow, 'logging/setLevel'] },
    tools: { rules: tools },
    prompts: { rules: [{ names: ['*'], scopes: ['mcp:connect'] }] },
    resources: { rules: [{ uris: ['demo://*'], scopes: ['mcp:connect'] }, { uris: [`${SCOPED_URIS}*`], scopes: ['images:read'] }] },
  });
  return configuration;
}

/** A bootstrap with the way to it, like that to the TypeScript server. */
function routeEverything({ static_resources: { listeners: [{ filter_chains: [{ filters: [{ typed_config: manager }] }] }], clusters } }) {
  const copy = (value) => JSON.parse(JSON.stringify(value).replaceAll('typescript', 'everything'));
  const { routes } = manager.route_config.virtual_hosts[0];
  routes.push(...copy(routes.filter(({ match }) => match.path === '/typescript/mcp')));
  const cluster = copy(clusters.find(({ name }) => name === 'mcp_typescript'));
  cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value = everythingPort;
  clusters.push(cluster);
}

/** Tasks are not in this policy, so they need not be announced. */
function withoutTasks(outcome) {
  if (!outcome?.capabilities) return outcome;
  const { tasks: _tasks, ...capabilities } = outcome.capabilities;
  return { ...outcome, capabilities };
}
