"""Hostile image files."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def endless_jpeg(path: Path, *, side: int = 4000, scans: int = 20_000) -> None:
    """Write a progressive JPEG that repeats its last scan many times. Decoders process the whole image each time.

    One megabyte keeps a decoder busy for minutes.
    """
    stream = io.BytesIO()
    Image.new("L", (side, side), "grey").save(stream, "JPEG", progressive=True)
    content = stream.getvalue().removesuffix(_END_OF_IMAGE)
    last = content[content.rindex(_START_OF_SCAN) :]
    path.write_bytes(content + last * scans + _END_OF_IMAGE)
