// Writes `envoy.yaml` of the examples that differ from `envoy/envoy.*.yaml` in the filter's
// configuration and what it names only, from their `config.json`: clusters and variables for secrets
// are added. `make examples` runs it; a test holds them to it.

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const HERE = import.meta.dirname;

/** The line before the filter's configuration, and the indentation of the latter. */
const VALUE = /^( *)value: \|\n(?:\1 +.*\n|\n)+/m;

/** The last line of `vm_config`, and its indentation. */
const VM_CONFIG = /^( *)code: \{ local: .*\n/m;

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
    .replace(VM_CONFIG, (line, indent) => line + environment(document, indent));
  const missing = [...clusters(document)].filter(([cluster]) => !bootstrap.includes(`\n  - name: ${cluster}\n`));
  return `# ${title}: envoy/envoy.${mode}.yaml with the configuration of config.json beside it.
# Made by \`make examples\`. \`make walk EXAMPLE=${name}\` shows it at work.
#
#   envoy -c examples/${name}/envoy.yaml          (from the repository's root)
#
${text}${missing.map(([cluster, url]) => clusterText(cluster, url)).join('')}`;
}

/** The variables of secrets, by name. */
function environment(document, indent) {
  const names = [...new Set(objects(document).map(({ env }) => env).filter((env) => typeof env === 'string'))];
  if (names.length === 0) return '';
  return `${indent}# Set where Envoy starts. Envoy shows variables of these names to the filter and no others.
${indent}environment_variables: { host_env_keys: [${names.join(', ')}] }
`;
}

/** The clusters of a configuration by name, each with a URL that is behind it. */
function clusters(document) {
  const named = objects(document).filter(({ cluster }) => typeof cluster === 'string');
  return new Map(named.map(({ cluster, uri, metadata_uri: metadata }) => [cluster, uri ?? metadata]));
}

/** A cluster for what is at `url`: with the name in its certificate verified, or at loopback. */
function clusterText(name, url) {
  const { protocol, hostname, port } = new URL(url);
  const tls = protocol === 'https:';
  return `  # Tokens go there, and its answers decide what the MCP server gets.
  - name: ${name}
    type: ${tls ? 'LOGICAL_DNS' : 'STATIC'}
    connect_timeout: ${tls ? 2 : 1}s
    load_assignment:
      cluster_name: ${name}
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: ${hostname}, port_value: ${port || 443} } } } }] }]
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
