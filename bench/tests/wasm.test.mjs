// The modules made by `wasm.mjs`, in Node's own WebAssembly.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { noopModule, verifyingModule } from '../wasm.mjs';

const PARTS = { spki: Buffer.alloc(91, 1), signature: Buffer.alloc(71, 2), text: Buffer.alloc(500, 3) };

/** The exports of the verifying module on a host that answers with `status` and `result`. */
async function verifying({ status = 0, result = [8, 1] }) {
  const calls = [];
  const host = (name, nameLength, argument, length, resultAt, resultLengthAt) => {
    const memory = new DataView(instance.exports.memory.buffer);
    const bytes = (at, count) => Buffer.from(instance.exports.memory.buffer.slice(at, at + count));
    calls.push({ name: bytes(name, nameLength).toString(), argument: bytes(argument, length) });
    const address = instance.exports.malloc(result.length);
    result.forEach((byte, index) => memory.setUint8(address + index, byte));
    memory.setUint32(resultAt, address, true);
    memory.setUint32(resultLengthAt, result.length, true);
    return status;
  };
  const { instance } = await WebAssembly.instantiate(verifyingModule(PARTS), { env: { proxy_call_foreign_function: host } });
  return { calls, ...instance.exports };
}

test('the no-op module has every callback of a stream and lets everything pass', async () => {
  const { instance } = await WebAssembly.instantiate(noopModule());
  const {
    proxy_on_request_headers: requestHeaders, proxy_on_request_body: requestBody,
    proxy_on_response_headers: responseHeaders, proxy_on_response_body: responseBody,
    proxy_on_done: done, proxy_abi_version_0_2_1: abi,
  } = instance.exports;
  for (const callback of [requestHeaders, requestBody, responseHeaders, responseBody]) assert.equal(callback(2, 1, 0), 0);
  assert.equal(done(2), 1);
  assert.equal(abi(), undefined);
});

test('the verifying module gives the host a key, a signature and a text, once per request', async () => {
  const { calls, proxy_on_request_headers: requestHeaders } = await verifying({});
  assert.equal(requestHeaders(2, 1, 0), 0);
  assert.equal(calls.length, 1);
  assert.equal(calls[0].name, 'verify_signature');
  const field = (number, bytes) => [Buffer.from([number << 3 | 2]), length(bytes.length), bytes];
  assert.deepEqual(calls[0].argument, Buffer.concat([
    ...field(1, Buffer.from('sha256')), ...field(2, PARTS.spki), ...field(3, PARTS.signature), ...field(4, PARTS.text),
  ]));
});

test('the verifying module traps when the host refuses or does not find the signature good', async () => {
  for (const host of [{ status: 1 }, { result: [8, 0] }, { result: [0x1a, 1, 0x78] }]) {
    const { proxy_on_request_headers: requestHeaders } = await verifying(host);
    assert.throws(() => requestHeaders(2, 1, 0), WebAssembly.RuntimeError);
  }
});

/** A protobuf length below 2^14. */
function length(value) {
  return Buffer.from(value < 128 ? [value] : [value & 127 | 128, value >> 7]);
}
