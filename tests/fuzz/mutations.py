"""How sound files are damaged."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.seeds import seeds

Damage = Callable[[random.Random, bytearray], bytearray]

_NUMBERS = (0, 1, 2, 7, 8, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_MOST_BYTES = 2_000_000
_COMMON = ("AVIF", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
_PNG, _END_OF_JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd9"


@dataclass(frozen=True)
class Mutant:
    """A damaged file, the format it was made from, and what was done to it."""

    number: int
    format: str
    damage: tuple[str, ...]
    content: bytes


def mutant(seed: int, number: int) -> Mutant:
    """Return the damaged file with a number: always the same for a seed and a version of Pillow."""
    chance = random.Random(f"{seed}-{number}")
    formats = sorted(seeds() if chance.random() < 0.4 else set(_COMMON) & set(seeds()))
    format_ = chance.choice(formats)
    content = bytearray(chance.choice(seeds()[format_]))
    names = []
    if number % 100:  # one in a hundred stays sound
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            damage = chance.choice(_DAMAGES)
            content = damage(chance, content)[:_MOST_BYTES]
            names.append(damage.__name__.lstrip("_"))
    if content.startswith(_PNG) and chance.random() < 0.6:
        content = _with_right_checksums(content)
    return Mutant(number, format_, tuple(names), bytes(content))


def _flip_bits(chance: random.Random, content: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 4, 16)) if content else 0):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _flip_bits_of_the_header(chance: random.Random, content: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 2, 3)) if content else 0):
        content[chance.randrange(min(len(content), 100))] ^= 1 << chance.randrange(8)
    return content


def _set_bytes(chance: random.Random, content: bytearray) -> bytearray:
    for _ in range(chance.randint(1, 4) if content else 0):
        content[chance.randrange(len(content))] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return content


def _set_a_number(chance: random.Random, content: bytearray) -> bytearray:
    """Write over what may be a length, a size or an offset."""
    kind = chance.choice(("<H", ">H", "<I", ">I"))
    number = chance.choice((*_NUMBERS, chance.randrange(5000), len(content)))
    packed = struct.pack(kind, number % 256 ** struct.calcsize(kind))
    near_start = chance.random() < 0.5
    place = chance.randrange(max(1, min(len(content), 200) if near_start else len(content)))
    content[place : place + len(packed)] = packed
    return content


def _truncate(chance: random.Random, content: bytearray) -> bytearray:
    return content[: chance.randrange(len(content) + 1)]


def _delete(chance: random.Random, content: bytearray) -> bytearray:
    start, end = _span(chance, content)
    return content[:start] + content[end:]


def _repeat(chance: random.Random, content: bytearray) -> bytearray:
    start, end = _span(chance, content)
    return content[:end] + content[start:end] * chance.choice((1, 2, 10)) + content[end:]


def _insert(chance: random.Random, content: bytearray) -> bytearray:
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.randbytes(chance.choice((1, 2, 4, 30, 300))) + content[place:]


def _splice(chance: random.Random, content: bytearray) -> bytearray:
    """Go on with another file, half of the time one of the same beginning."""
    alike = [file for files in seeds().values() for file in files if file[:4] == content[:4]]
    other = (
        chance.choice(alike or [b"\0"])
        if chance.random() < 0.5
        else chance.choice(seeds()[chance.choice(sorted(seeds()))])
    )
    return content[: chance.randrange(len(content) + 1)] + other[chance.randrange(len(other)) :]


def _shuffle(chance: random.Random, content: bytearray) -> bytearray:
    start, end = _span(chance, content)
    middle = chance.randint(start, end)
    return content[:start] + content[middle:end] + content[start:middle] + content[end:]


def _repeat_the_last_scan(chance: random.Random, content: bytearray) -> bytearray:
    """Of a JPEG; what is damaged in other files is the tail."""
    end = content.rfind(_END_OF_JPEG)
    start = content.rfind(b"\xff\xda", 0, end)
    if end < 0 or start < 0:
        return _repeat(chance, content)
    return content[:end] + content[start:end] * chance.choice((1, 5, 100)) + content[end:]


def _set_the_orientation(chance: random.Random, content: bytearray) -> bytearray:
    """Put EXIF in front of a JPEG; a TIFF has its own."""
    if content[:2] != b"\xff\xd8":
        return _set_a_number(chance, content)
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, chance.randrange(12), 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


_DAMAGES: tuple[Damage, ...] = (
    _flip_bits, _flip_bits_of_the_header, _set_bytes, _set_a_number, _set_a_number, _truncate, _delete, _repeat,
    _insert, _splice, _shuffle, _repeat_the_last_scan, _set_the_orientation,
)  # fmt: skip


def _span(chance: random.Random, content: bytearray) -> tuple[int, int]:
    start = chance.randrange(len(content) + 1)
    return start, min(len(content), start + chance.choice((1, 2, 4, 16, 100, 1000)))


def _with_right_checksums(content: bytearray) -> bytearray:
    """Return a PNG whose chunks pass for undamaged, as far as their lengths can be followed."""
    place = len(_PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return content
