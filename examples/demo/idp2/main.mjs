// A second OAuth server, of another organisation, which knows nobody: it takes the word of the
// first one for who a user is (identity chaining). Environment:
//   PORT            loopback port, default 9010
//   ISSUER          RFC 8414 issuer, default http://127.0.0.1:PORT
//   TRUSTED_ISSUER  whose assertions it takes, default http://127.0.0.1:9000; its keys are at /jwks
//   ADMIN_PORT      loopback port of the admin seam (../idp/admin.mjs); default: none
// One JSON line per request and per refusal on standard output; tokens are never written.

import { createServer } from 'node:http';

import { createAdmin } from '../idp/admin.mjs';
import { Front } from '../idp/front.mjs';
import { Keys } from '../idp/keys.mjs';
import { createState } from '../idp/provider.mjs';
import { createPartner } from './provider.mjs';

const {
  PORT = 9010, ISSUER = `http://127.0.0.1:${PORT}`, TRUSTED_ISSUER = 'http://127.0.0.1:9000', ADMIN_PORT,
} = process.env;

const log = (entry) => console.log(JSON.stringify({ time: new Date().toISOString(), ...entry }));
const keys = await Keys.load(undefined, 'ES256');
const state = createState();
const front = new Front(log);

function startProvider() {
  front.serve(createPartner({ issuer: ISSUER, trusted: TRUSTED_ISSUER, keys: keys.list, state }));
}

startProvider();
if (ADMIN_PORT) createAdmin({ keys, front, rotated: startProvider }).listen(Number(ADMIN_PORT), '127.0.0.1');
createServer(front.listen).listen(Number(PORT), '127.0.0.1', () => log({ event: 'listening', issuer: ISSUER, trusted: TRUSTED_ISSUER }));
process.once('SIGTERM', () => process.exit());
