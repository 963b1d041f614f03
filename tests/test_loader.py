"""The loader: errors are values in the stream, and only they."""

from __future__ import annotations

from typing import Any

import pytest

from democlass.errors import ImageError
from democlass.images.decode import Input
from democlass.images.loader import load
from democlass.tasks import Geometry


def every_third_is_broken(source: Input) -> Any:
    number = int(str(source))
    if number % 3 == 2:
        raise ImageError("truncated", "copy it again")
    return {Geometry.SQUASH: number}


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_each_input_comes_with_its_pixels_or_its_error(workers: int) -> None:
    loaded = list(load([str(n) for n in range(12)], every_third_is_broken, workers=workers, ahead=4))
    assert [source for source, _ in loaded] == [str(n) for n in range(12)]
    for number, (_, pixels) in enumerate(loaded):
        assert isinstance(pixels, ImageError) == (number % 3 == 2)
        assert isinstance(pixels, ImageError) or dict(pixels) == {Geometry.SQUASH: number}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_not_an_image_error_reaches_the_caller(workers: int) -> None:
    def broken(_: Input) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(load(["a"], broken, workers=workers, ahead=2))
