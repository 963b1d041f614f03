"""Classifier: images in, predictions out, lazily and in order."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch
from PIL import Image

from democlass.errors import UsageError
from democlass.faces.finder import FaceFinder
from democlass.faces.reader import FaceReader
from democlass.images.face_crop import Loaded, are_enough
from democlass.images.isolation import Cancellation, Decoding, Isolated
from democlass.images.loader import default_workers, load
from democlass.images.ordered import until_failure
from democlass.inputs.item import Item, Source
from democlass.networks.arguments import locate_all, parse_labels
from democlass.networks.batches import predict, split_into_chunks
from democlass.networks.checkpoints import load as load_checkpoint
from democlass.networks.locations import Location
from democlass.networks.networks import Networks, fastest_precision, pick_device
from democlass.networks.streams import in_streams
from democlass.results import Prediction
from democlass.settings import (
    DECODE_TIMEOUT,
    MAX_WORKERS,
    Precision,
    Settings,
    check_flag,
    check_integer,
    check_number,
    parse_precision,
)
from democlass.tasks import TASKS, Task

if TYPE_CHECKING:
    from typing_extensions import Self

Warn = Callable[[str], None]


class Classifier:
    """Classifies images by perceived gender and perceived race: decodes them and runs both networks.

        from democlass import Classifier
        with Classifier.load() as classifier:
            for prediction in classifier.classify(["portrait.jpg"]):
                print(prediction.path, prediction.outcomes["gender"].probabilities)

    Images are decoded in child processes, which end with `close`, with the `with` block, with this object and with this
    process, also if it is killed.

    The networks repeat how annotators perceived faces. They know nothing about identity or ancestry.
    """

    def __init__(self, networks: Networks, settings: Settings, reader: FaceReader, *, workers: int) -> None:
        self.networks = networks
        self.settings = replace(
            settings, device=str(networks.device), precision=networks.precision, batch_size=networks.batch_size
        )
        self.workers = workers
        self.reader = reader
        self._is_closed = False
        self._process = os.getpid()

    def close(self) -> None:
        """End the child processes at once.

        Running calls of `classify` in other threads raise CancelledError, later calls UsageError.
        """
        self._is_closed = True
        self.reader.close()

    def __reduce__(self) -> NoReturn:
        """Raise TypeError: networks and child processes can't be sent to another process."""
        raise TypeError("a Classifier can't be pickled or sent to another process: load one in each process")

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
        faces: bool = False,
        face_size: int = Settings.face_size,
        min_face: int = Settings.min_face,
        largest: bool = False,
        tasks: Sequence[Task] = TASKS,
    ) -> Classifier:
        """Read the checkpoints and build the networks.

        `checkpoints` and `labels` are by task name. Tasks that are missing there use the folder `weights`, or the
        built-in checkpoints if it is not given.

        Paths and encoded images are decoded in `workers` child processes (at least one): a file that crashes the
        decoder or takes longer than `decode_timeout` seconds becomes an error, and the run continues. With
        `isolated=False`, they are decoded by threads of this process. That starts faster and copies less, but a hostile
        file can crash or block this process: use it only for files that you made yourself. PIL images and arrays are
        always prepared in this process.

        `batch_size` is the number of faces per batch; None chooses one for the device. `max_pixels` is the largest
        width times height of an image. With `min_confidence` (0 to 1), less probable labels read `uncertain`.

        With `faces`, the faces in each image are found and classified, otherwise each image as a whole. They are
        searched in the image reduced to `face_size` pixels at its longest side. Faces smaller than `min_face` pixels
        are not classified. With `largest`, each image has at most one face.

        Raises CheckpointError, DeviceError, UsageError.
        """
        locations = locate_all(tasks, weights, checkpoints)
        labels = parse_labels(labels, tasks)
        check_flag("isolated", isolated)
        decode_timeout = check_number("decode_timeout", decode_timeout)
        if workers is not None:
            workers = check_integer("workers", workers, minimum=0, maximum=MAX_WORKERS)
        settings = Settings(
            device=str(device) if isinstance(device, torch.device) else device,
            precision=None if precision is None else parse_precision(precision),
            batch_size=batch_size,
            fast=fast,
            compile=compile,
            ignore_exif=ignore_exif,
            max_pixels=max_pixels,
            min_confidence=min_confidence,
            faces=faces,
            face_size=face_size,
            min_face=min_face,
            largest=largest,
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
        """Do the same as `load`, with checkpoints already located. Raises CheckpointError, DeviceError, UsageError.

        `decode`, made for the same tasks and settings, is used instead of `isolated` and `decode_timeout`: its workers
        may have been started earlier. `warn` is called with messages for the user.
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
        find = FaceFinder.load(device, precision, settings) if settings.faces else None
        return cls(networks, settings, FaceReader(decoder, find), workers=workers)

    def classify(self, inputs: Iterable[Item | Source]) -> Generator[Prediction, None, None]:
        """Yield a prediction for each image, in order, either with its faces or with an error. Lazy.

        Images are paths, encoded images (bytes), PIL images, numpy arrays (RGB uint8 H x W x 3), or `Item`s. They are
        read a few batches ahead of the predictions. If `inputs` raises an exception, the predictions for the images
        before it are yielded first.

        Raises UsageError if the classifier is closed or was loaded in another process.
        """
        if isinstance(inputs, (str, bytes, os.PathLike, Image.Image, np.ndarray)):
            raise TypeError("classify takes several images: put a single one into a list")
        if self._is_closed:
            raise UsageError("this classifier is closed: load another")
        if self._process != os.getpid():  # PyTorch would wait forever in a forked process
            raise UsageError("this classifier was loaded in another process: load one in each process")
        size, streams = self.networks.batch_size, self.networks.streams
        cancellation = Cancellation()
        failures: list[Exception] = []
        self.reader.start(self.workers)
        # However the run ends, first the threads that predict are closed, then those that decode.
        with ExitStack() as stack:
            items, ahead = map(Item.of, until_failure(inputs, failures)), size * streams + self.workers
            loaded = stack.enter_context(
                closing(
                    load(
                        items,
                        lambda source: self.reader(source, cancellation),
                        workers=self.workers,
                        ahead=ahead,
                        is_full=are_enough if self.settings.faces else lambda _: False,
                        cancel=cancellation.cancel,
                    )
                )
            )
            for predictions in stack.enter_context(closing(self._predict_ahead(split_into_chunks(loaded, size)))):
                yield from predictions
        if failures:
            raise failures.pop()  # a reference to it from this frame would keep the frame, and the classifier, alive

    def _predict_ahead(self, chunks: Iterator[list[Loaded]]) -> Generator[list[Prediction], None, None]:
        """Predict several chunks in parallel, unless images are decoded in this thread."""
        if not self.workers:
            return (self.predict(chunk) for chunk in chunks)
        return in_streams(self.networks, chunks, self.predict)

    def predict(self, chunk: Sequence[Loaded], *, padded: bool = True) -> list[Prediction]:
        """Return a prediction for each item of a chunk, in order: the outcomes of its faces, or its error.

        A chunk has any number of faces; `batch_size` of them go through the networks at a time. Without `padded`, a
        smaller batch takes less time, but digits after the fifth then depend on its size.
        Raises TypeError for a chunk of anything else.
        """
        return predict(self.networks, chunk, self.settings.min_confidence, padded=padded)

    def __repr__(self) -> str:
        """Return one line: tasks, device, precision, batch size and workers."""
        return f"Classifier({self.networks!r}, workers={self.workers})"
