// Access tokens with which callers come, of the servers that stand for a vendor's. `admin` is the
// origin of such a server's admin seam.

import { ask } from './admin.mjs';

/**
 * Of `vendors/entra.mjs`: an access token of `user` for the filter's app. `tenant` is one of its
 * tenants, `acrs` are the authentication contexts that were satisfied, `xms_cc` what the agent says
 * it can do, `scp` the permissions, `ttl` the lifetime in seconds.
 */
export async function entraUserToken({ admin, ...wanted }) {
  return (await ask(admin, 'POST', '/tokens', wanted)).access_token;
}

/** Of `vendors/auth0.mjs`: an access token of `user` for the filter's API, with `scope`. */
export async function auth0UserToken({ admin, ...wanted }) {
  return (await ask(admin, 'POST', '/tokens', wanted)).access_token;
}
