// What reached the MCP server in place of the caller's token.

import { isDeepStrictEqual } from 'node:util';

/**
 * What is wrong with it, or `undefined`. `arrived` are requests as `servers/typescript/tap.mjs` lists
 * them, `token` was the caller's; `arrives` is said in `walk.mjs`.
 */
export function arrivalProblem({ arrived, token, arrives }) {
  // The signature is in no other token, whatever else they have in common.
  const parts = [token, token.split('.').at(-1)];
  if (parts.some((part) => JSON.stringify(arrived).includes(part))) return "the caller's token reached the MCP server";
  if (arrives === undefined) return undefined;
  // In `stream`, headers may have left before the body was known. They are worth nothing.
  if (arrives === null) return arrived.some((request) => request.bytes || tokenOf(request)) ? 'it reached the MCP server' : undefined;
  const credential = tokenOf(arrived.at(-1));
  if (!credential) return 'reached the MCP server without a token';
  if (arrives === true) return undefined;
  const claims = claimsOf(credential);
  return has(claims, arrives) ? undefined : `arrived with ${JSON.stringify(claims)}`;
}

/** The bearer token of a request as the tap lists it. */
export function tokenOf(request) {
  const [, value] = request?.headers.find(([name]) => name.toLowerCase() === 'authorization') ?? [];
  return value?.split(' ')[1];
}

/** What a JWT says, unverified: `null` if it is none, `undefined` without a token. */
export function claimsOf(token) {
  if (token === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
  } catch {
    return null;
  }
}

/** Whether `actual` is `wanted`; of objects, whether it has the members that `wanted` has. */
export function has(actual, wanted) {
  if (wanted === null || typeof wanted !== 'object' || Array.isArray(wanted)) return isDeepStrictEqual(actual, wanted);
  return Object.entries(wanted).every(([name, value]) => has(actual?.[name], value));
}
