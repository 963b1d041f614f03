"""File names are untrusted input. These functions write them so that they can do no harm.

Inside democlass a name is the `str` that `os.fsdecode` returns: bytes that are not UTF-8 are lone surrogates.
"""

from __future__ import annotations

import os
import re

# Characters that move the cursor, hide text, change its direction or break a line: C0, DEL, C1, directional marks,
# line and paragraph separators. Also surrogates, which can't be encoded.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def encode_name(name: str) -> tuple[str, str | None]:
    """Return a name as valid UTF-8 text, and its raw bytes in hex if the text alone is ambiguous.

    In the text, bytes that are not UTF-8 are written as `\\xNN`.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raw = raw_bytes(name)
        return raw.decode("utf-8", "backslashreplace"), raw.hex()
    return name, None


def decode_name(text: str, raw_hex: str | None) -> str:
    """Return the name that `encode_name` encoded."""
    return os.fsdecode(bytes.fromhex(raw_hex)) if raw_hex else text


def raw_bytes(name: str) -> bytes:
    """Return the bytes of a name in the file system."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # a surrogate that `os.fsdecode` never returns: no such file can exist
        return name.encode("utf-8", "surrogatepass")


def to_printable(text: str) -> str:
    """Return the text on one line, with characters that control a terminal written as escapes."""
    return _UNPRINTABLE.sub(_escape, encode_name(text)[0])


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def escape_in_json(document: str) -> str:
    """Return the same JSON, with characters that control a terminal written as `\\uNNNN`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)
