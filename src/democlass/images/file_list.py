"""Several files in one message: the length of each as uint64, little-endian, before its bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_LENGTH = struct.Struct("<Q")


def pack_files(files: Sequence[bytes]) -> bytes:
    """Return the files as bytes."""
    return b"".join(part for file in files for part in (_LENGTH.pack(len(file)), file))


def unpack_files(content: bytes | bytearray) -> list[bytes]:
    """Return the files that `pack_files` wrote. Raises ValueError for other content."""
    files, start = [], 0
    while start < len(content):
        try:
            (length,) = _LENGTH.unpack_from(content, start)
        except struct.error as error:
            raise ValueError(str(error)) from None
        start += _LENGTH.size
        if length > len(content) - start:
            raise ValueError("the wrong number of bytes")
        files.append(bytes(content[start : start + length]))
        start += length
    return files
