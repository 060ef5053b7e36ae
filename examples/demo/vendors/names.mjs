// What tokens of the servers that stand for a vendor's have in them, for those who are to take the tokens.

/** Directories of two organisations at Microsoft Entra ID (`tid`). */
export const TENANTS = ['aaaaaaaa-1111-4111-8111-111111111111', 'bbbbbbbb-2222-4222-8222-222222222222'];

/** The app of the filter there, and the one of the MCP server behind it. */
export const FILTER_APP = '11111111-1111-4111-8111-111111111111';
export const BACKEND_APP = '22222222-2222-4222-8222-222222222222';
