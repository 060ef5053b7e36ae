// Workloads on a real Envoy: by certificates of a listener with TLS, and by JWT-SVIDs that are made
// here and verified by a bundle that is fetched (SPIFFE JWT-SVID).

import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { MODES, sleep, startFleet, startStub, whoami, withTlsServers } from './support.mjs';

const DOMAIN = 'demo.example';
const HEADER = 'x-jwt-svid';

/** The SPIFFE ID in the certificate of that name. */
const idOf = (name) => `spiffe://${DOMAIN}/${name}`;

/** The shortest time between two fetches of a bundle, in ms, and a little. */
const DEBOUNCE = 10_500;

/** How long a bundle is used without asking again (the shortest the configuration takes), in ms. */
const REFRESH = 30_000;

/** How late a worker may be, in ms: the time between two of its ticks, and the fetch. */
const SLACK = 3_000;

/** How `node:crypto` signs for an algorithm of JWT-SVIDs; DER would be no JWS. */
const SIGNERS = {
  ES256: { type: 'ec', key: { namedCurve: 'P-256' }, digest: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  ES384: { type: 'ec', key: { namedCurve: 'P-384' }, digest: 'sha384', options: { dsaEncoding: 'ieee-p1363' } },
  RS256: { type: 'rsa', key: { modulusLength: 2048 }, digest: 'sha256', options: {} },
  PS256: {
    type: 'rsa',
    key: { modulusLength: 2048 },
    digest: 'sha256',
    options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
  },
};

/** A key of a trust domain; `jwk` is as a bundle has it. SPIRE names no `alg`, and RSA is RS256. */
function newKey(alg, kid) {
  const { publicKey, privateKey } = generateKeyPairSync(SIGNERS[alg].type, SIGNERS[alg].key);
  const named = alg === 'PS256' ? { alg } : {};
  return { alg, kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'jwt-svid', ...named } };
}

/** A JWT-SVID; `claims` and `header` replace or, as undefined, remove. */
function mint(key, audience, { claims = {}, header = {} } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const payload = { sub: idOf('client'), aud: [audience], iat: now, exp: now + 300, ...claims };
  const input = `${encode({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header })}.${encode(payload)}`;
  const { digest, options } = SIGNERS[key.alg];
  return `${input}.${signBytes(digest, Buffer.from(input), { key: key.privateKey, ...options }).toString('base64url')}`;
}

/** A bundle endpoint; `keys` and `status` may change. */
async function startBundle(...keys) {
  const state = { keys, status: 200, fetches: 0 };
  const stub = await startStub((_request, response) => {
    state.fetches += 1;
    // As SPIRE has it: with what is for certificates.
    const forCertificates = { kty: 'EC', crv: 'P-256', use: 'x509-svid', x5c: ['AA'] };
    const body = { keys: [forCertificates, ...state.keys.map(({ jwk }) => jwk)], spiffe_sequence: state.fetches };
    response.writeHead(state.status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  return Object.assign(state, stub);
}

/** Envoys that know the workloads of the trust domain with that bundle, each with a listener with TLS. */
const fleetOf = (bundle, { matrix = MODES, audiences = [] } = {}) => startFleet({
  matrix,
  tls: true,
  configure: (configuration, origins) => {
    const { servers, ...rest } = withTlsServers(configuration, origins);
    return {
      ...rest,
      servers: servers.map((server) => ({ ...server, ...(server.mtls && { mtls: { mode: 'optional' } }) })),
      workload_identity: {
        trust_domains: {
          [DOMAIN]: { bundle: { uri: `http://127.0.0.1:${bundle.port}/`, cluster: 'spire', refresh: `${REFRESH / 1000}s` } },
        },
        jwt_svid_header: HEADER,
        audiences,
      },
    };
  },
  edit: (bootstrap) => {
    const { clusters } = bootstrap.static_resources;
    const cluster = structuredClone(clusters.find(({ name }) => name === 'idp'));
    cluster.name = 'spire';
    cluster.load_assignment.cluster_name = 'spire';
    cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value = bundle.port;
    clusters.push(cluster);
  },
});

/** What every case needs at one Envoy. */
function at(stack, fleet) {
  const { certificates } = fleet.backends;
  return {
    resource: stack.urls.typescript,
    /** Sends these JWT-SVIDs, a header line each. */
    call: (...svids) => whoami(stack, { headers: svids.map((svid) => [HEADER, svid]) }),
    /** The same on a connection with TLS, and with a certificate if one is named. */
    tlsCall: async (certificate, ...svids) => whoami(stack, {
      tls: { ca: certificates.ca, ...(certificate && certificates.of(certificate)) },
      token: await stack.token({ claims: { aud: `${stack.tlsOrigin}/typescript/mcp` } }),
      headers: svids.map((svid) => [HEADER, svid]),
    }),
    tlsResource: `${stack.tlsOrigin}/typescript/mcp`,
    known: async (response, id) => {
      assert.equal(response.status, 200, response.text);
      assert.equal((await stack.recordOf(response)).workload, id);
    },
    refused: async (response, code, status = 401) => {
      assert.equal(response.status, status, response.text);
      assert.equal((await stack.recordOf(response)).code, code);
      if (status === 401) assert.match(response.header('www-authenticate'), /error="invalid_token"/);
      await stack.assertNothingReached();
    },
  };
}

describe('workloads', async () => {
  const keys = Object.keys(SIGNERS).map((alg) => newKey(alg, alg));
  const [key] = keys;
  const bundle = await startBundle(...keys);
  const fleet = await fleetOf(bundle, { audiences: [idOf('gateway')] });
  after(async () => {
    await fleet.stop();
    await bundle.stop();
  });

  for (const stack of fleet.stacks) {
    describe(stack.name, () => {
      const { resource, tlsResource, call, tlsCall, known, refused } = at(stack, fleet);
      const refuses = (name, change, code) => test(name, async () => {
        await stack.forget();
        await refused(await call(mint(change.key ?? key, resource, change)), code);
      });

      for (const signer of keys) {
        test(`jwt_svid_2_1: ${signer.alg}`, async () => {
          const svid = mint(signer, resource);
          for (let turn = 0; turn < 3; turn += 1) await known(await call(svid), idOf('client'));
        });
      }
      for (const typ of ['JOSE', undefined]) {
        test(`jwt_svid_2_3: typ ${typ}`, async () => known(await call(mint(key, resource, { header: { typ } })), idOf('client')));
      }
      test('for an audience of all servers', async () => known(await call(mint(key, idOf('gateway'))), idOf('client')));
      test('none', async () => known(await call(), undefined));
      test('the MCP server does not see it', async () => {
        await stack.forget();
        const svid = mint(key, resource);
        await known(await call(svid), idOf('client'));
        const [{ headers }] = await stack.reached();
        assert.ok(!JSON.stringify(headers).includes(HEADER) && !JSON.stringify(headers).includes(svid), JSON.stringify(headers));
      });

      refuses('jwt_svid_2_1: HS256', { header: { alg: 'HS256' } }, 'svid_algorithm');
      refuses('jwt_svid_2_1: none', { header: { alg: 'none' } }, 'svid_algorithm');
      refuses('jwt_svid_2_1: EdDSA', { header: { alg: 'EdDSA' } }, 'svid_algorithm');
      refuses("jwt_svid_2_1: not the key's", { header: { alg: 'ES384' } }, 'svid_algorithm');
      refuses('jwt_svid_2_2: no kid', { header: { kid: undefined } }, 'svid_key');
      refuses('jwt_svid_2_2: an unknown kid', { header: { kid: 'other' } }, 'svid_key');
      refuses('jwt_svid_2_3: an access token', { header: { typ: 'at+jwt' } }, 'svid_type');
      refuses('jwt_svid_3_1: no subject', { claims: { sub: undefined } }, 'svid_subject');
      refuses('jwt_svid_3_1: not a SPIFFE ID', { claims: { sub: 'alice' } }, 'svid_subject');
      refuses('jwt_svid_3_1: a trust domain is no workload', { claims: { sub: `spiffe://${DOMAIN}` } }, 'svid_subject');
      refuses('jwt_svid_3_1: another trust domain', { claims: { sub: 'spiffe://other.example/client' } }, 'svid_trust_domain');
      refuses('jwt_svid_3_2: no audience', { claims: { aud: undefined } }, 'svid_claim');
      refuses('jwt_svid_3_2: another audience', { claims: { aud: ['https://other.example/mcp'] } }, 'svid_audience');
      refuses('jwt_svid_3_2: another server', { claims: { aud: stack.urls.python } }, 'svid_audience');
      refuses('jwt_svid_3_3: no expiration', { claims: { exp: undefined } }, 'svid_claim');
      refuses('jwt_svid_3_3: expired', { claims: { exp: Math.floor(Date.now() / 1000) - 60 } }, 'svid_expired');
      refuses('jwt_svid_6_1: good for a week', { claims: { exp: Math.floor(Date.now() / 1000) + 7 * 86_400 } }, 'svid_lifetime');
      refuses('not yet', { claims: { nbf: Math.floor(Date.now() / 1000) + 600 } }, 'svid_not_yet_valid');
      refuses('by a key of nobody', { key: newKey('ES256', key.kid) }, 'svid_signature');
      test('two headers', async () => {
        await stack.forget();
        const svid = mint(key, resource);
        await refused(await call(svid, svid), 'svid_malformed');
        await refused(await call(`${svid}, ${svid}`), 'svid_malformed');
        await refused(await call(''), 'svid_malformed');
      });

      test('a certificate', async () => {
        await known(await tlsCall('client'), idOf('client'));
        await known(await tlsCall('other'), idOf('other'));
        await known(await tlsCall(), undefined);
      });
      test('a certificate and a JWT-SVID', async () => {
        const svid = mint(key, tlsResource);
        await known(await tlsCall('client', svid), idOf('client'));
        await known(await tlsCall(undefined, svid), idOf('client'));
        await stack.forget();
        await refused(await tlsCall('other', svid), 'workload_mismatch');
      });
      test('a certificate that a header claims', async () => {
        const hash = '0'.repeat(64);
        const response = await whoami(stack, { headers: [['x-forwarded-client-cert', `Hash=${hash};URI=${idOf('client')}`]] });
        await known(response, undefined);
      });
    });
  }
});

describe('a bundle', async () => {
  const [old, fresh] = [newKey('ES256', 'old'), newKey('ES256', 'fresh')];
  const bundle = await startBundle(old);
  const fleet = await fleetOf(bundle, { matrix: [{ mode: 'stream', workers: 2 }, { mode: 'hold', workers: 2 }] });
  after(async () => {
    await fleet.stop();
    await bundle.stop();
  });

  test('rotates: a new key, and the end of the old one', { timeout: 120_000 }, async () => {
    const all = (check) => Promise.all(fleet.stacks.map((stack) => check(at(stack, fleet), stack)));
    const good = (key) => all(async ({ resource, call, known }) => {
      // Enough connections for every worker.
      const svid = mint(key, resource, { claims: { exp: Math.floor(Date.now() / 1000) + 3600 } });
      const responses = await Promise.all(Array.from({ length: 8 }, () => call(svid)));
      for (const response of responses) await known(response, idOf('client'));
    });
    await good(old);
    assert.equal(bundle.fetches, fleet.stacks.length, 'one fetch for all workers of an Envoy');
    bundle.keys = [old, fresh];
    await sleep(DEBOUNCE);
    // The first that names it makes the filter look.
    await good(fresh);
    await good(old);
    bundle.keys = [fresh];
    await sleep(REFRESH + SLACK);
    await good(fresh);
    await all(async ({ resource, call }, stack) => {
      const responses = await Promise.all(Array.from({ length: 8 }, () => call(mint(old, resource))));
      for (const response of responses) assert.equal((await stack.recordOf(response)).code, 'svid_key');
    });
  });

  test('that cannot be had is not blamed on the caller', { timeout: 60_000 }, async () => {
    const failing = await startBundle(old);
    failing.status = 500;
    const own = await fleetOf(failing);
    try {
      // The Envoys share an MCP server: nothing may reach it until all have refused.
      await Promise.all(own.stacks.map(async (stack) => {
        const { resource, call, refused } = at(stack, own);
        await refused(await call(mint(old, resource)), 'bundle_unavailable', 503);
      }));
      // Who brings none needs none.
      await Promise.all(own.stacks.map(async (stack) => {
        const { call, known } = at(stack, own);
        await known(await call(), undefined);
      }));
      failing.status = 200;
      await sleep(DEBOUNCE);
      await Promise.all(own.stacks.map(async (stack) => {
        const { resource, call, known } = at(stack, own);
        await known(await call(mint(old, resource)), idOf('client'));
      }));
    } finally {
      await own.stop();
      await failing.stop();
    }
  });
});
