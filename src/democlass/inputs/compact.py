"""Many names in little memory: a list of them, and a collection of their digests that they are looked up in."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGEST_SIZE = 16
"""Bytes of a digest: so many that two of ten million names have the same one with a probability of 1e-25."""

_BLOCK = 2**16


class NameList:
    """File names in order, to be appended and iterated: one byte a name besides the name's own bytes."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._full: list[bytes] = []  # each holds many names, each name ended by a NUL byte
        self._last = bytearray()
        self._length = 0
        for name in names:
            self.append(name)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        for block in (*self._full, bytes(self._last)):
            for name in block.split(b"\0")[:-1]:
                yield name.decode("utf-8", "surrogatepass")

    def append(self, name: str) -> None:
        """Add a file name. It holds no NUL character, as no file name does."""
        self._last += name.encode("utf-8", "surrogatepass")
        self._last.append(0)
        self._length += 1
        if len(self._last) >= _BLOCK:
            self._full.append(bytes(self._last))
            self._last = bytearray()


class DigestCounter:
    """How often each digest was added: first all are added, then they are taken out one by one.

    It holds 17 bytes a digest.
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self._sorted: NDArray[np.bytes_] | None = None
        self._taken = bytearray()  # by the place of a digest that is there once
        self._taken_of_many: Counter[int] = Counter()  # by the first place of a digest that is there more than once

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_SIZE

    def add(self, digest: bytes) -> None:
        """Add a digest of DIGEST_SIZE bytes; not after the first `take`."""
        self._digests += digest

    def take(self, digest: bytes) -> bool:
        """Take out one of those digests; return whether one was left."""
        if not self._digests:
            return False
        found = self._sorted if self._sorted is not None else self._sort()
        needle = _as_array(digest)
        place = int(found.searchsorted(needle)[0])
        if place == len(self) or self._at(place) != digest:
            return False
        if self._at(place + 1) != digest:
            was_left = not self._taken[place]
            self._taken[place] = 1
            return was_left
        count = int(found.searchsorted(needle, side="right")[0]) - place
        self._taken_of_many[place] += 1
        return self._taken_of_many[place] <= count

    def _sort(self) -> NDArray[np.bytes_]:
        self._sorted = _as_array(self._digests)
        self._sorted.sort()
        self._taken = bytearray(len(self))
        return self._sorted

    def _at(self, place: int) -> bytes:
        return bytes(self._digests[place * DIGEST_SIZE : (place + 1) * DIGEST_SIZE])


class Replacements:
    """Which lines of a log take the place of which rows: 16 bytes for each such line."""

    def __init__(self) -> None:
        self._rows = array("Q")
        self._positions = array("Q")

    def add(self, row: int, position: int) -> None:
        """Let the line at `position` take the place of a row; the last one counts."""
        self._rows.append(row)
        self._positions.append(position)

    def in_order(self) -> Iterator[tuple[int, int]]:
        """Yield (row, position), each row once, in the order of rows."""
        if not self._rows:
            return
        import numpy as np

        rows, positions = np.frombuffer(self._rows, np.uint64), np.frombuffer(self._positions, np.uint64)
        order = np.argsort(rows, kind="stable")
        rows, positions = rows[order], positions[order]
        last = np.append(rows[1:] != rows[:-1], True)
        for row, position in zip(rows[last], positions[last], strict=True):
            yield int(row), int(position)


def _as_array(digests: bytes | bytearray) -> Any:
    """Return digests as an array that shares their memory; two with all bytes equal are equal, and only they."""
    import numpy as np

    return np.frombuffer(digests, np.dtype(f"S{DIGEST_SIZE}"))
