"""Who takes part in the benchmark: the plain reference, democlass as it is used, and the networks alone."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference import Reference

from democlass.classifier import Classifier
from democlass.inputs.item import Item
from democlass.output.formats import CsvWriter, WriterOptions
from democlass.output.record import RunRecord
from democlass.output.stream import StreamSink
from democlass.output.tally import Tally
from democlass.pipeline import run


@dataclass
class Spent:
    """What a run over a collection took, in seconds.

    `networks` and `decoding` are processor time, of all cores; `waiting` is how long the networks had nothing to do.
    """

    wall: float
    networks: float = 0.0
    decoding: float = 0.0
    other: float = 0.0
    waiting: float = 0.0


Contender = Callable[[Sequence[Path]], Spent]


def reference() -> Contender:
    """Return the plain pipeline: one image at a time."""
    plain = Reference()

    def contend(paths: Sequence[Path]) -> Spent:
        began = time.perf_counter()
        plain.classify(paths)
        return Spent(time.perf_counter() - began)

    return contend


def ours(classifier: Classifier) -> Contender:
    """Return a whole run, from files to CSV."""
    clock = _Clock(classifier)

    def contend(paths: Sequence[Path]) -> Spent:
        clock.reset()
        decoders = getattr(classifier.decode, "pids", ())
        decoding, own, began = sum(map(_cpu, decoders)), time.process_time(), time.perf_counter()
        stream = io.BytesIO()
        with closing(StreamSink(stream, lambda: CsvWriter(stream, WriterOptions()))) as sink:
            sink.begin(RunRecord.of(classifier.networks, classifier.settings, "csv"))
            run(map(Item.of, paths), classifier, sink, Tally())
        wall = time.perf_counter() - began
        return Spent(
            wall,
            networks=clock.cpu,
            decoding=sum(map(_cpu, decoders)) - decoding,
            other=time.process_time() - own - clock.cpu,
            waiting=wall - clock.wall / classifier.networks.streams,
        )

    return contend


def ceiling(classifier: Classifier) -> Contender:
    """Return the same networks, batches, precision and streams on tensors that are ready."""
    networks = classifier.networks
    batch = networks.new_batch()
    for pixels in batch.values():
        pixels.random_(0, 256)

    def contend(paths: Sequence[Path]) -> Spent:
        batches = -(-len(paths) // networks.batch_size)
        began = time.perf_counter()
        if networks.streams == 1:
            for _ in range(batches):
                networks.predict(batch)
        else:
            with ThreadPoolExecutor(networks.streams, initializer=networks.begin_stream) as pool:
                list(pool.map(networks.predict, [batch] * batches))
            networks.end_streams()
        return Spent(time.perf_counter() - began)

    return contend


class _Clock:
    """Counts the wall time and the processor time that a classifier's networks take, over all of its streams."""

    def __init__(self, classifier: Classifier) -> None:
        self.reset()
        self._lock = threading.Lock()
        self._predict = classifier.networks.predict
        self._alone = classifier.networks.streams == 1
        classifier.networks.predict = self._timed  # type: ignore[method-assign]

    def reset(self) -> None:
        self.wall = self.cpu = 0.0

    def _timed(self, batch: Any, **how: Any) -> Any:
        # One stream has threads of its own beside the calling one.
        now = time.process_time if self._alone else time.thread_time
        wall, cpu = time.perf_counter(), now()
        answer = self._predict(batch, **how)
        with self._lock:
            self.wall += time.perf_counter() - wall
            self.cpu += now() - cpu
        return answer


def _cpu(process: int) -> float:
    """Return a process's seconds of processor time, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
