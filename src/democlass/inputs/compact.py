"""Data structures that hold many file names, or digests of them, in little memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGEST_SIZE = 16
"""Size of a digest in bytes. Two of ten million names have the same digest with a probability of 1e-25."""

_BLOCK_SIZE = 2**16


class NameList:
    """A list of file names that supports append and iteration. It needs the bytes of each name and one more."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._full_blocks: list[bytes] = []  # many names each, every name followed by a NUL byte
        self._last_block = bytearray()
        self._length = 0
        for name in names:
            self.append(name)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        for block in (*self._full_blocks, bytes(self._last_block)):
            for name in block.split(b"\0")[:-1]:
                yield name.decode("utf-8", "surrogatepass")

    def append(self, name: str) -> None:
        """Add a file name. It must not contain a NUL character."""
        self._last_block += name.encode("utf-8", "surrogatepass")
        self._last_block.append(0)
        self._length += 1
        if len(self._last_block) >= _BLOCK_SIZE:
            self._full_blocks.append(bytes(self._last_block))
            self._last_block = bytearray()


class DigestCounter:
    """A multiset of digests: first all are added, then they are removed one by one. It needs 17 bytes a digest."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._sorted: NDArray[np.bytes_] | None = None
        self._is_removed = bytearray()  # for digests that were added once, by index
        self._removed_counts: Counter[int] = Counter()  # for digests that were added several times, by first index

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_SIZE

    def add(self, digest: bytes) -> None:
        """Add a digest of DIGEST_SIZE bytes. Must not be called after `remove`."""
        self._digests += digest

    def remove(self, digest: bytes) -> bool:
        """Remove a digest once and return True, or return False if none is left."""
        if not self._digests:
            return False
        digests = self._sorted if self._sorted is not None else self._sort()
        needle = _as_array(digest)
        index = int(digests.searchsorted(needle)[0])
        if index == len(self) or self._get(index) != digest:
            return False
        if self._get(index + 1) != digest:
            was_left = not self._is_removed[index]
            self._is_removed[index] = 1
            return was_left
        count = int(digests.searchsorted(needle, side="right")[0]) - index
        self._removed_counts[index] += 1
        return self._removed_counts[index] <= count

    def _sort(self) -> NDArray[np.bytes_]:
        self._sorted = _as_array(self._digests)
        self._sorted.sort()
        self._is_removed = bytearray(len(self))
        return self._sorted

    def _get(self, index: int) -> bytes:
        return bytes(self._digests[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE])


class Replacements:
    """The lines of a log that replace earlier rows: row numbers and positions in the log, 16 bytes a line."""

    def __init__(self) -> None:
        self._rows = array("Q")
        self._positions = array("Q")

    def add(self, row: int, position: int) -> None:
        """Replace a row with the line at `position`. The last replacement of a row counts."""
        self._rows.append(row)
        self._positions.append(position)

    def sorted_by_row(self) -> Iterator[tuple[int, int]]:
        """Yield (row, position), each row once, sorted by row."""
        if not self._rows:
            return
        import numpy as np

        rows, positions = np.frombuffer(self._rows, np.uint64), np.frombuffer(self._positions, np.uint64)
        order = np.argsort(rows, kind="stable")
        rows, positions = rows[order], positions[order]
        is_last = np.append(rows[1:] != rows[:-1], True)
        for row, position in zip(rows[is_last], positions[is_last], strict=True):
            yield int(row), int(position)


def _as_array(digests: bytes | bytearray) -> Any:
    """Return digests as an array that shares their memory. Elements compare like the bytes of the digests."""
    import numpy as np

    return np.frombuffer(digests, np.dtype(f"S{DIGEST_SIZE}"))
