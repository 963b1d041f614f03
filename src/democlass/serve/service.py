"""The service: images are decoded in processes, classified in batches, and never more are taken on than was agreed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Literal, TypeVar

import numpy as np

from democlass.classifier import Classifier
from democlass.errors import CancelledError, ImageError
from democlass.images.isolation import Isolated
from democlass.images.loader import Loaded
from democlass.inputs.item import Item
from democlass.results import Prediction
from democlass.serve.batcher import Batcher
from democlass.serve.decoders import Decoders
from democlass.serve.metrics import Metrics
from democlass.serve.refusals import Refusal, busy
from democlass.tasks import SIDE

Result = TypeVar("Result")
Status = Literal["ready", "starting", "stuck", "stopping"]

_PROCESSOR_BATCH = 2
"""On a processor larger batches answer no more images a second, and the first of a batch waits for its last: see
docs/serving.md."""

_ITEM = Item(None, b"")
"""What the batcher is given with the pixels of an image: its content is not needed any more."""

_STALL = 60.0
"""Seconds without one answer, while images wait, after which the service is stuck."""


_LAST_BATCH = 3.0
"""Seconds for the networks to finish the batch they are at when the service ends."""


class Service:
    """A classifier that many ask at once. `most` images are taken at a time, waiting ones included.

    `wait` is how many seconds an image may wait for others to share its batch, of at most `batch` images; None takes
    what suits the device.
    """

    def __init__(self, classifier: Classifier, *, most: int, wait: float, batch: int | None = None) -> None:
        assert isinstance(classifier.decode, Isolated)
        self.metrics, self.most, self.taken = Metrics(), most, 0
        self._is_warm = self._is_stopping = False
        self._given_up = asyncio.Event()
        self._progress = 0.0
        self._classifier = classifier
        self._decoders = Decoders(classifier.decode, max(1, classifier.workers))
        networks = classifier.networks
        suits = min(networks.batch_size, _PROCESSOR_BATCH) if networks.device.type == "cpu" else networks.batch_size
        self._batcher: Batcher[Loaded, Prediction] = Batcher(
            self._predict, size=batch or suits, threads=networks.streams, wait=wait, begin=networks.begin_stream
        )
        self.metrics.watch_images(lambda: self.taken)

    @property
    def status(self) -> Status:
        """Whether images are classified now, and if not, why."""
        if self._is_stopping:
            return "stopping"
        if not self._is_warm:
            return "starting"
        is_stalled = self.taken > 0 and time.monotonic() - self._progress > _STALL
        return "stuck" if is_stalled or self._decoders.are_stuck() else "ready"

    @contextmanager
    def places(self, images: int) -> Generator[None]:
        """Take so many images on for the time of this context. Raises Refusal where there is no room for all."""
        if self.taken + images > self.most:
            raise busy(f"there is no room for {images} more images: try again in a moment")
        if not self.taken:
            self._progress = time.monotonic()
        self.taken += images
        try:
            yield
        finally:
            self.taken -= images

    async def warm_up(self) -> None:
        """Have both networks answer once; only then the service is ready."""
        blank = np.zeros((SIDE, SIDE, 3), np.uint8)
        await asyncio.get_running_loop().run_in_executor(None, self._predict, [(_ITEM, self._classifier.decode(blank))])
        self._is_warm = True

    async def classify(self, images: Sequence[tuple[str | None, bytes]]) -> list[Prediction]:
        """Return what the networks say of each encoded image of one request, or the error that reading it came to.

        Images are given with their names. Where this is cancelled, decoding ends at once, and what has not begun yet is
        never done. Raises Refusal where the service stops before the end.
        """
        turns = self._decoders.turns()
        return await self._finish(asyncio.gather(*(self._classify(*image, turns) for image in images)))

    async def _classify(self, name: str | None, content: bytes, turns: asyncio.Semaphore) -> Prediction:
        try:
            async with turns:
                faces = await self._decoders.decode(content)
        except ImageError as error:
            return Prediction(name, error=str(error))
        finally:
            self._progress = time.monotonic()
        answer = await asyncio.wrap_future(self._batcher.submit((_ITEM, faces)))
        self._progress = time.monotonic()
        return Prediction(name, answer.faces, answer.error)

    async def _finish(self, working: asyncio.Future[Result]) -> Result:
        giving_up = asyncio.ensure_future(self._given_up.wait())
        try:
            await asyncio.wait((working, giving_up), return_when=asyncio.FIRST_COMPLETED)
            if giving_up.done():
                raise stopping()
            return working.result()
        except CancelledError:
            raise stopping() from None
        finally:
            working.add_done_callback(_note_outcome)
            working.cancel()
            giving_up.cancel()

    def give_up(self) -> None:
        """Refuse what was taken on, and kill what is being decoded."""
        self._is_stopping = True
        self._given_up.set()
        self._classifier.close()

    def close(self) -> None:
        """End all threads and processes."""
        self.give_up()
        self._decoders.close()
        self._batcher.close(_LAST_BATCH)

    def _predict(self, batch: Sequence[Loaded]) -> list[Prediction]:
        self.metrics.batch_images.observe(len(batch))
        return self._classifier.predict(batch, padded=False)


def _note_outcome(working: asyncio.Future[Any]) -> None:
    """Look at what became of abandoned work: asyncio logs a traceback for an exception that nobody has looked at."""
    if not working.cancelled():
        working.exception()


def stopping() -> Refusal:
    """Return the refusal of a request that the service has no time left for."""
    detail = "the service is stopping: try again in a moment"
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", detail, {"Retry-After": "1"})
