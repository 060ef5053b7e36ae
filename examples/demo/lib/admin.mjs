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
 * `recover`. `admin` is the origin of the seam, here and below.
 */
export function failWith(admin, path, fault) {
  return ask(admin, 'PUT', '/answers', { [path]: FAULTS[fault] ?? fault });
}

/** Answers as it should again. */
export function recover(admin) {
  return ask(admin, 'PUT', '/answers', {});
}

/** Requests so far by path, also those it was told to fail. */
export function requests(admin) {
  return ask(admin, 'GET', '/requests');
}

/** Token requests that it really answered, by grant type: `{ issued, refused }`. */
export function grants(admin) {
  return ask(admin, 'GET', '/grants');
}

/** Starts all counts again from nothing. */
export async function forget(admin) {
  await ask(admin, 'DELETE', '/requests');
  await ask(admin, 'DELETE', '/grants');
}

/** What the seam answers; throws where it refuses. */
export async function ask(admin, method, path, body) {
  const response = await fetch(admin + path, { method, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(`admin: ${await response.text()}`);
  return response.json();
}
