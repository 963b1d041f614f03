"""One image on standard input, for `classify --stdin-image`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from democlass.errors import DemoclassError, UsageError
from democlass.inputs.local import STANDARD_INPUT

if TYPE_CHECKING:
    from democlass.cli.run_options import RunOptions

_BLOCK = 2**20
_BYTES_PER_PIXEL = 8  # four channels of 16 bits, uncompressed
_HEADER_BYTES = 2**20
_MAX_BYTES = 2**31

# The first bytes of image formats: offset, bytes, name. Only formats that no list of names starts like.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftyp", "HEIC or AVIF"),
)


def check_stdin_image(paths: Sequence[str], options: RunOptions) -> None:
    """Raise UsageError if `--stdin-image` contradicts the rest of the command line."""
    if any(path != STANDARD_INPUT for path in paths) or len(paths) > 1:
        raise UsageError("--stdin-image classifies the one image on standard input: give no PATH, or only -")
    if options.write_mode().resume:
        raise UsageError(
            "--stdin-image can't be combined with --resume: an image on standard input has no name to find in --out"
        )
    if sys.stdin.isatty():
        raise UsageError("--stdin-image needs an image on standard input, as in classify --stdin-image < face.jpg")


def read_image(stream: BinaryIO, max_pixels: int) -> bytes:
    """Return the bytes of an image. Raises DemoclassError if there are more than `max_pixels` pixels can need."""
    limit = min(_BYTES_PER_PIXEL * max_pixels + _HEADER_BYTES, _MAX_BYTES)
    content = io.BytesIO()
    while block := stream.read(_BLOCK):
        content.write(block)
        if content.tell() > limit:
            raise DemoclassError(f"standard input has over {limit:,} bytes, too many for an image of --max-pixels")
    return content.getvalue()


def refuse_image(stream: BinaryIO) -> None:
    """Raise UsageError if the stream holds an image instead of a list of names. Consumes nothing of it."""
    start = stream.peek(16) if isinstance(stream, io.BufferedReader) else b""
    for offset, signature, name in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            raise UsageError(f"standard input is an image ({name}), not a list of names: use classify --stdin-image")
