// What stands behind the filter, as authorization servers know it: an MCP server under a name of
// its own, which callers' tokens are not for, with scopes of its own.

/** `resource` of a request (RFC 8707) and audience of the token that goes to the MCP server. */
export const BACKEND = 'https://crm.internal.example/mcp';

/** Logical names of targets (`audience`, RFC 8693, 2.1), and the resources that they stand for. */
export const AUDIENCES = { crm: BACKEND };

/** The scopes that it knows. */
export const BACKEND_SCOPES = ['docs.read', 'docs.admin', 'crm.records.read', 'crm.mail.send', 'crm.records.delete'];

/** What a scope of a caller's token may become there. */
const MAPPED = {
  'docs:read': ['docs.read'],
  'docs:admin': ['docs.admin'],
  'crm:read': ['crm.records.read'],
  'crm:write': ['crm.records.read', 'crm.mail.send'],
  'crm:admin': ['crm.records.delete'],
};

/** Scopes of callers' tokens that are for nothing but this. */
export const CRM_SCOPES = ['crm:read', 'crm:write', 'crm:admin'];

/** The scopes there that follow from `scopes` of a caller's token. */
export function mapped(scopes) {
  return [...new Set(scopes.flatMap((scope) => MAPPED[scope] ?? []))];
}
