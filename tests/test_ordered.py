"""`ordered`: work in threads, a bounded number of items ahead, with results in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from democlass.images.ordered import ordered


def slowest_first(number: int) -> int:
    time.sleep(0.03 / (number + 1))
    return number**2


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_have_the_order_of_the_items(workers: int) -> None:
    assert list(ordered(range(12), slowest_first, workers=workers, ahead=4)) == [n**2 for n in range(12)]


@pytest.mark.parametrize("workers", [0, 2])
def test_at_most_ahead_items_are_read_ahead(workers: int) -> None:
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(100):
            read += 1
            yield number

    stream = ordered(items(), slowest_first, workers=workers, ahead=5)
    for consumed in range(1, 11):
        next(stream)
        assert read <= consumed + 5
    stream.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_is_raised_at_the_position_of_its_item(workers: int) -> None:
    stream = ordered([1, 0, 1], lambda number: 1 // number, workers=workers, ahead=3)
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_begin_is_called_once_per_thread_and_items_are_read_in_the_calling_thread() -> None:
    begun_in: list[str] = []
    read_in: set[str] = set()

    def items() -> Iterator[int]:
        for number in range(40):
            read_in.add(threading.current_thread().name)
            yield number

    def begin() -> None:
        begun_in.append(threading.current_thread().name)

    list(ordered(items(), slowest_first, workers=3, ahead=6, begin=begin))
    assert 1 <= len(begun_in) <= 3 and len(set(begun_in)) == len(begun_in)
    assert read_in == {threading.current_thread().name}


def test_closing_early_ends_all_threads() -> None:
    before = threading.active_count()
    stream = ordered(range(50), slowest_first, workers=3, ahead=6)
    next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [1, 3])
def test_closing_early_cancels_the_work_before_it_waits_for_the_threads(workers: int) -> None:
    cancelled = threading.Event()

    def work(number: int) -> int:
        return number if number == 0 else int(cancelled.wait())

    stream = ordered(range(20), work, workers=workers, ahead=2, cancel=cancelled.set)
    assert next(stream) == 0
    stream.close()
    assert cancelled.is_set()


def test_an_exception_cancels_the_other_work() -> None:
    cancelled = threading.Event()
    stream = ordered([0, 1, 2], lambda number: cancelled.wait() if number else 1 // 0, workers=2, ahead=2,
                     cancel=cancelled.set)  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert cancelled.is_set()


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_cancelled_if_all_results_were_read(workers: int) -> None:
    def cancel() -> None:
        raise AssertionError

    assert list(ordered(range(5), slowest_first, workers=workers, ahead=2, cancel=cancel)) == [0, 1, 4, 9, 16]
