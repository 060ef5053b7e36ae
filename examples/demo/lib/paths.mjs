// Where things are. `setup.mk` puts the tools there.

import { join, resolve } from 'node:path';

/** The repository's root. */
export const ROOT = resolve(import.meta.dirname, '../../..');

/** This demo. */
export const DEMO = resolve(import.meta.dirname, '..');

/** The pinned tools that `make` installed into the project's own folder. */
export const PYTHON = join(ROOT, '.stack/venv/bin/python');
export const ENVOY = join(ROOT, '.stack/venv/bin/envoy');

/** The Node that runs this; `make` sees to it that it is the pinned one. */
export const NODE = process.execPath;

/** The filter, as built by `make build`. */
export const WASM = join(ROOT, 'target/wasm32-wasip1/release/countersign.wasm');

/** The bootstrap for each host mode. */
export const BOOTSTRAPS = {
  stream: join(ROOT, 'envoy/envoy.stream.yaml'),
  hold: join(ROOT, 'envoy/envoy.hold.yaml'),
};
