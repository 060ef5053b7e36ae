// A rate limit service for Envoy's global rate limit filter (`envoy.service.ratelimit.v3`). It
// counts each descriptor and forgets nothing: its period does not end.

import { join } from 'node:path';

import { Server, ServerCredentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const definition = loadSync(join(import.meta.dirname, 'rate-limit.proto'), { keepCase: true, enums: String, defaults: true });
const { RateLimitService } = loadPackageDefinition(definition).envoy.service.ratelimit.v3;

/**
 * Starts the service. `limit` says how many calls a descriptor has; it gets its entries as an
 * object, and no number means no limit.
 *
 * Returns `{ port, asked, stop() }`; `asked` are the requests so far, `{ domain, descriptors }`.
 */
export async function startRateLimitService({ limit }) {
  const counts = new Map();
  const asked = [];
  const count = (domain, descriptor) => {
    const name = JSON.stringify([domain, descriptor]);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts.get(name) <= (limit(descriptor) ?? Infinity) ? 'OK' : 'OVER_LIMIT';
  };
  const shouldRateLimit = ({ request: { domain, descriptors: given } }, answer) => {
    const descriptors = given.map(({ entries }) => Object.fromEntries(entries.map(({ key, value }) => [key, value])));
    asked.push({ domain, descriptors });
    const codes = descriptors.map((descriptor) => count(domain, descriptor));
    answer(null, {
      overall_code: codes.includes('OVER_LIMIT') ? 'OVER_LIMIT' : 'OK',
      statuses: codes.map((code) => ({ code })),
    });
  };
  const server = new Server();
  server.addService(RateLimitService.service, { shouldRateLimit });
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return { port, asked, stop: () => server.forceShutdown() };
}
