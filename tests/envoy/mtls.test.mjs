// Tokens bound to a certificate (RFC 8705, 3), on a listener with mutual TLS and behind a proxy
// that ends TLS.

import assert from 'node:assert/strict';
import { X509Certificate, createHash } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { clientCredentials } from '../../examples/demo/lib/tokens.mjs';
import { MODES, bound, confirmation, makeProof, newKey, startFleet, whoami, withTlsServers } from './support.mjs';

const EDGE = 'spiffe://demo.example/edge';

/** The member of `cnf`. */
function digestOf({ cert }) {
  return createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url');
}

/** What Envoy writes into `x-forwarded-client-cert`. */
function forwarded({ cert }, { uri = 'spiffe://demo.example/client' } = {}) {
  const hash = createHash('sha256').update(new X509Certificate(cert).raw).digest('hex');
  return `By=${EDGE};Hash=${hash};URI=${uri}`;
}

const fleetOf = (mtls, edit) => startFleet({
  matrix: MODES,
  tls: true,
  configure: (configuration, origins) => {
    const { servers, ...rest } = withTlsServers(configuration, origins);
    return { ...rest, servers: servers.map((server) => ({ ...server, ...(server.mtls && { mtls, dpop: { mode: 'optional' } }) })) };
  },
  edit,
});

/** What every case needs at one Envoy. */
function at(stack, fleet) {
  const { certificates, tlsTokenEndpoint } = fleet.backends;
  const resource = `${stack.tlsOrigin}/typescript/mcp`;
  const tls = (name) => ({ ca: certificates.ca, ...(name && certificates.of(name)) });
  return {
    resource,
    certificates,
    tls,
    digest: (name) => digestOf(certificates.of(name)),
    /** A token with these members of `cnf`. */
    token: (cnf) => stack.token({ claims: { aud: resource, cnf } }),
    issued: (name) => clientCredentials({
      issuer: stack.issuer, client: 'demo-mtls', resource, scope: 'mcp:connect', endpoint: tlsTokenEndpoint, tls: tls(name),
    }),
    call: (token, name, headers) => whoami(stack, { token, tls: tls(name), headers }),
    refused: async (response, code) => {
      assert.equal(response.status, 401, response.text);
      assert.match(response.header('www-authenticate'), /^Bearer resource_metadata="[^"]+", error="invalid_token"/);
      assert.equal((await stack.recordOf(response)).code, code);
      await stack.assertNothingReached();
    },
  };
}

for (const mode of ['required', 'optional']) {
  describe(`the certificate of the connection, ${mode}`, async () => {
    const fleet = await fleetOf({ mode });
    after(() => fleet.stop());

    for (const stack of fleet.stacks) {
      describe(stack.name, () => {
        const { digest, token, issued, call, refused, certificates } = at(stack, fleet);
        const refuses = (name, cnf, client, code = 'mtls_certificate', headers) => test(name, async () => {
          await stack.forget();
          await refused(await call(await token(typeof cnf === 'function' ? await cnf() : cnf), client, headers), code);
        });

        test('rfc8705_3: a token of the OAuth server with its certificate, and with others', async () => {
          const bearer = await issued('client');
          for (let turn = 0; turn < 3; turn += 1) {
            const response = await call(bearer, 'client');
            assert.equal(response.status, 200, response.text);
            await stack.forget();
            await refused(await call(bearer, 'other'), 'mtls_certificate');
            await refused(await call(bearer), 'mtls_certificate');
          }
        });
        refuses('rfc8705_3_1: in hex', () => ({ 'x5t#S256': Buffer.from(digest('client'), 'base64url').toString('hex') }), 'client', 'token_confirmation');
        refuses('rfc8705_3_1: padded', () => ({ 'x5t#S256': `${digest('client')}=` }), 'client', 'token_confirmation');
        refuses('rfc8705_3_1: a number', { 'x5t#S256': 1 }, 'client', 'token_confirmation');
        refuses('rfc8705_3_1: of SHA-1', { x5t: 'AAAAAAAAAAAAAAAAAAAAAAAAAAA' }, 'client', 'token_confirmation');
        refuses('no certificate, a header that claims one', () => ({ 'x5t#S256': digest('client') }), undefined, 'mtls_certificate', [
          ['x-forwarded-client-cert', forwarded(certificates.of('client'))],
        ]);
        refuses("another's certificate, a header that claims the right one", () => ({ 'x5t#S256': digest('client') }), 'other', 'mtls_certificate', [
          ['x-forwarded-client-cert', forwarded(certificates.of('client'))],
        ]);

        test('bound to a certificate and to a key: both are checked', async () => {
          const key = await newKey('ES256');
          const both = await token({ 'x5t#S256': digest('client'), ...await confirmation(key) });
          const { resource } = at(stack, fleet);
          const proof = () => makeProof({ key, url: resource, token: both });
          const response = await call(undefined, 'client', bound(both, await proof()));
          assert.equal(response.status, 200, response.text);
          assert.equal((await call(undefined, 'other', bound(both, await proof()))).status, 401);
          assert.equal((await call(both, 'client')).status, 401);
        });
        test('not bound', async () => {
          await stack.forget();
          const response = await call(await token(undefined), 'client');
          if (mode === 'optional') assert.equal(response.status, 200, response.text);
          else await refused(response, 'token_not_sender_constrained');
        });
        test('rfc9728_2: the metadata says so', async () => {
          const response = await stack.send({
            tls: at(stack, fleet).tls(), method: 'GET', path: '/.well-known/oauth-protected-resource/typescript/mcp',
          });
          assert.equal(JSON.parse(response.text).tls_client_certificate_bound_access_tokens, true);
        });
        test('a server that checks no certificates refuses bound tokens', async () => {
          const bearer = await stack.token({ claims: { cnf: { 'x5t#S256': digest('client') } } });
          const response = await whoami(stack, { token: bearer });
          assert.equal(response.status, 401);
          assert.equal((await stack.recordOf(response)).code, 'token_sender_constrained');
        });
      });
    }
  });
}

describe('a certificate that a proxy before us forwards', async () => {
  const fleet = await fleetOf({ mode: 'required', forwarded_by: [EDGE] }, (bootstrap) => {
    // The listener with TLS is where the edge proxy comes to.
    const manager = bootstrap.static_resources.listeners.find(({ name }) => name === 'mcp_tls').filter_chains[0].filters[0].typed_config;
    manager.forward_client_cert_details = 'FORWARD_ONLY';
  });
  after(() => fleet.stop());

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      const { digest, token, call, refused, certificates } = at(stack, fleet);
      const good = () => forwarded(certificates.of('client'));
      const bearer = () => token({ 'x5t#S256': digest('client') });
      const refuses = (name, hop, lines) => test(name, async () => {
        await stack.forget();
        const headers = lines().map((value) => ['x-forwarded-client-cert', value]);
        await refused(await call(await bearer(), hop, headers), 'mtls_certificate');
      });

      test('from the proxy that is believed', async () => {
        const response = await call(await bearer(), 'edge', [['x-forwarded-client-cert', good()]]);
        assert.equal(response.status, 200, response.text);
      });
      refuses('from the client itself', 'client', () => [good()]);
      refuses('from another certificate', 'other', () => [good()]);
      refuses('from nobody', undefined, () => [good()]);
      refuses("the proxy's own certificate is not the client's", 'edge', () => []);
      refuses("another client's", 'edge', () => [forwarded(certificates.of('other'))]);
      refuses('two elements, the wrong one last', 'edge', () => [`${good()},${forwarded(certificates.of('other'))}`]);
      refuses('two elements, the right one last: who put the first one there?', 'edge', () => [`${forwarded(certificates.of('other'))},${good()}`]);
      refuses('two lines', 'edge', () => [good(), forwarded(certificates.of('other'))]);
      refuses('no hash', 'edge', () => [`By=${EDGE};URI=spiffe://demo.example/client`]);
      refuses('two hashes', 'edge', () => [`${good()};Hash=${'0'.repeat(64)}`]);
      refuses('a hash within a quoted subject', 'edge', () => {
        const [, hash] = good().split(';');
        return [`By=${EDGE};Subject="CN=x;${hash}";URI=x`];
      });
      refuses('empty', 'edge', () => ['']);
    });
  }
});
