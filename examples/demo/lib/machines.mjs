// The machine clients of the OAuth server, in the filter's configuration. Nobody stands behind
// their tokens, so rules have to grant things to them by name.

import { MACHINES } from '../idp/clients.mjs';

/** The name of the machine clients in the catalogue. */
const NAME = 'machines';

/**
 * The configuration with what every rule asks of users granted to the machine clients too. Other
 * agents stay what they were: not told apart. A configuration with a catalogue is left as it is.
 */
export function grantMachines(configuration) {
  if (configuration.agents || !configuration.servers || !configuration.issuers) return configuration;
  return {
    ...configuration,
    agents: { [NAME]: { match: MACHINES.map((client) => `client:${client}`), issuers: Object.keys(configuration.issuers) } },
    servers: configuration.servers.map((server) => ({
      ...server,
      delegation: { unknown_agents: 'allow', ...server.delegation },
      ...grantRules(server),
    })),
  };
}

function grantRules(server) {
  const kinds = ['tools', 'prompts', 'resources'].filter((kind) => server[kind]?.rules);
  return Object.fromEntries(kinds.map((kind) => [kind, {
    ...server[kind],
    rules: server[kind].rules.map((rule) => ({ workloads: [{ agents: [NAME], scopes: rule.scopes }], ...rule })),
  }]));
}
