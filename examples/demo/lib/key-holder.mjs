// A caller who proves possession of a key (RFC 9449). The proofs are made by libraries that have
// nothing to do with the filter: `oauth4webapi` for the OAuth server, `dpop` for MCP servers.

import { generateKeyPair, generateProof } from 'dpop';
import * as oauth from 'oauth4webapi';

import { SECRET } from '../idp/clients.mjs';

export class KeyHolder {
  #keys;

  /** A holder of a new key for `algorithm`: ES256, RS256, PS256 or Ed25519. */
  static async create(algorithm = 'ES256') {
    const holder = new KeyHolder();
    holder.#keys = await generateKeyPair(algorithm, { extractable: true });
    return holder;
  }

  /** A token bound to the key; parameters and errors as of `clientCredentials`. */
  async token({ issuer, client, resource, scope }) {
    const server = { issuer, token_endpoint: `${issuer}/token` };
    const own = { client_id: client };
    const options = { DPoP: oauth.DPoP(own, this.#keys), [oauth.allowInsecureRequests]: true };
    const ask = async () => oauth.processClientCredentialsResponse(server, own, await oauth.clientCredentialsGrantRequest(
      server, own, oauth.ClientSecretBasic(SECRET), { resource, scope }, options,
    ));
    try {
      return (await ask()).access_token;
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      // `options.DPoP` has read the nonce.
      return (await ask()).access_token;
    }
  }

  /** A new proof for a POST of `token` to `url`. */
  proof({ url, token, nonce }) {
    return generateProof(this.#keys, url, 'POST', nonce, token);
  }

  /** The headers of such a POST. */
  async headers({ url, token, nonce }) {
    return { authorization: `DPoP ${token}`, dpop: await this.proof({ url, token, nonce }) };
  }
}
