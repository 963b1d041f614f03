"""Names of images on standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from democlass.errors import UsageError

_BLOCK = 2**16


def read_names(stream: BinaryIO, *, null: bool = False) -> Iterator[str]:
    """Yield the names on a stream, one on each line or, with `null`, each ended by a NUL byte. Lazy.

    Raises UsageError if lines hold NUL bytes, which no file name does.
    """
    end, decode = (b"\0", os.fsdecode) if null else (b"\n", _decode_line)
    rest = b""
    while block := _read_available(stream):
        if not null and b"\0" in block:
            raise UsageError(
                "standard input holds NUL bytes: use --null for names that end in them, --stdin-image for an image"
            )
        *complete, rest = (rest + block).split(end)
        yield from (decode(name) for name in complete if name)
    if rest:
        yield decode(rest)


def _decode_line(line: bytes) -> str:
    """Return the name on a line, without the \\r of Windows line endings, unless a file with that name exists."""
    name = line.removesuffix(b"\r")
    return os.fsdecode(line if name != line and os.path.lexists(line) else name)


def _read_available(stream: BinaryIO) -> bytes:
    """Return what has arrived, so that the first name of a slow producer does not wait for a full block."""
    return stream.read1(_BLOCK) if hasattr(stream, "read1") else stream.read(_BLOCK)
