// The smallest proxy-wasm modules (ABI 0.2.1), written byte by byte: what they cost is what Envoy's
// Wasm host costs. One does nothing; the other verifies one signature per request with the host's
// native function.

/** Value type `i32` and the opcodes used here (WebAssembly Core 2.0, section 5). */
const I32 = 0x7f;
const OP = {
  unreachable: 0x00, if: 0x04, end: 0x0b, call: 0x10, load: 0x28, load16: 0x2f, const: 0x41, ne: 0x47, or: 0x72, empty: 0x40,
};
const SECTION = { type: 1, import: 2, function: 3, memory: 5, export: 7, code: 10, data: 11 };
const EXPORT = { function: 0, memory: 2 };

/** What a filter's callback answers to let things pass (`Action::Continue`). */
const CONTINUE = 0;

/** Addresses in the module's only page: the host's result pointer and length, what the host may write, our data. */
const RESULT = 8;
const SCRATCH = 1024;
const DATA = 8192;

/** `result: true` of the host's `VerifySignatureResult`, as a little-endian number. */
const VERIFIED = 0x0108;

/** Callbacks by the number of their parameters and whether they return something, all `i32`. */
const CALLBACKS = [
  ['proxy_on_context_create', 2, false],
  ['proxy_on_request_headers', 3, true],
  ['proxy_on_request_body', 3, true],
  ['proxy_on_response_headers', 3, true],
  ['proxy_on_response_body', 3, true],
  ['proxy_on_done', 1, true],
  ['proxy_on_log', 1, false],
  ['proxy_on_delete', 1, false],
];

/** A module with the callbacks of a stream, each of which lets everything pass. */
export function noopModule() {
  return build({ imports: [], data: [], onRequestHeaders: [...constant(CONTINUE)] });
}

/**
 * The same, with one native verification in `proxy_on_request_headers`.
 *
 * `spki` and `signature` are DER, `text` is what was signed, with SHA-256. The module traps, and
 * the request fails, when the host does not find the signature good.
 */
export function verifyingModule({ spki, signature, text }) {
  const name = Buffer.from('verify_signature');
  const call = Buffer.concat([[1, Buffer.from('sha256')], [2, spki], [3, signature], [4, text]]
    .map(([field, bytes]) => Buffer.from([field << 3 | 2, ...unsigned(bytes.length), ...bytes])));
  return build({
    imports: [['env', 'proxy_call_foreign_function', 6, true]],
    data: [...name, ...call],
    onRequestHeaders: [
      ...[DATA, name.length, DATA + name.length, call.length, RESULT, RESULT + 4].flatMap(constant),
      OP.call, 0,
      ...constant(RESULT), OP.load, 2, 0, OP.load16, 1, 0, ...constant(VERIFIED), OP.ne,
      OP.or, OP.if, OP.empty, OP.unreachable, OP.end,
      ...constant(CONTINUE),
    ],
  });
}

/** The module's bytes: `imports` are `[module, name, parameters, returns]`. */
function build({ imports, data, onRequestHeaders }) {
  const bodies = { proxy_on_request_headers: onRequestHeaders, malloc: constant(SCRATCH), proxy_on_done: constant(1) };
  const functions = [['proxy_abi_version_0_2_1', 0, false], ['malloc', 1, true], ...CALLBACKS];
  const body = ([name, , returns]) => bodies[name] ?? (returns ? constant(CONTINUE) : []);
  const type = (parameters, returns) => [0x60, ...vector(Array(parameters).fill([I32])), ...vector(returns ? [[I32]] : [])];
  const all = [...imports.map(([, , ...shape]) => shape), ...functions.map(([, ...shape]) => shape)];
  return Buffer.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(SECTION.type, all.map(([parameters, returns]) => type(parameters, returns))),
    ...section(SECTION.import, imports.map(([module, name], index) => [...text(module), ...text(name), 0, ...unsigned(index)])),
    ...section(SECTION.function, functions.map((_, index) => unsigned(imports.length + index))),
    ...section(SECTION.memory, [[0, 1]]),
    ...section(SECTION.export, [
      [...text('memory'), EXPORT.memory, 0],
      ...functions.map(([name], index) => [...text(name), EXPORT.function, ...unsigned(imports.length + index)]),
    ]),
    ...section(SECTION.code, functions.map(body).map((code) => sized([0, ...code, OP.end]))),
    ...section(SECTION.data, [[0, ...constant(DATA), OP.end, ...sized(data)]]),
  ]);
}

const section = (id, items) => [id, ...sized(vector(items))];
const vector = (items) => [...unsigned(items.length), ...items.flat()];
const sized = (bytes) => [...unsigned(bytes.length), ...bytes];
const text = (string) => sized([...Buffer.from(string)]);
const constant = (value) => [OP.const, ...signed(value)];

/** LEB128. */
function unsigned(value) {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...unsigned(value >>> 7)];
}

/** LEB128 of a number that is not negative, as a signed one. */
function signed(value) {
  return value < 0x40 ? [value] : [value & 0x7f | 0x80, ...signed(value >>> 7)];
}
