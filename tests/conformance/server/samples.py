"""The smallest picture and the smallest sound."""

import base64
import struct
import zlib


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# One red pixel.
PNG = b"".join([
    b"\x89PNG\r\n\x1a\n",
    _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
    _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")),
    _chunk(b"IEND", b""),
])
PNG_BASE64 = base64.b64encode(PNG).decode()

# A header and no sample: mono, 8 kHz, 8 bit.
WAV_FORMAT = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + WAV_FORMAT + b"data" + bytes(4)
WAV_BASE64 = base64.b64encode(WAV).decode()
