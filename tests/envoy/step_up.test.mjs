// A tool for which the user has to authenticate better: what is asked, of whom, and how often; and
// that real clients, which cannot do it, go on with everything else.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { CLIENTS, runSdk } from '../../examples/demo/scenarios/sdk.mjs';
import { LEGACY, MODERN, resourceUrl, startFleet } from './support.mjs';

/** Challenges that one caller is given in a row for one rule. */
const CHALLENGES = 3;

const SCOPE = 'mcp:connect docs:read docs:admin';
const RULE = { acr: ['gold', 'silver'], max_age: '5m' };

/** The demo's configuration, where deleting a document takes `stepUp`, asked for as `challenge` says. */
function steppingUp(stepUp, challenge, rest = {}) {
  return ({ issuers: { local }, servers, ...configuration }) => ({
    ...configuration,
    issuers: { local: { ...local, step_up: challenge } },
    // Without DPoP there is one challenge.
    servers: servers.map(({ dpop: _dpop, ...server }) => ({
      ...server,
      ...rest,
      tools: {
        ...server.tools,
        rules: server.tools.rules.map((rule) => (rule.names.includes('delete_doc') ? { ...rule, id: 'delete', step_up: stepUp } : rule)),
      },
    })),
  });
}

const fleet = await startFleet({
  matrix: [
    { mode: 'stream', workers: 2, name: 'RFC 9470, stream', configure: steppingUp(RULE, 'rfc9470') },
    { mode: 'hold', workers: 2, name: 'RFC 9470, hold', configure: steppingUp(RULE, 'rfc9470') },
    { mode: 'hold', workers: 1, name: 'claims', configure: steppingUp({ contexts: ['c1', 'c2'] }, 'claims') },
    { mode: 'hold', workers: 1, name: 'forbidden', configure: steppingUp({ contexts: ['c1'] }, 'claims', { denied_objects: 'forbidden' }) },
  ],
});
after(() => fleet.stop());
const [stream, hold, claims, forbidden] = fleet.stacks;

const now = () => Math.floor(Date.now() / 1000);
const metadata = (stack) => stack.urls.typescript.replace(stack.origin, `${stack.origin}/.well-known/oauth-protected-resource`);

/** Deletes a document as a user of its own, or as `sub`. */
async function remove(stack, said = {}, { era = MODERN } = {}) {
  const token = await stack.token({ scope: SCOPE, claims: { sub: randomUUID(), ...said } });
  return stack.rpc('tools/call', { name: 'delete_doc', arguments: { uri: 'docs://roadmap' } }, { token, era });
}

async function assertDenied(stack, response, status, code) {
  assert.equal(response.status, status, response.text);
  const record = await stack.recordOf(response);
  assert.deepEqual([record.outcome, record.code, record.rules], ['deny', code, ['delete']]);
}

for (const stack of [stream, hold]) {
  describe(stack.name, () => {
    for (const era of [MODERN, LEGACY]) {
      test(`rfc9470_3: the client is told what is missing, ${era}`, async () => {
        for (const said of [{}, { acr: 'bronze', auth_time: now() }, { acr: 'gold' }, { acr: 'gold', auth_time: now() - 3_600 }]) {
          const response = await remove(stack, said, { era });
          await assertDenied(stack, response, 401, 'step_up_required');
          const [challenge, ...others] = response.all('www-authenticate');
          assert.deepEqual(others, []);
          assert.ok(challenge.startsWith(`Bearer resource_metadata="${metadata(stack)}", error="insufficient_user_authentication", scope="`), challenge);
          assert.ok(challenge.includes(', acr_values="gold silver", max_age="300", error_description="'), challenge);
          assert.match(challenge, /scope="[^"]*docs:admin/);
        }
      });

      test(`who authenticated so may, ${era}`, async () => {
        const response = await remove(stack, { acr: 'silver', auth_time: now() - 60 }, { era });
        assert.equal(response.status, 200, response.text);
      });
    }

    test('a client that does not step up is told a few times, by all workers together', async () => {
      const sub = randomUUID();
      const codes = [];
      for (let call = 0; call < CHALLENGES + 2; call += 1) {
        const response = await remove(stack, { sub });
        codes.push((await stack.recordOf(response)).code);
        assert.equal(response.all('www-authenticate').length, codes.at(-1) === 'step_up_required' ? 1 : 0);
      }
      assert.deepEqual(codes, [...Array(CHALLENGES).fill('step_up_required'), 'step_up_exhausted', 'step_up_exhausted']);
      assert.equal((await remove(stack, { sub, acr: 'gold', auth_time: now() })).status, 200, 'who does may all the same');
      assert.equal((await remove(stack)).status, 401, 'others are still told');
    });

    for (const client of CLIENTS.filter(({ dpop }) => !dpop)) {
      test(`${client.client} goes on with everything else`, async () => {
        const steps = await runSdk(client, { url: resourceUrl(stack.origin, 'typescript') });
        for (const { step, outcome, value } of steps) {
          const refused = ['delete_doc', 'internal_debug'].some((name) => step.endsWith(name));
          assert.equal(outcome, refused ? 'error' : 'result', `${step}: ${JSON.stringify(value)}`);
        }
      });
    }
  });
}

describe('Microsoft Entra ID', () => {
  const asked = (response) => {
    const [, encoded] = /claims="([^"]+)"/.exec(response.header('www-authenticate'));
    return JSON.parse(Buffer.from(encoded, 'base64').toString());
  };

  test('a client that takes claims challenges is given one', async () => {
    const response = await remove(claims, { xms_cc: ['cp1'] });
    await assertDenied(claims, response, 401, 'claims_required');
    assert.match(response.header('www-authenticate'), /^Bearer [^,]+, error="insufficient_claims", /);
    assert.deepEqual(asked(response), { access_token: { acrs: { essential: true, value: 'c1' } } });
    assert.equal((await remove(claims, { xms_cc: ['cp1'], acrs: ['c2'] })).status, 200);
  });

  test('another is refused', async () => {
    for (const stack of [claims, forbidden]) {
      const response = await remove(stack);
      await assertDenied(stack, response, 403, 'step_up_required');
      assert.equal(response.header('www-authenticate'), undefined);
    }
  });
});

test('denied_objects: what no rule names is unknown, or forbidden', async () => {
  const call = async (stack, name) => {
    const token = await stack.token({ scope: SCOPE });
    return stack.rpc('tools/call', { name, arguments: {} }, { token });
  };
  const hidden = await call(claims, 'internal_debug');
  assert.deepEqual([hidden.status, hidden.json.error], [200, { code: -32602, message: 'Unknown tool: internal_debug' }]);
  const refused = await call(forbidden, 'internal_debug');
  assert.deepEqual([refused.status, refused.json], [403, { jsonrpc: '2.0', id: 1, error: { code: 403, message: 'Forbidden' } }]);
});
