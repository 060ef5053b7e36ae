// Writes `envoy.yaml` of the examples that differ from `envoy/envoy.stream.yaml` in the filter's
// configuration only, from their `config.json`. `make examples` runs it; a test holds them to it.

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const HERE = import.meta.dirname;
const BOOTSTRAP = join(HERE, '../envoy/envoy.stream.yaml');

/** The line before the filter's configuration, and the indentation of the latter. */
const VALUE = /^( *)value: \|\n(?:\1 +.*\n|\n)+/m;

/** Examples by name that have a walk. */
export function examples() {
  return readdirSync(HERE).filter((name) => existsSync(join(HERE, name, 'walk.json'))).sort();
}

/** The bootstrap of an example. */
export function render(name) {
  const config = readFileSync(join(HERE, name, 'config.json'), 'utf8').trimEnd();
  const title = readFileSync(join(HERE, name, 'README.md'), 'utf8').split('\n', 1)[0].replace(/^# /, '');
  const text = readFileSync(BOOTSTRAP, 'utf8').replace(VALUE, (_match, indent) => {
    const lines = config.split('\n').map((line) => (line ? `${indent}  ${line}` : ''));
    return `${indent}value: |\n${lines.join('\n')}\n`;
  });
  return `# ${title}: envoy/envoy.stream.yaml with the configuration of config.json beside it.
# Made by \`make examples\`. \`make walk EXAMPLE=${name}\` shows it at work.
#
#   envoy -c examples/${name}/envoy.yaml          (from the repository's root)
#
${text}`;
}

if (process.argv[1] === import.meta.filename) {
  for (const name of examples()) writeFileSync(join(HERE, name, 'envoy.yaml'), render(name));
}
