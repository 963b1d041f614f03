"""The loader: image errors are values in the stream, other exceptions are raised."""

from __future__ import annotations

from typing import Any

import pytest

from democlass.errors import ImageError
from democlass.images.loader import load
from democlass.inputs.item import Item, Source
from democlass.tasks import Geometry


def decode_with_errors(source: Source) -> Any:
    number = int(str(source))
    if number % 3 == 2:
        raise ImageError("truncated", "copy it again")
    return [{Geometry.SQUASH: number}]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_each_item_is_yielded_with_its_pixels_or_its_error(workers: int) -> None:
    loaded = list(load(map(Item.of, map(str, range(12))), decode_with_errors, workers=workers, ahead=4))
    assert [item.name for item, _ in loaded] == [str(n) for n in range(12)]
    for number, (_, faces) in enumerate(loaded):
        assert isinstance(faces, ImageError) == (number % 3 == 2)
        assert isinstance(faces, ImageError) or [dict(face) for face in faces] == [{Geometry.SQUASH: number}]


@pytest.mark.parametrize("workers", [0, 2])
def test_other_exceptions_are_raised(workers: int) -> None:
    def fail(_: Source) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(load([Item.of("a")], fail, workers=workers, ahead=2))
