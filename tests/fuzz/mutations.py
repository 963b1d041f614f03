"""Damages valid image files."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.seeds import seeds

Damage = Callable[[random.Random, bytearray], bytearray]

_NUMBERS = (0, 1, 2, 7, 8, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_MAX_BYTES = 2_000_000
_COMMON = ("AVIF", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
_PNG, _END_OF_JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd9"


@dataclass(frozen=True)
class Mutant:
    """A damaged file, its original format, and the damages that were applied."""

    number: int
    format: str
    damage: tuple[str, ...]
    content: bytes


def mutant(seed: int, number: int) -> Mutant:
    """Create the damaged file with this number. It depends only on the seed, the number and the version of Pillow."""
    rng = random.Random(f"{seed}-{number}")
    formats = sorted(seeds() if rng.random() < 0.4 else set(_COMMON) & set(seeds()))
    format_ = rng.choice(formats)
    content = bytearray(rng.choice(seeds()[format_]))
    names = []
    if number % 100:  # one in a hundred stays valid
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            damage = rng.choice(_DAMAGES)
            content = damage(rng, content)[:_MAX_BYTES]
            names.append(damage.__name__.lstrip("_"))
    if content.startswith(_PNG) and rng.random() < 0.6:
        content = _fix_checksums(content)
    return Mutant(number, format_, tuple(names), bytes(content))


def _flip_bits(rng: random.Random, content: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 4, 16)) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _flip_header_bits(rng: random.Random, content: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 2, 3)) if content else 0):
        content[rng.randrange(min(len(content), 100))] ^= 1 << rng.randrange(8)
    return content


def _set_bytes(rng: random.Random, content: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 4) if content else 0):
        content[rng.randrange(len(content))] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return content


def _overwrite_number(rng: random.Random, content: bytearray) -> bytearray:
    """Overwrite bytes that may be a length, a size or an offset."""
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    number = rng.choice((*_NUMBERS, rng.randrange(5000), len(content)))
    packed = struct.pack(kind, number % 256 ** struct.calcsize(kind))
    near_start = rng.random() < 0.5
    position = rng.randrange(max(1, min(len(content), 200) if near_start else len(content)))
    content[position : position + len(packed)] = packed
    return content


def _truncate(rng: random.Random, content: bytearray) -> bytearray:
    return content[: rng.randrange(len(content) + 1)]


def _delete(rng: random.Random, content: bytearray) -> bytearray:
    start, end = _span(rng, content)
    return content[:start] + content[end:]


def _repeat(rng: random.Random, content: bytearray) -> bytearray:
    start, end = _span(rng, content)
    return content[:end] + content[start:end] * rng.choice((1, 2, 10)) + content[end:]


def _insert(rng: random.Random, content: bytearray) -> bytearray:
    position = rng.randrange(len(content) + 1)
    return content[:position] + rng.randbytes(rng.choice((1, 2, 4, 30, 300))) + content[position:]


def _splice(rng: random.Random, content: bytearray) -> bytearray:
    """Continue with another file; in half of the cases with one that starts with the same bytes."""
    similar = [file for files in seeds().values() for file in files if file[:4] == content[:4]]
    other = rng.choice(similar or [b"\0"]) if rng.random() < 0.5 else rng.choice(seeds()[rng.choice(sorted(seeds()))])
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other)) :]


def _shuffle(rng: random.Random, content: bytearray) -> bytearray:
    start, end = _span(rng, content)
    middle = rng.randint(start, end)
    return content[:start] + content[middle:end] + content[start:middle] + content[end:]


def _repeat_last_scan(rng: random.Random, content: bytearray) -> bytearray:
    """Repeat the last scan of a JPEG. Damage other files in another way."""
    end = content.rfind(_END_OF_JPEG)
    start = content.rfind(b"\xff\xda", 0, end)
    if end < 0 or start < 0:
        return _repeat(rng, content)
    return content[:end] + content[start:end] * rng.choice((1, 5, 100)) + content[end:]


def _set_orientation(rng: random.Random, content: bytearray) -> bytearray:
    """Insert an EXIF orientation into a JPEG. Damage other files in another way."""
    if content[:2] != b"\xff\xd8":
        return _overwrite_number(rng, content)
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, rng.randrange(12), 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


_DAMAGES: tuple[Damage, ...] = (
    _flip_bits, _flip_header_bits, _set_bytes, _overwrite_number, _overwrite_number, _truncate, _delete, _repeat,
    _insert, _splice, _shuffle, _repeat_last_scan, _set_orientation,
)  # fmt: skip


def _span(rng: random.Random, content: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice((1, 2, 4, 16, 100, 1000)))


def _fix_checksums(content: bytearray) -> bytearray:
    """Return the PNG with correct checksums, as far as the lengths of its chunks are valid."""
    position = len(_PNG)
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[position + 4 : end]))
        position = end + 4
    return content
