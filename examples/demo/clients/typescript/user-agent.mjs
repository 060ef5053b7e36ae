// A browser without a window: follows redirects, keeps cookies, stops where the client listens.

/** More hops than any login here takes. */
const MAX_REDIRECTS = 10;

/**
 * Visits the authorization URL and returns the callback URL that the authorization server sent
 * the browser to: `redirectUri` with `code`, `state` and `iss`, or with `error`.
 */
export async function visit(authorizationUrl, redirectUri) {
  const cookies = new Map();
  let url = new URL(authorizationUrl);
  for (let hop = 0; hop < MAX_REDIRECTS; hop += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (!location) throw new Error(`${url.pathname} answered ${response.status}: ${await response.text()}`);
    url = new URL(location, url);
    if (url.href.startsWith(`${redirectUri}?`)) return url;
  }
  throw new Error('too many redirects');
}
