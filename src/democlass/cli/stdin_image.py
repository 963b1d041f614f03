"""One image on standard input, for `classify --stdin-image`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from democlass.errors import DemoclassError, UsageError
from democlass.inputs.local import STANDARD_INPUT

if TYPE_CHECKING:
    from democlass.cli.options import RunOptions

_BLOCK = 2**20
_BYTES_A_PIXEL = 8  # four channels of 16 bits, not compressed
_HEADER_ROOM = 2**20
_MOST_BYTES = 2**31

# How files begin whose first bytes no list of names begins with.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftyp", "HEIC or AVIF"),
)


def check_stdin_image(paths: Sequence[str], options: RunOptions) -> None:
    """Raise UsageError where `--stdin-image` does not go with the rest of the command line."""
    if any(path != STANDARD_INPUT for path in paths) or len(paths) > 1:
        raise UsageError("--stdin-image classifies the one image on standard input: give no PATH, or only -")
    if options.write_mode().resume:
        raise UsageError("--stdin-image has no name that --resume could find in --out: leave one of them out")
    if sys.stdin.isatty():
        raise UsageError("--stdin-image reads from a terminal: send an image, as in classify --stdin-image < face.jpg")


def read_image(stream: BinaryIO, max_pixels: int) -> bytes:
    """Return the bytes of an image. Raises DemoclassError where there are more than `max_pixels` can need."""
    most = min(_BYTES_A_PIXEL * max_pixels + _HEADER_ROOM, _MOST_BYTES)
    content = io.BytesIO()
    while block := stream.read(_BLOCK):
        content.write(block)
        if content.tell() > most:
            raise DemoclassError(f"standard input has over {most:,} bytes, more than an image of --max-pixels can have")
    return content.getvalue()


def refuse_image(stream: BinaryIO) -> None:
    """Raise UsageError where an image comes in the place of a list of names; nothing of the stream is consumed."""
    start = stream.peek(16) if isinstance(stream, io.BufferedReader) else b""
    for offset, signature, name in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            raise UsageError(f"standard input is an image ({name}), not a list of names: use classify --stdin-image")
