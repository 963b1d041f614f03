"""The batcher: every item gets its own answer, in batches that are as full as what is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from democlass.serve.batcher import Batcher


class Held:
    """Doubles numbers, a batch at a time, once it is let go; remembers the batches."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[int]] = []
        self.began = threading.Semaphore(0)

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.began.release()
        assert self.go.wait(60)
        return [2 * number for number in batch]


def batcher(answer: Callable[[Sequence[int]], Sequence[int]], *, size: int = 4, threads: int = 1, wait: float = 0.0):  # type: ignore[no-untyped-def]
    return closing(Batcher(answer, size=size, threads=threads, wait=wait))


@settings(max_examples=50, deadline=None)
@given(numbers=st.lists(st.integers(), max_size=40), size=st.integers(1, 9), threads=st.integers(1, 3))
def test_everyone_gets_their_own_answer(numbers: list[int], size: int, threads: int) -> None:
    sizes: list[int] = []

    def doubled(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        return [2 * number for number in batch]

    with batcher(doubled, size=size, threads=threads) as asked:
        futures = [asked.submit(number) for number in numbers]
        assert [future.result(60) for future in futures] == [2 * number for number in numbers]
    assert sum(sizes) == len(numbers) and all(1 <= each <= size for each in sizes)


def test_what_has_gathered_meanwhile_goes_together() -> None:
    held = Held()
    with batcher(held) as asked:
        futures = [asked.submit(0)]
        assert held.began.acquire(timeout=60)
        futures += [asked.submit(number) for number in range(1, 7)]
        held.go.set()
        assert [future.result(60) for future in futures] == [0, 2, 4, 6, 8, 10, 12]
    assert held.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_thread_that_may_wait_waits_for_company() -> None:
    held = Held()
    held.go.set()
    with batcher(held, size=2, wait=60) as asked:
        first = asked.submit(1)
        assert not held.batches
        assert asked.submit(2).result(60) == 4 and first.result(60) == 2
    assert held.batches == [[1, 2]]


def test_while_others_are_free_nobody_waits_for_company() -> None:
    held = Held()
    with batcher(held, threads=3, wait=60) as asked:
        while asked._free < 2:  # one gathers, two stand in line
            time.sleep(0.01)
        futures = [asked.submit(number) for number in range(2)]
        for _ in futures:
            assert held.began.acquire(timeout=30)
        held.go.set()
        assert [future.result(60) for future in futures] == [0, 2]
    assert sorted(held.batches) == [[0], [1]]


def test_what_is_cancelled_in_time_is_never_done() -> None:
    held = Held()
    with batcher(held) as asked:
        asked.submit(0)
        assert held.began.acquire(timeout=60)
        unwanted, wanted = asked.submit(1), asked.submit(2)
        assert unwanted.cancel()
        held.go.set()
        assert wanted.result(60) == 4
        with pytest.raises(CancelledError):
            unwanted.result(60)
    assert held.batches == [[0], [2]]


def test_a_batch_that_fails_fails_alone() -> None:
    def no_sevens(batch: Sequence[int]) -> list[int]:
        if 7 in batch:
            raise ArithmeticError("seven")
        return list(batch)

    with batcher(no_sevens, size=1) as asked:
        wrong, right = asked.submit(7), asked.submit(8)
        with pytest.raises(ArithmeticError, match="seven"):
            wrong.result(60)
        assert right.result(60) == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_closing_answers_what_was_asked(threads: int) -> None:
    held = Held()
    asked = Batcher(held, size=2, threads=threads, wait=0)
    futures = [asked.submit(number) for number in range(9)]
    held.go.set()
    asked.close()
    assert [future.result(0) for future in futures] == [2 * number for number in range(9)]


def test_every_thread_begins_first() -> None:
    begun = []
    asked: Batcher[int, int] = Batcher(
        list, size=1, threads=3, wait=0, begin=lambda: begun.append(threading.get_ident())
    )
    asked.close()
    assert len(set(begun)) == 3
