// Calls of 1 MiB, the largest body that is read. What reading costs depends on what it is made of.

/** Largest body that both chains read, in bytes. */
export const LARGEST_BODY = 1_048_576;

/** What fills `arguments`, as JSON: `open`, as many parts as fit, none like another, and `close`. */
export const SHAPES = {
  text: {
    name: 'one text',
    open: '{"path":"src/main.py","content":"',
    part: (n) => JSON.stringify(
      `    def step_${n}(self, request):\n        """Prüft Schritt ${n}."""\n        return self.steps[${n}].run(request, "${n * 7919}")  # and keeps nothing of it\n\n`,
    ).slice(1, -1),
    separator: '',
    close: '"}',
  },
  members: {
    name: 'many members',
    open: '{"table":"customers","rows":[',
    part: (n) => JSON.stringify({
      id: n,
      name: `Customer ${n}`,
      active: n % 3 === 0,
      parent: null,
      address: { street: `${n % 200} High St`, city: 'Springfield', position: { lat: 48 + (n % 97) / 97, lng: -(n % 89) / 89 } },
      tags: ['new', `region-${n % 50}`, 'mail'],
    }),
    separator: ',',
    close: ']}',
  },
  numbers: {
    name: 'numbers and escapes',
    open: '{"series":[',
    part: (n) => `{"label":"\\u00e4\\u4e2d\\ud83d\\ude00\\n\\t\\"${n}\\"","values":[${n * 1000},-${n},0.${n}5,${n % 90}.25e-7,1E3,${n}.0]}`,
    separator: ',',
    close: ']}',
  },
};

/**
 * A `tools/call` of `tool`, as JSON of 1 MiB less at most one part. What is decided on stands
 * last, so that no reader knows enough before it has read all.
 */
export function largeCall(shape, tool, meta) {
  const { open, part, separator, close } = SHAPES[shape];
  const head = `{"jsonrpc":"2.0","id":1,"params":{"_meta":${JSON.stringify(meta)},"arguments":${open}`;
  const tail = `${close},"name":${JSON.stringify(tool)}},"method":"tools/call"}`;
  const parts = [];
  let left = LARGEST_BODY - Buffer.byteLength(head) - Buffer.byteLength(tail);
  for (let next = part(0); left >= 0; next = separator + part(parts.length)) {
    left -= Buffer.byteLength(next);
    if (left >= 0) parts.push(next);
  }
  return `${head}${parts.join('')}${tail}`;
}
