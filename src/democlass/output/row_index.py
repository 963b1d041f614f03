"""An index of the rows that an output has: which files they belong to, and which rows are to be repeated."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from democlass.inputs.compact import DigestCounter, NameList
from democlass.inputs.identity import current_folder, file_key
from democlass.inputs.item import Item
from democlass.names import encode_name
from democlass.results import Prediction


class RowIndex:
    """The rows of one output, in about 17 bytes for each.

    `folders` has the numbers of first rows, and the folder that relative names are relative to from that row on.
    """

    def __init__(self, folders: Sequence[tuple[int, str]] = ()) -> None:
        self._first_rows = [first for first, _ in folders]
        self._folders = [folder for _, folder in folders]
        self._keys = DigestCounter()
        self._repeated_rows = array("Q")
        self._repeated_names = NameList()
        self._to_repeat = zip(self._repeated_rows, self._repeated_names, strict=True)
        self.count = 0
        self.need_path_bytes = False
        """Whether some name is not valid UTF-8."""
        self.has_changed = False
        """Whether rows were added or repeated."""

    def add(self, row: Prediction, *, retry_errors: bool) -> None:
        """Add an existing row, in order. With `retry_errors`, an error row is to be repeated."""
        name = row.path or ""
        self._keys.add(file_key(name, self._folder_of(self.count)))
        self._note_name(name)
        if retry_errors and row.error is not None:
            self._repeated_rows.append(self.count)
            self._repeated_names.append(name)
        self.count += 1

    def adding(self, rows: Iterable[Prediction], *, retry_errors: bool) -> Iterator[Prediction]:
        """Yield existing rows after adding each."""
        for row in rows:
            self.add(row, retry_errors=retry_errors)
            yield row

    def remaining(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items of rows to repeat, then the items without a row. Call it once: it frees its memory.

        A file that is n times in `items` and has m rows is yielded n - m times. Rows to repeat are yielded under a
        name that leads to the file from the current folder.
        """
        folder = current_folder()
        for row, name in zip(self._repeated_rows, self._repeated_names, strict=True):
            yield Item.of(name if self._folder_of(row) == folder else os.path.join(self._folder_of(row), name))
        if not len(self._keys):
            yield from items
        else:
            for item in items:
                if not self._keys.remove(file_key(item.name or "", folder)):
                    yield item
        self._keys = DigestCounter()

    def place(self, prediction: Prediction) -> tuple[str | None, int | None]:
        """Return the name for the next prediction's row, and the number of the row that it replaces, if any.

        Predictions come in the order of `remaining`.
        """
        self.has_changed = True
        number, name = next(self._to_repeat, (None, prediction.path))
        self._note_name(name or "")
        return name, number

    def _folder_of(self, row: int) -> str:
        return self._folders[bisect_right(self._first_rows, row) - 1]

    def _note_name(self, name: str) -> None:
        self.need_path_bytes = self.need_path_bytes or encode_name(name)[1] is not None
