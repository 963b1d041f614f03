"""Grouping: the values by which a report is divided, such as the folder of an image or the column of a joined file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from democlass.errors import UsageError

FOLDER = "folder"
NO_VALUE = "(no value)"


@dataclass(frozen=True)
class Joined:
    """The columns of a joined file: `rows` maps the name of an image to the values of `columns`."""

    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, file: Path, on: str, columns: Sequence[str]) -> Joined:
        """Read some columns of a CSV with a header; the column `on` has the names of the images. Raises UsageError."""
        try:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                lines = csv.reader(stream, strict=True)
                header = next(lines, [])
                for name in (on, *columns):
                    if name not in header:
                        raise UsageError(f"--join {file} has no column {name}: its columns are {', '.join(header)}")
                key, places = header.index(on), [header.index(name) for name in columns]
                rows = {line[key]: tuple(line[place] for place in places) for line in lines if len(line) == len(header)}
        except OSError as error:
            raise UsageError(f"can't read --join {file}: {error.strerror}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"--join {file} is not a CSV in UTF-8: {error}") from None
        return cls(columns, rows)


@dataclass(frozen=True)
class Grouping:
    """Groups images by one value for each of `names`: `folder`, `folder:DEPTH` or a column of the joined file."""

    names: Sequence[str]
    joined: Joined = field(default_factory=lambda: Joined((), {}))

    def __post_init__(self) -> None:
        """Raise UsageError if a depth is not a number above 0, or a column is missing."""
        for name in self.names:
            kind, depth = _parse(name)
            if kind == FOLDER and (not depth or (depth.isdecimal() and int(depth) > 0)):
                continue
            if name not in self.joined.columns:
                raise UsageError(f"--by {name}: use folder, folder:DEPTH, or a column of --join FILE")

    def values(self, paths: Iterable[str]) -> list[tuple[str, ...]]:
        """Return the values of images, by their paths."""
        return [tuple(self._value(name, path) for name in self.names) for path in paths]

    def _value(self, name: str, path: str) -> str:
        kind, depth = _parse(name)
        if kind == FOLDER and name not in self.joined.columns:
            folder = PurePath(path).parent
            return str(PurePath(*folder.parts[: int(depth)]) if depth and folder.parts else folder)
        row = self.joined.rows.get(path)
        return (row[list(self.joined.columns).index(name)] if row else "") or NO_VALUE


def _parse(name: str) -> tuple[str, str]:
    """Return the parts of `folder:DEPTH`; the depth is empty if there is none."""
    kind, _, depth = name.partition(":")
    return kind, depth
