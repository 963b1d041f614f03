"""File names are data from strangers: how they are written so that they can do no harm.

Inside democlass a name is the `str` that Python makes of it (bytes that are no UTF-8 are lone surrogates).
"""

from __future__ import annotations

import os
import re

# What moves a cursor, hides text, turns its direction or breaks a line: C0, DEL, C1, directional marks,
# line and paragraph separators; and surrogates, which are no text at all.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def readable(name: str) -> tuple[str, str | None]:
    """Return the name as valid UTF-8 text, and its raw bytes in hex where the text alone would not tell them.

    Bytes that are no UTF-8 read `\\xNN`.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raw = raw_bytes(name)
        return raw.decode("utf-8", "backslashreplace"), raw.hex()
    return name, None


def original(text: str, raw_hex: str | None) -> str:
    """Undo `readable`."""
    return os.fsdecode(bytes.fromhex(raw_hex)) if raw_hex else text


def raw_bytes(name: str) -> bytes:
    """Return the bytes that the file system knows the name by."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # a surrogate that no file name decodes to: such a file can't exist
        return name.encode("utf-8", "surrogatepass")


def visible(text: str) -> str:
    """Return the text on one line, all that acts on a terminal written out as an escape."""
    return _UNPRINTABLE.sub(_escape, readable(text)[0])


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def escape_in_json(document: str) -> str:
    """Return the same JSON, all that acts on a terminal written as `\\uNNNN`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)
