"""Classifier: inputs in, predictions out, lazily and in order."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from democlass.errors import UsageError
from democlass.images.decode import Input, Pixels
from democlass.images.isolation import Cancellation, Decoding, Isolated
from democlass.images.loader import Loaded, default_workers, load
from democlass.images.ordered import ordered
from democlass.networks.arguments import check_labels, check_paths, check_tasks, parse_by_task
from democlass.networks.batches import cut_into_chunks, predict
from democlass.networks.checkpoints import load as load_checkpoint
from democlass.networks.locations import Location, locate
from democlass.networks.networks import Networks, fastest_precision, pick_device
from democlass.results import Prediction
from democlass.settings import (
    DECODE_TIMEOUT,
    MAX_WORKERS,
    Precision,
    Settings,
    check_flag,
    check_integer,
    parse_precision,
)
from democlass.tasks import TASKS, Task

if TYPE_CHECKING:
    from typing_extensions import Self

Warn = Callable[[str], None]


class Classifier:
    """Both networks and what goes before them.

        from democlass import Classifier
        with Classifier.load() as classifier:
            for prediction in classifier.classify(["portrait.jpg"]):
                print(prediction.path, prediction.outcomes["gender"].probabilities)

    Files are decoded in child processes; they end with `close`, with the `with` block, with this object, and with this
    process, however it ends.

    The networks repeat how annotators perceived faces; they know nothing of identity or ancestry.
    """

    def __init__(self, networks: Networks, settings: Settings, decode: Decoding | Isolated, *, workers: int) -> None:
        self.networks = networks
        self.settings = replace(
            settings, device=str(networks.device), precision=networks.precision, batch_size=networks.batch_size
        )
        self.workers = workers
        self.decode = decode
        self._is_closed = False

    def close(self) -> None:
        """End the child processes at once, also those at work.

        A `classify` that runs in another thread raises CancelledError; one that is called after, UsageError.
        """
        self._is_closed = True
        if isinstance(self.decode, Isolated):
            self.decode.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def load(
        cls,
        *,
        weights: str | os.PathLike[str] | None = None,
        checkpoints: Mapping[str, str | os.PathLike[str]] | None = None,
        labels: Mapping[str, Sequence[str]] | None = None,
        device: str | torch.device = "auto",
        precision: Precision | str | None = None,
        batch_size: int | None = None,
        fast: bool = False,
        compile: bool = False,
        workers: int | None = None,
        isolated: bool = True,
        decode_timeout: float = DECODE_TIMEOUT,
        ignore_exif: bool = False,
        max_pixels: int = Settings.max_pixels,
        min_confidence: float = 0.0,
        tasks: Sequence[Task] = TASKS,
    ) -> Classifier:
        """Read the checkpoints and build the networks.

        `checkpoints` and `labels` are by task name; what they leave out is looked for in the folder `weights`, else
        built in.

        Paths and encoded images are decoded in `workers` child processes (at least one), so that a file that crashes a
        decoder, or takes longer than `decode_timeout` seconds, costs one row. With `isolated=False` they are decoded
        in this process, in threads: there is nothing to start and nothing to copy, but a file can crash this process
        or hold it up without limit. That is for files of your own making. PIL images and arrays are always read in
        this process.

        Raises CheckpointError, DeviceError, UsageError.
        """
        check_tasks(tasks)
        checkpoints = parse_by_task("checkpoints", checkpoints, tasks)
        check_paths(weights, checkpoints)
        labels = parse_by_task("labels", labels, tasks)
        check_labels(labels)
        check_flag("isolated", isolated)
        if workers is not None:
            workers = check_integer("workers", workers, minimum=0, maximum=MAX_WORKERS)
        folder = None if weights is None else Location(Path(weights), "argument weights")
        files = {name: Location(Path(file), "argument checkpoints") for name, file in checkpoints.items()}
        locations = {task.name: locate(task, file=files.get(task.name), folder=folder) for task in tasks}
        settings = Settings(
            device=str(device) if isinstance(device, torch.device) else device,
            precision=None if precision is None else parse_precision(precision),
            batch_size=batch_size,
            fast=fast,
            compile=compile,
            ignore_exif=ignore_exif,
            max_pixels=max_pixels,
            min_confidence=min_confidence,
        )
        return cls.build(
            locations,
            settings,
            labels=labels,
            workers=workers,
            isolated=isolated,
            decode_timeout=decode_timeout,
            tasks=tasks,
        )

    @classmethod
    def build(
        cls,
        locations: Mapping[str, Location],
        settings: Settings,
        *,
        labels: Mapping[str, Sequence[str]] | None = None,
        workers: int | None = None,
        isolated: bool = True,
        decode_timeout: float = DECODE_TIMEOUT,
        decode: Isolated | None = None,
        tasks: Sequence[Task] = TASKS,
        warn: Warn = lambda text: warnings.warn(text, stacklevel=4),
    ) -> Classifier:
        """Do as `load`, with checkpoints already located. Raises CheckpointError, DeviceError, UsageError.

        `decode`, which was made for these tasks and settings, takes the place of what `isolated` and `decode_timeout`
        say: its workers have got ready while other things were loaded.
        """
        device = pick_device(settings.device)
        workers = default_workers() if workers is None else workers
        decoding = Decoding.of(tasks, settings)
        decoder = decode or (Isolated(decoding, timeout=decode_timeout) if isolated else decoding)
        if isinstance(decoder, Isolated):
            decoder.start(max(1, workers))
        named = labels or {}
        read = {task.name: load_checkpoint(locations[task.name], task, labels=named.get(task.name)) for task in tasks}
        precision = settings.precision or (fastest_precision(device) if settings.fast else Precision.FLOAT32)
        networks = Networks(
            tasks,
            read,
            device=device,
            precision=precision,
            batch_size=settings.batch_size,
            compiled=settings.compile,
        )
        for warning in networks.warnings:
            warn(warning)
        for checkpoint in read.values():
            for warning in checkpoint.warnings:
                warn(warning)
        return cls(networks, settings, decoder, workers=workers)

    def classify(self, inputs: Iterable[Input]) -> Generator[Prediction, None, None]:
        """Yield one prediction an input, in order: ok, or an error with its reason. Lazy.

        Inputs are paths, encoded images (bytes), PIL images, and numpy RGB uint8 H x W x 3. They are taken a few
        batches ahead of what is yielded.
        """
        if isinstance(inputs, (str, bytes, os.PathLike, Image.Image, np.ndarray)):
            raise TypeError("classify takes several inputs: put a single one into a list")
        if self._is_closed:
            raise UsageError("this classifier is closed: load another")
        size, streams = self.networks.batch_size, self.networks.streams
        cancellation = Cancellation()
        decode = self._decode_until(cancellation)
        # Closed from the last to the first, whatever ends the run: those who predict, then those who decode.
        with ExitStack() as stack:
            ahead = size * streams + self.workers
            loaded = stack.enter_context(
                closing(load(inputs, decode, workers=self.workers, ahead=ahead, cancel=cancellation.cancel))
            )
            for predictions in stack.enter_context(closing(self._predicted(cut_into_chunks(loaded, size)))):
                yield from predictions

    def _decode_until(self, cancellation: Cancellation) -> Callable[[Input], Pixels]:
        """Return how to decode for one run, which the cancellation ends without touching other runs."""
        decode = self.decode
        if not isinstance(decode, Isolated):
            return decode
        decode.start(self.workers)
        return lambda source: decode(source, cancellation)

    def _predicted(self, chunks: Iterator[list[Loaded]]) -> Generator[list[Prediction], None, None]:
        """Predict several chunks at once where that pays; a lone one has all processors for itself."""
        streams = self.networks.streams if self.workers else 1
        first = list(islice(chunks, 2)) if streams > 1 else []
        if streams == 1 or len(first) == 1:
            yield from map(self.predict, chain(first, chunks))
            return
        try:
            with closing(
                ordered(
                    chain(first, chunks),
                    self.predict,
                    workers=streams,
                    ahead=streams,
                    begin=self.networks.begin_stream,
                )
            ) as predicted:
                yield from predicted
        finally:
            self.networks.end_streams()

    def predict(self, chunk: Sequence[Loaded], *, padded: bool = True) -> list[Prediction]:
        """Return a prediction for each input of one batch: what the networks say, or the error that came instead.

        At most `batch_size` inputs may be readable. Without `padded` fewer of them take less time, and digits past the
        fifth depend on how many they are.
        """
        return predict(self.networks, chunk, self.settings.min_confidence, padded=padded)

    def __repr__(self) -> str:
        """Return one line: the tasks, the device, the number format, the size of batches and the workers."""
        return f"Classifier({self.networks!r}, workers={self.workers})"
