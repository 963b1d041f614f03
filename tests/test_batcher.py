"""The batcher: every input gets its own result, and batches are as full as the queue allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from democlass.networks.batcher import Batcher

TIMEOUT = 60


class BlockedDoubling:
    """Doubles the numbers of a batch once `unblock` is set, and records the batches."""

    def __init__(self) -> None:
        self.unblock = threading.Event()
        self.batches: list[list[int]] = []
        self.started = threading.Semaphore(0)

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.started.release()
        assert self.unblock.wait(TIMEOUT)
        return [2 * number for number in batch]

    def wait_for_start(self) -> None:
        assert self.started.acquire(timeout=TIMEOUT)


def create_batcher(
    process: Callable[[Sequence[int]], Sequence[int]], *, max_size: int = 4, threads: int = 1, max_wait: float = 0.0
) -> closing[Batcher[int, int]]:
    return closing(Batcher(process, max_size=max_size, threads=threads, max_wait=max_wait))


@settings(max_examples=50, deadline=None)
@given(numbers=st.lists(st.integers(), max_size=40), max_size=st.integers(1, 9), threads=st.integers(1, 3))
def test_every_input_gets_its_own_result(numbers: list[int], max_size: int, threads: int) -> None:
    sizes: list[int] = []

    def double(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        return [2 * number for number in batch]

    with create_batcher(double, max_size=max_size, threads=threads) as batcher:
        futures = [batcher.submit(number) for number in numbers]
        assert [future.result(TIMEOUT) for future in futures] == [2 * number for number in numbers]
    assert sum(sizes) == len(numbers) and all(1 <= size <= max_size for size in sizes)


def test_inputs_that_arrive_during_a_batch_form_the_next_ones() -> None:
    process = BlockedDoubling()
    with create_batcher(process) as batcher:
        futures = [batcher.submit(0)]
        process.wait_for_start()
        futures += [batcher.submit(number) for number in range(1, 7)]
        process.unblock.set()
        assert [future.result(TIMEOUT) for future in futures] == [0, 2, 4, 6, 8, 10, 12]
    assert process.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_the_last_idle_thread_waits_for_a_full_batch() -> None:
    process = BlockedDoubling()
    process.unblock.set()
    with create_batcher(process, max_size=2, max_wait=60) as batcher:
        first = batcher.submit(1)
        assert not process.batches
        assert batcher.submit(2).result(TIMEOUT) == 4 and first.result(TIMEOUT) == 2
    assert process.batches == [[1, 2]]


def test_a_thread_does_not_wait_while_others_are_idle() -> None:
    process = BlockedDoubling()
    with create_batcher(process, threads=3, max_wait=60) as batcher:
        while batcher.idle_threads < 2:  # one thread collects a batch, two wait for their turn
            time.sleep(0.01)
        futures = [batcher.submit(number) for number in range(2)]
        for _ in futures:
            process.wait_for_start()
        process.unblock.set()
        assert [future.result(TIMEOUT) for future in futures] == [0, 2]
    assert sorted(process.batches) == [[0], [1]]


def test_an_input_cancelled_before_its_batch_is_not_processed() -> None:
    process = BlockedDoubling()
    with create_batcher(process) as batcher:
        batcher.submit(0)
        process.wait_for_start()
        cancelled, kept = batcher.submit(1), batcher.submit(2)
        assert cancelled.cancel()
        process.unblock.set()
        assert kept.result(TIMEOUT) == 4
        with pytest.raises(CancelledError):
            cancelled.result(TIMEOUT)
    assert process.batches == [[0], [2]]


def test_an_exception_affects_only_its_batch() -> None:
    def reject_seven(batch: Sequence[int]) -> list[int]:
        if 7 in batch:
            raise ArithmeticError("seven")
        return list(batch)

    with create_batcher(reject_seven, max_size=1) as batcher:
        failed, successful = batcher.submit(7), batcher.submit(8)
        with pytest.raises(ArithmeticError, match="seven"):
            failed.result(TIMEOUT)
        assert successful.result(TIMEOUT) == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_close_processes_everything_in_the_queue(threads: int) -> None:
    process = BlockedDoubling()
    with create_batcher(process, max_size=2, threads=threads) as batcher:
        futures = [batcher.submit(number) for number in range(9)]
        process.unblock.set()
    assert [future.result(0) for future in futures] == [2 * number for number in range(9)]


def test_every_thread_is_initialized() -> None:
    initialized = []
    batcher: Batcher[int, int] = Batcher(
        list, max_size=1, threads=3, max_wait=0, initialize=lambda: initialized.append(threading.get_ident())
    )
    batcher.close()
    assert len(set(initialized)) == 3


def test_one_of_its_threads_may_close_it() -> None:
    batchers: list[Batcher[int, int]] = []

    def close_then_copy(numbers: Sequence[int]) -> Sequence[int]:
        batchers[0].close()
        return numbers

    batchers.append(Batcher(close_then_copy, max_size=1, threads=1, max_wait=0))
    assert batchers[0].submit(7).result(TIMEOUT) == 7
