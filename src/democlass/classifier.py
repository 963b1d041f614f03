"""Classifier: inputs in, predictions out, lazily and in order."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from democlass.checkpoints import load as load_checkpoint
from democlass.errors import ImageError, UsageError
from democlass.images import Input, Pixels
from democlass.isolation import Decoding, Isolated
from democlass.loader import Loaded, default_workers, load
from democlass.locations import Location, locate
from democlass.networks import Networks, pick_device, quickest_precision
from democlass.ordered import ordered
from democlass.results import Outcome, Prediction
from democlass.settings import Precision, Settings
from democlass.tasks import TASKS, Geometry, Task

Warn = Callable[[str], None]


class Classifier:
    """Both networks and what goes before them.

        from democlass import Classifier
        for prediction in Classifier.load().classify(["portrait.jpg"]):
            print(prediction.path, prediction.outcomes["gender"].probabilities)

    The networks repeat how annotators perceived faces; they know nothing of identity or ancestry.
    """

    def __init__(self, networks: Networks, settings: Settings, decode: Decoding | Isolated, *, workers: int) -> None:
        self.networks = networks
        self.settings = replace(
            settings, device=str(networks.device), precision=networks.precision, batch_size=networks.batch_size
        )
        self.workers = workers
        self.decode = decode

    @classmethod
    def load(
        cls,
        *,
        weights: str | os.PathLike[str] | None = None,
        checkpoints: Mapping[str, str | os.PathLike[str]] | None = None,
        labels: Mapping[str, Sequence[str]] | None = None,
        device: str = "auto",
        precision: Precision | str | None = None,
        batch_size: int | None = None,
        fast: bool = False,
        compile: bool = False,
        workers: int | None = None,
        isolated: bool = False,
        ignore_exif: bool = False,
        max_pixels: int = Settings.max_pixels,
        min_confidence: float = 0.0,
        tasks: Sequence[Task] = TASKS,
    ) -> Classifier:
        """Read the checkpoints and build the networks.

        `checkpoints` and `labels` are by task name; what they leave out is looked for in the folder `weights`, else
        built in. `isolated` decodes files in processes of their own, so that one that crashes a decoder costs one
        row. Raises CheckpointError, DeviceError, UsageError.
        """
        folder = None if weights is None else Location(Path(weights), "weights")
        files = {name: Location(Path(file), "checkpoints") for name, file in (checkpoints or {}).items()}
        locations = {task.name: locate(task, file=files.get(task.name), folder=folder) for task in tasks}
        if precision is not None and precision not in list(Precision):
            raise UsageError(f"a precision of {precision}: it is one of {', '.join(Precision)}")
        settings = Settings(
            device=device,
            precision=None if precision is None else Precision(precision),
            batch_size=batch_size,
            fast=fast,
            compile=compile,
            ignore_exif=ignore_exif,
            max_pixels=max_pixels,
            min_confidence=min_confidence,
        )
        return cls.build(locations, settings, labels=labels, workers=workers, isolated=isolated, tasks=tasks)

    @classmethod
    def build(
        cls,
        locations: Mapping[str, Location],
        settings: Settings,
        *,
        labels: Mapping[str, Sequence[str]] | None = None,
        workers: int | None = None,
        isolated: bool = False,
        tasks: Sequence[Task] = TASKS,
        warn: Warn = lambda text: warnings.warn(text, stacklevel=4),
    ) -> Classifier:
        """Do as `load`, with checkpoints already located. Raises CheckpointError, DeviceError, UsageError."""
        if settings.batch_size is not None and settings.batch_size < 1:
            raise UsageError(f"a batch of {settings.batch_size} images: it must be 1 or more")
        device = pick_device(settings.device)
        workers = default_workers() if workers is None else workers
        decode = _decoder(tasks, settings, workers, isolated)
        named = labels or {}
        read = {task.name: load_checkpoint(locations[task.name], task, labels=named.get(task.name)) for task in tasks}
        precision = settings.precision or (quickest_precision(device) if settings.fast else Precision.FLOAT32)
        networks = Networks(
            tasks,
            read,
            device=device,
            precision=precision,
            batch_size=settings.batch_size,
            compiled=settings.compile,
        )
        for checkpoint in read.values():
            for remark in checkpoint.remarks:
                warn(remark)
        return cls(networks, settings, decode, workers=workers)

    def classify(self, inputs: Iterable[Input]) -> Generator[Prediction, None, None]:
        """Yield one prediction an input, in order: ok, or an error with its reason. Lazy.

        Inputs are paths, encoded images (bytes), PIL images, and numpy RGB uint8 H x W x 3. They are taken a few
        batches ahead of what is yielded.
        """
        if isinstance(inputs, (str, bytes, os.PathLike, Image.Image, np.ndarray)):
            raise TypeError("classify takes several inputs: put a single one into a list")
        size, streams = self.networks.batch_size, self.networks.streams
        # Closed from the last to the first, whatever ends the run: those who predict, then those who decode.
        with ExitStack() as stack:
            if isinstance(self.decode, Isolated):
                self.decode.start(self.workers)
            ahead = size * streams + self.workers
            loaded = stack.enter_context(closing(load(inputs, self.decode, workers=self.workers, ahead=ahead)))
            stack.push(self._break_off)
            for predictions in stack.enter_context(closing(self._predicted(_chunks(loaded, size)))):
                yield from predictions

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

    def _break_off(self, kind: type[BaseException] | None, *_: object) -> None:
        """Do not wait for what is being decoded when a run ends before its time."""
        if kind is not None and isinstance(self.decode, Isolated):
            self.decode.close()

    def predict(self, chunk: Sequence[Loaded], *, padded: bool = True) -> list[Prediction]:
        """Return a prediction for each input of one batch: what the networks say, or the error that came instead.

        At most `batch_size` inputs may be readable. Without `padded` fewer of them take less time, and digits past the
        fifth depend on how many they are.
        """
        readable = [pixels for _, pixels in chunk if not isinstance(pixels, ImageError)]
        answers = iter(self._outcomes(readable, padded))
        predictions = []
        for source, pixels in chunk:
            path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
            if isinstance(pixels, ImageError):
                predictions.append(Prediction(path, error=str(pixels)))
            else:
                predictions.append(_prediction(path, next(answers)))
        return predictions

    def _outcomes(self, images: Sequence[Pixels], padded: bool) -> list[dict[str, Outcome]]:
        if not images:
            return []
        batch = self.networks.new_batch()
        for geometry, slots in batch.items():
            _fill(slots, images, geometry)
        part = batch if padded else {geometry: slots[: len(images)] for geometry, slots in batch.items()}
        said = self.networks.predict(part, padded=padded)
        answers = {name: probabilities.tolist() for name, probabilities in said.items()}
        least = self.settings.min_confidence
        return [
            {
                task.name: Outcome.choose(dict(zip(task.labels, answers[task.name][i], strict=True)), least)
                for task in self.networks.tasks
            }
            for i in range(len(images))
        ]


def _decoder(tasks: Sequence[Task], settings: Settings, workers: int, isolated: bool) -> Decoding | Isolated:
    geometries = tuple(dict.fromkeys(task.geometry for task in tasks))
    decoding = Decoding(geometries, settings.ignore_exif, settings.max_pixels, settings.fast)
    if not isolated:
        return decoding
    decode = Isolated(decoding)
    decode.start(workers)
    return decode


def _prediction(path: str | None, outcomes: dict[str, Outcome]) -> Prediction:
    if any(math.isnan(p) for outcome in outcomes.values() for p in outcome.probabilities.values()):
        return Prediction(path, error="no answer: the networks gave no numbers; --precision float32 may help")
    return Prediction(path, outcomes)


def _fill(slots: torch.Tensor, images: Sequence[Pixels], geometry: Geometry) -> None:
    view = slots.numpy()
    for slot, pixels in zip(view, images, strict=False):
        slot[:] = pixels[geometry]


def _chunks(loaded: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Cut the stream so that each chunk holds `size` readable images, and errors do not pile up without bound."""
    chunk: list[Loaded] = []
    readable = 0
    for item in loaded:
        chunk.append(item)
        readable += not isinstance(item[1], ImageError)
        if readable == size or readable == 0 or len(chunk) == 8 * size:
            yield chunk
            chunk, readable = [], 0
    if chunk:
        yield chunk
