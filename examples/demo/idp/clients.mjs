// Who may ask for tokens without a person: the machine clients of the demo (RFC 6749, 4.4), who
// may ask about tokens (RFC 7662), and the filter, which exchanges them. The clients with a person
// behind them register themselves (RFC 7591).

import { TOKEN_EXCHANGE } from './uris.mjs';

/** Scopes of the documentation servers; what each is good for is in `envoy/envoy.*.yaml`. */
export const SCOPES = ['mcp:connect', 'docs:read', 'docs:admin'];

/** Usual lifetime of an access token, in seconds. */
export const LIFETIME = 600;

/** How far tokens of `demo-expired` are dated back, in seconds: past any clock skew allowance. */
export const BACKDATED = 3600;

/** A secret for a loopback demo is no secret; every client has the same. */
export const SECRET = 'demo-secret-for-loopback-only';

/** Clients that get tokens for nobody but themselves. */
export const MACHINES = [
  'demo-admin', 'demo-reader', 'demo-short', 'demo-expired', 'demo-opaque', 'demo-dpop', 'demo-mtls',
];

/** Agents that people use. `support-bot` hands tasks on to `mail-bot`; nobody knows `rogue-bot`. */
export const AGENTS = ['support-bot', 'mail-bot', 'report-bot', 'console', 'rogue-bot'];

/** The filter, by each way of authenticating: what it may have tokens for, nobody else may. */
export const EXCHANGERS = ['countersign', 'countersign-post', 'countersign-jwt', 'countersign-mtls'];

/** Where agents get their codes. Nobody listens there: the redirect is read, not followed. */
export const AGENT_CALLBACK = 'http://127.0.0.1/callback';

/**
 * The clients, for an OAuth server that signs with `alg`; `introspectionKey` is the public JWK of
 * the clients that authenticate with a key.
 */
export function createClients({ alg, introspectionKey }) {
  return [
    machine('demo-admin', SCOPES),
    machine('demo-reader', ['mcp:connect', 'docs:read']),
    // Tokens that live for a second.
    machine('demo-short', SCOPES),
    // Tokens that were over an hour before they were asked for, with a good signature.
    machine('demo-expired', SCOPES),
    // Tokens that say nothing to anybody but this server.
    machine('demo-opaque', SCOPES),
    // Tokens for the holder of a key (RFC 9449, 5.2) and of a certificate (RFC 8705, 3.4) only.
    // The others may have theirs bound to a key as well, by showing a proof.
    machine('demo-dpop', SCOPES, { dpop_bound_access_tokens: true }),
    machine('demo-mtls', SCOPES, { tls_client_certificate_bound_access_tokens: true }),

    // Agents: people log in through them, and they pass each other the people's tokens.
    ...AGENTS.map(agent),

    exchanger('countersign', { token_endpoint_auth_method: 'client_secret_basic' }),
    exchanger('countersign-post', { token_endpoint_auth_method: 'client_secret_post' }),
    // The certificate `client` of `lib/certificates.mjs` (RFC 8705, 2.1).
    exchanger('countersign-mtls', {
      client_secret: undefined,
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_uri: 'spiffe://demo.example/client',
    }),
    ...(introspectionKey ? [exchanger('countersign-jwt', withKey(introspectionKey))] : []),

    // Who asks about tokens, by each way of authenticating. Answers are signed for whoever
    // accepts `application/token-introspection+jwt` (RFC 9701).
    gateway('gateway-basic', alg, { token_endpoint_auth_method: 'client_secret_basic' }),
    gateway('gateway-post', alg, { token_endpoint_auth_method: 'client_secret_post' }),
    ...(introspectionKey ? [gateway('gateway-key', alg, withKey(introspectionKey))] : []),
  ];
}

function machine(id, scopes, metadata) {
  return {
    client_id: id,
    client_secret: SECRET,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: scopes.join(' '),
    ...metadata,
  };
}

function agent(id) {
  return {
    client_id: id,
    client_secret: SECRET,
    application_type: 'native',
    grant_types: ['authorization_code', 'client_credentials', TOKEN_EXCHANGE],
    redirect_uris: [AGENT_CALLBACK],
    response_types: ['code'],
  };
}

function exchanger(id, metadata) {
  return {
    client_id: id,
    client_secret: SECRET,
    grant_types: ['client_credentials', TOKEN_EXCHANGE],
    redirect_uris: [],
    response_types: [],
    ...metadata,
  };
}

/** A client that authenticates with a key (RFC 7523, 2.2). */
function withKey(key) {
  return {
    client_secret: undefined,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: key.alg,
    jwks: { keys: [key] },
  };
}

function gateway(id, alg, metadata) {
  return {
    client_id: id,
    client_secret: SECRET,
    grant_types: [],
    redirect_uris: [],
    response_types: [],
    introspection_signed_response_alg: alg,
    ...metadata,
  };
}
