"""What must be known of the rows that an output has: which files they are of, and which are to be repeated."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from democlass.inputs.compact import DigestCounter, NameList
from democlass.inputs.identity import current_folder, file_key
from democlass.names import encode_name
from democlass.results import Prediction


class RowIndex:
    """The rows of one output, in about 17 bytes a row.

    `folders` says, by the number of the first row, which folder relative names are relative to from that row on.
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
        """Some name is no valid UTF-8."""
        self.has_changed = False
        """Rows were added or repeated after those that were there."""

    def add(self, row: Prediction, *, retry_errors: bool) -> None:
        """Take note of a row that is there, in order; with `retry_errors` one that is an error is to be repeated."""
        name = row.path or ""
        self._keys.add(file_key(name, self._folder_of(self.count)))
        self._note_name(name)
        if retry_errors and row.error is not None:
            self._repeated_rows.append(self.count)
            self._repeated_names.append(name)
        self.count += 1

    def adding(self, rows: Iterable[Prediction], *, retry_errors: bool) -> Iterator[Prediction]:
        """Yield rows that are there, taking note of each."""
        for row in rows:
            self.add(row, retry_errors=retry_errors)
            yield row

    def remaining(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the names of rows to repeat, then those that have no row. Once, for then it forgets which have one.

        A name that is there n times in `names` and has m rows is yielded n - m times. Rows to repeat are yielded under
        a name that leads to the file from the current folder.
        """
        folder = current_folder()
        for row, name in zip(self._repeated_rows, self._repeated_names, strict=True):
            yield name if self._folder_of(row) == folder else os.path.join(self._folder_of(row), name)
        if not len(self._keys):
            yield from names
        else:
            for name in names:
                if not self._keys.remove(file_key(name, folder)):
                    yield name
        self._keys = DigestCounter()

    def place(self, prediction: Prediction) -> tuple[str | None, int | None]:
        """Return the next prediction's name in its row, and the number of the row that it repeats, if it does.

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
