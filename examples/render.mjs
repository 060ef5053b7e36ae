// Writes `envoy.yaml` of the examples that differ from `envoy/envoy.*.yaml` in the filter's
// configuration and what it names only, from their `config.json`: its authorization servers' clusters
// take the place of `idp`, and variables for secrets are added. `make examples` runs it; a test holds
// them to it.

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const HERE = import.meta.dirname;

/** The line before the filter's configuration, and the indentation of the latter. */
const VALUE = /^( *)value: \|\n(?:\1 +.*\n|\n)+/m;

/** The last line of `vm_config`, and its indentation. */
const VM_CONFIG = /^( *)code: \{ local: .*\n/m;

/** The cluster of the OAuth server, and what is said of it. */
const IDP = /(?:^  #.*\n)*^  - name: idp\n(?:^   +.*\n)*/m;

/** The longest line of a comment, without indentation. */
const COMMENT = /(.{1,90})(?: |$)/g;

/** Examples by name that have a walk. */
export function examples() {
  return readdirSync(HERE).filter((name) => existsSync(join(HERE, name, 'walk.json'))).sort();
}

/** The bootstrap of an example. */
export function render(name) {
  const config = readFileSync(join(HERE, name, 'config.json'), 'utf8').trimEnd();
  const title = readFileSync(join(HERE, name, 'README.md'), 'utf8').split('\n', 1)[0].replace(/^# /, '');
  const document = JSON.parse(config);
  const mode = document.host_mode ?? 'stream';
  const bootstrap = readFileSync(join(HERE, `../envoy/envoy.${mode}.yaml`), 'utf8');
  const text = bootstrap
    .replace(VALUE, (_match, indent) => {
      const lines = config.split('\n').map((line) => (line ? `${indent}  ${line}` : ''));
      return `${indent}value: |\n${lines.join('\n')}\n`;
    })
    .replace(VM_CONFIG, (line, indent) => line + environment(document, indent))
    .replace(IDP, () => clusters(document));
  return `# ${title}: envoy/envoy.${mode}.yaml with the configuration of config.json beside it.
# Made by \`make examples\`. \`make walk EXAMPLE=${name}\` shows it at work.
#
#   envoy -c examples/${name}/envoy.yaml          (from the repository's root)
#
${text}`;
}

/** The variables of secrets, by name. */
function environment(document, indent) {
  const names = [...new Set(objects(document).map(({ env }) => env).filter((env) => typeof env === 'string'))];
  if (names.length === 0) return '';
  return `${indent}# Set where Envoy starts. Envoy shows variables of these names to the filter and no others.
${indent}environment_variables: { host_env_keys: [${names.join(', ')}] }
`;
}

/** The clusters of a configuration's authorization servers, as a bootstrap has them. */
export function clusters(document) {
  return [...uses(document)].map(([name, use]) => clusterText(name, use)).join('');
}

/**
 * What a configuration uses authorization servers for, by cluster: `url` is behind it; `keys`, whether
 * they are fetched there; `sent`, what goes to its token endpoint.
 */
function uses({ issuers, exchanges = {} }) {
  const found = new Map();
  const use = (cluster, url) => {
    if (!found.has(cluster)) found.set(cluster, { url, keys: false, sent: new Set() });
    return found.get(cluster);
  };
  for (const { issuer, jwks } of Object.values(issuers)) {
    if (jwks?.cluster) use(jwks.cluster, jwks.uri ?? jwks.metadata_uri ?? issuer).keys = true;
  }
  const endpoints = Object.values(exchanges).flatMap(({ profile, then, ...first }) => [
    { ...first, sends: profile === 'client_credentials' ? [] : ['callers\' tokens'] },
    { ...then, sends: ['assertions about callers'] },
  ]);
  for (const { cluster, uri, sends } of endpoints.filter((endpoint) => endpoint.cluster)) {
    const { sent } = use(cluster, uri);
    for (const what of [...sends, 'its own credentials']) sent.add(what);
  }
  return found;
}

/** What whoever answers in a cluster's place could do. */
function warning({ keys, sent }, tls) {
  const text = [
    keys && 'The filter fetches the issuer\'s keys through this cluster: whoever answers here decides which tokens are good.',
    sent.size > 0 && `${keys ? 'It also' : 'The filter'} sends ${[...sent].join(' and ')} through this cluster: whoever answers here decides what the MCP server gets.`,
    !tls && 'Off loopback it needs TLS with the issuer\'s name verified.',
  ].filter(Boolean).join(' ');
  return text.replace(COMMENT, '  # $1\n');
}

/** A cluster for what is at `url`: with the name in its certificate verified, or at loopback. */
function clusterText(name, use) {
  const { protocol, hostname, port } = new URL(use.url);
  const tls = protocol === 'https:';
  return `${warning(use, tls)}  - name: ${name}
    type: ${tls ? 'LOGICAL_DNS' : 'STATIC'}
    connect_timeout: ${tls ? 2 : 1}s
    load_assignment:
      cluster_name: ${name}
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: ${hostname}, port_value: ${port || (tls ? 443 : 80)} } } } }] }]
${tls ? `    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: ${hostname}
        common_tls_context:
          validation_context:
            trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }
            match_typed_subject_alt_names:
            - { san_type: DNS, matcher: { exact: ${hostname} } }
` : ''}`;
}

/** All objects in a document, at any depth. */
function objects(node) {
  if (node === null || typeof node !== 'object') return [];
  return [node, ...Object.values(node).flatMap(objects)];
}

if (process.argv[1] === import.meta.filename) {
  for (const name of examples()) writeFileSync(join(HERE, name, 'envoy.yaml'), render(name));
}
