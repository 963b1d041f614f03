"""Item: one image to classify, as everything that finds images passes it on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from democlass.inputs.compact import NameList

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Source: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]"
"""A path, an encoded image, a PIL image, or RGB pixels uint8 H x W x 3."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to classify: its name in the rows, and what to open.

    `name` is None for an image without a name, as one in memory.
    """

    name: str | None
    source: Source

    @classmethod
    def of(cls, source: Source | Item) -> Item:
        """Return the item for a path, which is its own name, or for an image in memory, which has none."""
        if isinstance(source, Item):
            return source
        if isinstance(source, (str, os.PathLike)):
            return cls(os.fspath(source), source)
        return cls(None, source)


class ItemList:
    """Items in order, in little memory: files take one byte besides the bytes of their names."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._names = NameList()
        self._others: dict[int, Item] = {}  # items that are not files of their name, by index
        for item in items:
            if not isinstance(item.source, str):
                self._others[len(self._names)] = item
            self._names.append(item.name or "")

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Item]:
        for index, name in enumerate(self._names):
            yield self._others.get(index) or Item(name, name)
