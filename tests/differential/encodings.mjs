// Encodings of text that JSON does not have (RFC 8259 section 8.1).

/** UTF-16 of `text`, `le` or `be`. */
export function utf16(text, order) {
  const bytes = Buffer.from(text, 'utf16le');
  return order === 'le' ? bytes : bytes.swap16();
}

/** UTF-32 of `text`, `le` or `be`. */
export function utf32(text, order) {
  const bytes = Buffer.alloc([...text].length * 4);
  [...text].forEach((character, index) => {
    if (order === 'le') bytes.writeUInt32LE(character.codePointAt(0), index * 4);
    else bytes.writeUInt32BE(character.codePointAt(0), index * 4);
  });
  return bytes;
}

/** UTF-7 (RFC 2152) of `text`, with everything encoded that it does not have as itself. */
export function utf7(text) {
  const encoded = text.replaceAll(/[^A-Za-z0-9'(),./:? -]+/g, (run) => `+${utf16(run, 'be').toString('base64').replaceAll('=', '')}-`);
  return Buffer.from(encoded);
}
