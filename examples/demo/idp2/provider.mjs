// The configuration of the second OAuth server, on `oidc-provider` too.

import Provider, { errors } from 'oidc-provider';

import { BACKEND, BACKEND_SCOPES } from '../idp/backend.mjs';
import { SECRET } from '../idp/clients.mjs';
import { JWT_BEARER } from '../idp/uris.mjs';
import { addAssertionGrant } from './assertion.mjs';

/** The filter, by each way of authenticating; it has the same names at the first server. */
const CLIENTS = { countersign: 'client_secret_basic', 'countersign-post': 'client_secret_post' };

/**
 * An authorization server for `issuer` that issues tokens for the MCP server behind the filter, to
 * whoever brings an assertion of `trusted`, the issuer of the first one.
 */
export function createPartner({ issuer, trusted, keys, state }) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: Object.entries(CLIENTS).map(([id, method]) => ({
      client_id: id,
      client_secret: SECRET,
      token_endpoint_auth_method: method,
      grant_types: [JWT_BEARER],
      redirect_uris: [],
      response_types: [],
    })),
    adapter: state.adapter,
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    cookies: { keys: [state.cookieKey] },
    extraTokenClaims: (ctx) => ctx.oidc.entities.Asserted,
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => {
          if (resource !== BACKEND) throw new errors.InvalidTarget();
          return { audience: resource, scope: BACKEND_SCOPES.join(' '), accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
        },
      },
    },
  });
  addAssertionGrant(provider, { issuer, trusted });
  return provider;
}
