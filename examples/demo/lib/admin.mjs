// The admin seams of the OAuth servers and of those that stand for a vendor's (`idp/admin.mjs`).

const JSON_TYPE = { 'content-type': 'application/json' };

/** What an answer of a token endpoint may be instead of a good one, as `Front.answers` takes it. */
export const FAULTS = {
  /** Longer than the filter ever waits; then the real answer. */
  slow: { delay: 15_000 },
  unavailable: { ...refusal('temporarily_unavailable', 503), headers: { ...JSON_TYPE, 'retry-after': '7' } },
  error: { status: 500, headers: { 'content-type': 'text/html' }, body: '<p>Internal Server Error</p>' },
  garbage: { status: 200, headers: JSON_TYPE, body: '{"access_token": "' },
  huge: { status: 200, headers: JSON_TYPE, body: JSON.stringify({ access_token: 'x'.repeat(4 << 20), token_type: 'Bearer' }) },
  close: { close: true },
  unauthorized: { ...refusal('invalid_client', 401), headers: { ...JSON_TYPE, 'www-authenticate': 'Basic realm="oauth"' } },
  invalid_target: refusal('invalid_target'),
  invalid_grant: refusal('invalid_grant'),
  invalid_scope: refusal('invalid_scope'),
  invalid_request: refusal('invalid_request'),
  access_denied: refusal('access_denied'),
};

/** RFC 6749, 5.2. */
function refusal(error, status = 400) {
  return { status, headers: JSON_TYPE, body: JSON.stringify({ error }) };
}

/**
 * Answers requests for `path` as `fault`, a name of `FAULTS` or what `Front.answers` takes, until
 * `recover`. `server` is one of `servers` of `startBackends`.
 */
export function failWith(server, fault, path = new URL(server.tokenEndpoint).pathname) {
  return ask(server, 'PUT', '/answers', { [path]: FAULTS[fault] ?? fault });
}

/** Answers as it should again. */
export function recover(server) {
  return ask(server, 'PUT', '/answers', {});
}

/** Requests at the token endpoint since it started, or since `forget`; those it failed included. */
export async function tokenRequests(server) {
  return (await ask(server, 'GET', '/requests'))[new URL(server.tokenEndpoint).pathname] ?? 0;
}

/** Token requests that it really answered, by grant type: `{ issued, refused }`. */
export function grants(server) {
  return ask(server, 'GET', '/grants');
}

/** Starts all counts again from nothing. */
export async function forget(server) {
  await ask(server, 'DELETE', '/requests');
  await ask(server, 'DELETE', '/grants');
}

/** The token with which a caller comes; `wanted` see `vendors/`. */
export async function vendorToken(server, wanted) {
  return (await ask(server, 'POST', '/tokens', wanted)).access_token;
}

async function ask({ admin }, method, path, body) {
  const response = await fetch(admin + path, { method, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(`admin: ${await response.text()}`);
  return response.json();
}
