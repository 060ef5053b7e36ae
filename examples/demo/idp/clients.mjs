// Who may ask for tokens without a person: the machine clients of the demo (RFC 6749, 4.4).
// The clients with a person behind them register themselves (RFC 7591).

/** Scopes of the documentation servers; what each is good for is in `envoy/envoy.*.yaml`. */
export const SCOPES = ['mcp:connect', 'docs:read', 'docs:admin'];

/** Usual lifetime of an access token, in seconds. */
export const LIFETIME = 600;

/** How far tokens of `demo-expired` are dated back, in seconds: past any clock skew allowance. */
export const BACKDATED = 3600;

/** A secret for a loopback demo is no secret; every client has the same. */
export const SECRET = 'demo-secret-for-loopback-only';

export const CLIENTS = [
  machine('demo-admin', SCOPES),
  machine('demo-reader', ['mcp:connect', 'docs:read']),
  // Tokens that live for a second.
  machine('demo-short', SCOPES),
  // Tokens that were over an hour before they were asked for, with a good signature.
  machine('demo-expired', SCOPES),
];

function machine(id, scopes) {
  return {
    client_id: id,
    client_secret: SECRET,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: scopes.join(' '),
  };
}
