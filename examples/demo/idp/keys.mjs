// The signing keys of the OAuth server, generated where they are used: none is ever committed.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';

/** RFC 7518 and RFC 8037 names of the algorithms the server can sign with. */
export const ALGORITHMS = [
  'ES256', 'ES384', 'ES512',
  'RS256', 'RS384', 'RS512',
  'PS256', 'PS384', 'PS512',
  'EdDSA',
];

/** The server's private JWK Set. The first key signs, all are published. */
export class Keys {
  #file;

  #alg;

  /** Private JWKs; the `kid` is the key's RFC 7638 thumbprint. */
  list = [];

  /**
   * The keys in `file`, or one new key for `alg` when the file does not exist. Without a file the
   * keys live and die with the process.
   */
  static async load(file, alg) {
    const keys = new Keys();
    keys.#file = file;
    keys.#alg = alg;
    if (file && existsSync(file)) {
      keys.list = JSON.parse(readFileSync(file, 'utf8')).keys;
    } else {
      await keys.add();
    }
    return keys;
  }

  /** Adds a key, which does not sign unless it is the only one; returns its `kid`. */
  async add() {
    const { privateKey } = await generateKeyPair(this.#alg, { extractable: true });
    const jwk = await exportJWK(privateKey);
    const kid = await calculateJwkThumbprint(jwk);
    this.#replace([...this.list, { ...jwk, alg: this.#alg, use: 'sig', kid }]);
    return kid;
  }

  /** Signs with this key from now on. */
  signWith(kid) {
    this.#replace([this.#get(kid), ...this.list.filter((key) => key.kid !== kid)]);
  }

  /** Publishes this key no longer. */
  remove(kid) {
    this.#get(kid);
    if (this.list.length === 1) throw new Error('the last key stays');
    this.#replace(this.list.filter((key) => key.kid !== kid));
  }

  #get(kid) {
    const found = this.list.find((key) => key.kid === kid);
    if (!found) throw new Error('no such key');
    return found;
  }

  #replace(list) {
    this.list = list;
    if (this.#file) writeFileSync(this.#file, JSON.stringify({ keys: list }), { mode: 0o600 });
  }
}
