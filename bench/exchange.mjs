// What the lanes with an exchange are made of: an authorization server, and users whose calls come
// in a mix of tokens known and new.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { LIFETIME, SigningKey, accessToken } from './credentials.mjs';

/** The MCP server as that authorization server knows it. */
const BACKEND = 'https://mcp.internal.example/mcp';

/** Envoy's name of it. */
export const CLUSTER = 'authorization_server';

/** The exchange, as our filter's configuration has it. The client's own credential would be Envoy's to add. */
export const EXCHANGE = {
  profile: 'token_exchange',
  uri: 'https://as.internal.example/token',
  cluster: CLUSTER,
  client: { method: 'injected' },
  resource: [BACKEND],
};

/** How many users call in turn. */
export const USERS = 1000;

/** So many calls each user makes with one token. */
export const CALLS_PER_TOKEN = 20;

/** How many first calls of one user come at once. */
export const CROWD = 500;

/** Calls with a new token among `count`. */
export const newTokens = (count) => Math.ceil(count / CALLS_PER_TOKEN);

/**
 * Starts an authorization server on a free loopback port that exchanges every token (RFC 8693) and
 * verifies none: `{ port, asked(), stop() }`, where `asked` counts its requests.
 */
export async function startAuthorizationServer() {
  const key = new SigningKey('ES256');
  let asked = 0;
  const server = createServer(async (request, response) => {
    asked += 1;
    const form = new URLSearchParams((await request.toArray()).join(''));
    const { sub: subject } = JSON.parse(Buffer.from(form.get('subject_token').split('.')[1], 'base64url'));
    const [audience, scope] = [form.get('resource'), form.get('scope')];
    response.setHeader('content-type', 'application/json').end(JSON.stringify({
      access_token: accessToken(key, { subject, audience, scope }),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: LIFETIME,
      scope,
    }));
  }).listen(0, '127.0.0.1');
  // Between two rounds nothing may close connections: Envoy would notice in another lane's batch.
  server.keepAliveTimeout = 0;
  await once(server, 'listening');
  return {
    port: server.address().port,
    asked: () => asked,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Users who call one after the other; `key` signs their tokens. */
export class Users {
  constructor(key) {
    this.key = key;
    this.tokens = [];
    this.turn = 0;
  }

  /** A first token for each. */
  everyone() {
    this.tokens = Array.from({ length: USERS }, (_, user) => this.newToken(user));
    return this.tokens;
  }

  /** The tokens of the next `count` calls, `newTokens(count)` of which are new. */
  next(count) {
    return Array.from({ length: count }, (_, index) => {
      // One user further in every round: else the same ones would always have the new tokens.
      const user = (this.turn + Math.floor(this.turn / USERS)) % USERS;
      this.turn += 1;
      if (index % CALLS_PER_TOKEN === 0) this.tokens[user] = this.newToken(user);
      return this.tokens[user];
    });
  }

  newToken(user) {
    return accessToken(this.key, { subject: `user-${user}` });
  }
}
