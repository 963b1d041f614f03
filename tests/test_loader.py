"""The loader: errors are values in the stream, and only they."""

from __future__ import annotations

from typing import Any

import pytest

from democlass.errors import ImageError
from democlass.images.loader import load
from democlass.inputs.item import Item, Source
from democlass.tasks import Geometry


def every_third_is_broken(source: Source) -> Any:
    number = int(str(source))
    if number % 3 == 2:
        raise ImageError("truncated", "copy it again")
    return [{Geometry.SQUASH: number}]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_each_input_comes_with_its_pixels_or_its_error(workers: int) -> None:
    loaded = list(load(map(Item.of, map(str, range(12))), every_third_is_broken, workers=workers, ahead=4))
    assert [item.name for item, _ in loaded] == [str(n) for n in range(12)]
    for number, (_, faces) in enumerate(loaded):
        assert isinstance(faces, ImageError) == (number % 3 == 2)
        assert isinstance(faces, ImageError) or [dict(face) for face in faces] == [{Geometry.SQUASH: number}]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_not_an_image_error_reaches_the_caller(workers: int) -> None:
    def broken(_: Source) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(load([Item.of("a")], broken, workers=workers, ahead=2))
