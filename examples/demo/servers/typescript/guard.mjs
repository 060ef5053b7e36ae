// What the MCP server asks of a token that comes with a request, when it is told whose tokens it
// takes. It verifies them itself: that the filter stands before it is no proof of anything. Environment:
//   TOKEN_ISSUER    `iss` of the tokens, with TOKEN_JWKS (URL of the issuer's keys), TOKEN_AUDIENCE
//                   (who this server is for the issuer) and TOKEN_TYPE (`typ`, default at+jwt)
//   TOKEN_ACTORS    clients, separated by blanks: one of them is the current actor (`act`) of a token that is
//                   about somebody else than its client; without it, nobody looks
//   TOKEN_USER_URL  instead: where to ask whose opaque token it is, as GitHub has it
//   TOKEN_SCOPES    JSON, the scope that a tool needs, by tool; default as below
// Without any of it, nothing is asked.

import { createRemoteJWKSet, jwtVerify } from 'jose';

/** The scopes of the authorization servers of the demo; a tool that is not here needs a good token only. */
const SCOPES = {
  search_docs: 'docs.read',
  read_doc: 'docs.read',
  delete_doc: 'docs.admin',
  readContacts: 'crm.records.read',
  sendEmail: 'crm.mail.send',
  deleteRecord: 'crm.records.delete',
};

/** Claims that are shown to whoever asks who was seen. */
const SHOWN = ['iss', 'sub', 'aud', 'client_id', 'azp', 'scope', 'scp', 'act', 'tid', 'oid'];

/** Where nothing is asked: see `createGuard`. */
const OPEN = { verify: async () => undefined, access: () => ({ token: undefined, refusal: () => undefined }) };

/**
 * What is asked of tokens according to `env`: `{ verify(request), access(claims) }`.
 *
 * `verify` returns what the token of a request (of `node:http`) says, and throws when there is no
 * good one. `access` says what such a token opens: `{ token, refusal(tool) }`, the claims to be
 * shown, and why a tool is not for it, undefined when it is.
 */
export function createGuard(env) {
  const { TOKEN_ISSUER, TOKEN_USER_URL, TOKEN_SCOPES } = env;
  if (!TOKEN_ISSUER && !TOKEN_USER_URL) return OPEN;
  const read = TOKEN_ISSUER ? jwtReader(env) : userReader(TOKEN_USER_URL);
  const scopes = TOKEN_SCOPES ? JSON.parse(TOKEN_SCOPES) : SCOPES;
  return {
    verify: (request) => read(bearer(request)),
    access: ({ granted, shown }) => ({
      token: shown,
      refusal: (tool) => (!scopes[tool] || granted.includes(scopes[tool]) ? undefined : `403 insufficient_scope: ${tool} needs ${scopes[tool]}`),
    }),
  };
}

/** RFC 9068, 4; RFC 8693, 4.1. */
function jwtReader({ TOKEN_ISSUER, TOKEN_JWKS, TOKEN_AUDIENCE, TOKEN_ACTORS, TOKEN_TYPE = 'at+jwt' }) {
  const keys = createRemoteJWKSet(new URL(TOKEN_JWKS));
  const actors = TOKEN_ACTORS?.split(' ');
  return async (token) => {
    const { payload } = await jwtVerify(token, keys, {
      issuer: TOKEN_ISSUER, audience: TOKEN_AUDIENCE, typ: TOKEN_TYPE, requiredClaims: ['exp', 'sub'],
    });
    const isDelegated = payload.sub !== payload.client_id;
    if (actors && isDelegated && !actors.includes(payload.act?.sub)) throw new Error('nobody who may act for others does');
    const shown = Object.fromEntries(SHOWN.filter((name) => name in payload).map((name) => [name, payload[name]]));
    return { granted: (payload.scope ?? payload.scp ?? '').split(' '), shown };
  };
}

/** GitHub, "Get the authenticated user"; `X-OAuth-Scopes` says what the token is good for. */
function userReader(url) {
  return async (token) => {
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw new Error(`the third party says ${response.status}`);
    const granted = (response.headers.get('x-oauth-scopes') ?? '').split(', ');
    const { login } = await response.json();
    return { granted, shown: { login, scope: granted.join(' ') } };
  };
}

function bearer(request) {
  const lines = request.headersDistinct.authorization ?? [];
  const [, token] = /^Bearer ([^ ,]+)$/i.exec(lines[0] ?? '') ?? [];
  if (!token || lines.length !== 1) throw new Error('exactly one bearer token');
  return token;
}
