// Certificates for TLS on loopback, made where they are used: none is ever committed.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { DEMO, PYTHON } from './paths.mjs';

/**
 * Makes a CA and certificates of it in `directory`: of the `server` at 127.0.0.1, of the clients
 * `client` and `other`, of a proxy `edge`.
 *
 * Returns `{ ca, caFile, of(name), files(name) }`: `ca` is PEM, `of` gives `{ cert, key }` as PEM,
 * what `node:https` takes, and `files` the same as file names.
 */
export async function createCertificates(directory) {
  await promisify(execFile)(PYTHON, [join(DEMO, 'lib/certificates.py'), directory]);
  const files = (name) => ({ cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) });
  const text = (file) => readFileSync(file, 'utf8');
  return {
    caFile: join(directory, 'ca.pem'),
    ca: text(join(directory, 'ca.pem')),
    files,
    of: (name) => ({ cert: text(files(name).cert), key: text(files(name).key) }),
  };
}
