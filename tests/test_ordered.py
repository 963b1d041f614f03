"""Work done ahead in threads: in order, never far ahead, leaving nothing behind."""

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
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(ordered(range(12), slowest_first, workers=workers, ahead=4)) == [n**2 for n in range(12)]


@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_than_so_many_items_are_taken_ahead(workers: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    stream = ordered(items(), slowest_first, workers=workers, ahead=5)
    for consumed in range(1, 11):
        next(stream)
        assert taken <= consumed + 5
    stream.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_work_raises_is_raised_when_its_turn_comes(workers: int) -> None:
    stream = ordered([1, 0, 1], lambda number: 1 // number, workers=workers, ahead=3)
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_every_thread_begins_once_and_items_are_taken_in_the_callers() -> None:
    begun: list[str] = []
    taken: set[str] = set()

    def items() -> Iterator[int]:
        for number in range(40):
            taken.add(threading.current_thread().name)
            yield number

    def begin() -> None:
        begun.append(threading.current_thread().name)

    list(ordered(items(), slowest_first, workers=3, ahead=6, begin=begin))
    assert 1 <= len(begun) <= 3 and len(set(begun)) == len(begun)
    assert taken == {threading.current_thread().name}


def test_leaving_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    stream = ordered(range(50), slowest_first, workers=3, ahead=6)
    next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [1, 3])
def test_work_is_cancelled_where_it_ends_early_before_the_threads_are_waited_for(workers: int) -> None:
    cancelled = threading.Event()

    def work(number: int) -> int:
        return number if number == 0 else int(cancelled.wait())

    stream = ordered(range(20), work, workers=workers, ahead=2, cancel=cancelled.set)
    assert next(stream) == 0
    stream.close()
    assert cancelled.is_set()


def test_what_work_raises_cancels_the_rest() -> None:
    cancelled = threading.Event()
    stream = ordered([0, 1, 2], lambda number: cancelled.wait() if number else 1 // 0, workers=2, ahead=2,
                     cancel=cancelled.set)  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert cancelled.is_set()


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_cancelled_at_the_end(workers: int) -> None:
    def cancel() -> None:
        raise AssertionError

    assert list(ordered(range(5), slowest_first, workers=workers, ahead=2, cancel=cancel)) == [0, 1, 4, 9, 16]
