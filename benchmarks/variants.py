"""What the benchmarks time: the plain reference, democlass from files to CSV, and the networks alone."""

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
class Timing:
    """How long a run took, in seconds.

    `networks`, `decoding` and `other` are processor time of all cores. `waiting` is how long the networks were idle.
    """

    wall: float
    networks: float = 0.0
    decoding: float = 0.0
    other: float = 0.0
    waiting: float = 0.0


Variant = Callable[[Sequence[Path]], Timing]
"""Classifies images and returns how long that took."""


def reference_variant() -> Variant:
    """Return the plain pipeline: one image at a time."""
    plain = Reference()

    def time_run(paths: Sequence[Path]) -> Timing:
        began = time.perf_counter()
        plain.classify(paths)
        return Timing(time.perf_counter() - began)

    return time_run


def democlass_variant(classifier: Classifier) -> Variant:
    """Return a complete run, from files to CSV."""
    timer = _NetworkTimer(classifier)

    def time_run(paths: Sequence[Path]) -> Timing:
        timer.reset()
        decoders = getattr(classifier.reader.decode, "pids", ())
        decoding, own, began = sum(map(_processor_seconds, decoders)), time.process_time(), time.perf_counter()
        stream = io.BytesIO()
        options = WriterOptions(faces=classifier.settings.faces)
        with closing(StreamSink(stream, lambda: CsvWriter(stream, options))) as sink:
            sink.begin(RunRecord.of(classifier.networks, classifier.settings, "csv"))
            run(map(Item.of, paths), classifier, sink, Tally())
        wall = time.perf_counter() - began
        return Timing(
            wall,
            networks=timer.processor,
            decoding=sum(map(_processor_seconds, decoders)) - decoding,
            other=time.process_time() - own - timer.processor,
            waiting=wall - timer.wall / classifier.networks.streams,
        )

    return time_run


def ceiling_variant(classifier: Classifier) -> Variant:
    """Return the same networks, batches, precision and streams, on tensors that are already in memory."""
    networks = classifier.networks
    batch = networks.new_batch()
    for pixels in batch.values():
        pixels.random_(0, 256)

    def time_run(paths: Sequence[Path]) -> Timing:
        batches = -(-len(paths) // networks.batch_size)
        began = time.perf_counter()
        if networks.streams == 1:
            for _ in range(batches):
                networks.predict(batch)
        else:
            with ThreadPoolExecutor(networks.streams, initializer=networks.begin_stream) as pool:
                list(pool.map(networks.predict, [batch] * batches))
            networks.end_streams()
        return Timing(time.perf_counter() - began)

    return time_run


class _NetworkTimer:
    """Adds up the wall time and the processor time of a classifier's networks, over all of its streams."""

    def __init__(self, classifier: Classifier) -> None:
        self.reset()
        self._lock = threading.Lock()
        self._predict = classifier.networks.predict
        self._has_one_stream = classifier.networks.streams == 1
        classifier.networks.predict = self._timed_predict  # type: ignore[method-assign]

    def reset(self) -> None:
        self.wall = self.processor = 0.0

    def _timed_predict(self, batch: Any, **options: Any) -> Any:
        # A single stream uses threads besides the calling one.
        now = time.process_time if self._has_one_stream else time.thread_time
        wall, processor = time.perf_counter(), now()
        predicted = self._predict(batch, **options)
        with self._lock:
            self.wall += time.perf_counter() - wall
            self.processor += now() - processor
        return predicted


def _processor_seconds(process_id: int) -> float:
    """Return the processor time of a process in seconds, user and system."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
