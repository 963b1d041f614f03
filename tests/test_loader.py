"""The loader: in order, errors as values, never far ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from democlass.errors import ImageError
from democlass.images import Input
from democlass.loader import load
from democlass.tasks import Geometry


def slow_first(source: Input) -> Any:
    """Take longest for the first, so that order has to be kept against time."""
    number = int(str(source))
    time.sleep(0.05 / (number + 1))
    if number % 3 == 2:
        raise ImageError("truncated", "copy it again")
    return {Geometry.SQUASH: number}


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_order_is_kept_and_errors_are_values(workers: int) -> None:
    loaded = list(load([str(n) for n in range(12)], slow_first, workers=workers, ahead=4))
    assert [source for source, _ in loaded] == [str(n) for n in range(12)]
    for number, (_, pixels) in enumerate(loaded):
        assert isinstance(pixels, ImageError) == (number % 3 == 2)
        assert isinstance(pixels, ImageError) or dict(pixels) == {Geometry.SQUASH: number}


@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_than_so_many_inputs_are_taken_ahead(workers: int) -> None:
    taken = 0

    def inputs() -> Iterator[str]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield str(number)

    stream = load(inputs(), lambda _: {}, workers=workers, ahead=5)
    for consumed in range(1, 11):
        next(stream)
        assert taken <= consumed + 5
    stream.close()


def test_what_is_not_an_image_error_reaches_the_caller() -> None:
    def broken(_: Input) -> Any:
        raise ZeroDivisionError

    for workers in (0, 2):
        with pytest.raises(ZeroDivisionError):
            list(load(["a"], broken, workers=workers, ahead=2))


def test_leaving_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    stream = load([str(n) for n in range(50)], slow_first, workers=3, ahead=6)
    next(stream)
    stream.close()
    assert threading.active_count() == before
