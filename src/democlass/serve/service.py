"""The service: decodes images in child processes, classifies them in batches, and limits the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np

from democlass.classifier import Classifier
from democlass.errors import CancelledError, ImageError
from democlass.faces.finder import FaceFinder
from democlass.images.face_crop import FaceCrop, Loaded
from democlass.images.isolation import Cancellation, Isolated
from democlass.images.photo import Size
from democlass.inputs.item import Item
from democlass.networks.batcher import Batcher
from democlass.results import Face, Prediction
from democlass.serve.decoder_pool import DecoderPool
from democlass.serve.errors import busy_error, stopping_error
from democlass.serve.metrics import Metrics
from democlass.tasks import SIDE

Result = TypeVar("Result")
Status = Literal["ready", "starting", "stuck", "stopping"]

_CPU_BATCH_SIZE = 2
"""Larger batches have no higher throughput on a CPU, and a higher latency: see docs/service-performance.md."""

_ITEM = Item(None, b"")
"""The item that accompanies decoded images in the batcher. The content is not needed any more."""

_STALL_TIMEOUT = 60.0
"""Seconds without a result, while images are in the queue, after which the service counts as stuck."""

_LAST_BATCH_TIMEOUT = 3.0
"""Seconds to wait for the networks to finish their current batch when the service stops."""


class Service:
    """A classifier that many requests share. `find` finds the faces of photos.

    `queue_size` is the number of images that are accepted at once, including those being processed. An image waits up
    to `max_wait` seconds for others to fill its batch of at most `batch_size` images; None chooses a size for the
    device.
    """

    def __init__(
        self,
        classifier: Classifier,
        find: FaceFinder,
        *,
        queue_size: int,
        max_wait: float,
        batch_size: int | None = None,
    ) -> None:
        assert isinstance(classifier.reader.decode, Isolated)
        self.metrics, self.queue_size, self.pending_images = Metrics(), queue_size, 0
        self._is_warm = self._is_stopping = False
        self._stop_requested = asyncio.Event()
        self._last_progress = 0.0
        self._classifier = classifier
        self._find = find
        self._decoders = DecoderPool(max(1, classifier.workers))
        networks = classifier.networks
        is_cpu = networks.device.type == "cpu"
        default_size = min(networks.batch_size, _CPU_BATCH_SIZE) if is_cpu else networks.batch_size
        max_size = batch_size or default_size
        # The faces of photos fill one batch of each stream. The others wait here and not in the batcher, whose queue is
        # first come, first served: so images of /predict wait for one such batch, however many faces photos have.
        self._max_face_batch = max_size * networks.streams
        self._face_slots = asyncio.Semaphore(self._max_face_batch)
        self._batcher: Batcher[Loaded, Prediction] = Batcher(
            self._predict,
            max_size=max_size,
            threads=networks.streams,
            max_wait=max_wait,
            initialize=networks.begin_stream,
        )
        self.metrics.set_queue_source(lambda: self.pending_images)

    @property
    def status(self) -> Status:
        """Whether the service classifies images now, and if not, why."""
        if self._is_stopping:
            return "stopping"
        if not self._is_warm:
            return "starting"
        is_stalled = self.pending_images > 0 and time.monotonic() - self._last_progress > _STALL_TIMEOUT
        return "stuck" if is_stalled or self._decoders.is_stuck() else "ready"

    @contextmanager
    def reserve(self, images: int) -> Generator[None]:
        """Reserve space in the queue for `images` inside this context. Raises ApiError if there is too little."""
        if self.pending_images + images > self.queue_size:
            raise busy_error(f"the queue has no space for {images} more images: try again later")
        if not self.pending_images:
            self._last_progress = time.monotonic()
        self.pending_images += images
        try:
            yield
        finally:
            self.pending_images -= images

    async def warm_up(self) -> None:
        """Run the networks and the face detector once. Only then the service is ready."""
        blank = np.zeros((SIDE, SIDE, 3), np.uint8)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._predict, [(_ITEM, self._classifier.reader(blank))])
        await loop.run_in_executor(None, self._find.detect, blank)
        self._is_warm = True

    async def classify(self, images: Sequence[tuple[str | None, bytes]]) -> list[Prediction]:
        """Classify the images of one request: pairs of a name and encoded bytes.

        Returns a prediction for each image, with an error for those that can't be read. If this coroutine is cancelled,
        decoding ends at once and images that are still waiting are not processed. Raises ApiError if the service stops
        before the end.
        """
        limit = self._decoders.new_request_limit()
        return await self.run_until_stopped(asyncio.gather(*(self._classify(*image, limit) for image in images)))

    async def classify_faces(self, content: bytes) -> tuple[Size, Prediction]:
        """Find and classify the faces of a photo. Returns its size, upright, and the prediction.

        Otherwise it does the same as `classify`.
        """
        return await self.run_until_stopped(asyncio.ensure_future(self._classify_faces(content)))

    async def _classify_faces(self, content: bytes) -> tuple[Size, Prediction]:
        try:
            size, crops = await self._decoders.decode(content, self._read_photo)
        except ImageError as error:
            return (0, 0), Prediction(None, error=str(error))
        finally:
            self._last_progress = time.monotonic()
        limit = asyncio.Semaphore(self._max_face_batch)  # so that photos take turns: the slots go to who waited longest
        predictions = await asyncio.gather(*(self._classify_face(crop, limit) for crop in crops))
        errors = [each.error for each in predictions if each.error is not None]
        faces = tuple(face for each in predictions for face in each.faces)
        return size, Prediction(None, faces, errors[0] if errors else None)

    async def _classify_face(self, crop: FaceCrop, limit: asyncio.Semaphore) -> Prediction:
        if crop.pixels is None:  # too small: there is nothing for the networks, and nothing to count as their work
            return Prediction(None, (Face({}, crop.box, crop.score),))
        async with limit, self._face_slots:
            result = await asyncio.wrap_future(self._batcher.submit((_ITEM, [crop])))
        self._last_progress = time.monotonic()
        return result

    def _read_photo(self, content: bytes, cancellation: Cancellation) -> tuple[Size, list[FaceCrop]]:
        reader = self._classifier.reader
        return reader.with_photo(content, lambda photo: (photo.size, self._find(photo)), cancellation)

    async def _classify(self, name: str | None, content: bytes, limit: asyncio.Semaphore) -> Prediction:
        try:
            async with limit:
                faces = await self._decoders.decode(content, self._classifier.reader)
        except ImageError as error:
            return Prediction(name, error=str(error))
        finally:
            self._last_progress = time.monotonic()
        result = await asyncio.wrap_future(self._batcher.submit((_ITEM, faces)))
        self._last_progress = time.monotonic()
        return Prediction(name, result.faces, result.error)

    async def run_until_stopped(self, work: asyncio.Future[Result]) -> Result:
        """Wait for work and return its result. If the service stops first, cancel it and raise ApiError."""
        stop = asyncio.ensure_future(self._stop_requested.wait())
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise stopping_error()
            return work.result()
        except CancelledError:
            raise stopping_error() from None
        finally:
            work.add_done_callback(_retrieve_exception)
            work.cancel()
            stop.cancel()

    def cancel_pending(self) -> None:
        """Fail all requests that are in progress, and kill the decoding processes."""
        self._is_stopping = True
        self._stop_requested.set()
        self._classifier.close()

    def close(self) -> None:
        """End all threads and processes."""
        self.cancel_pending()
        self._decoders.close()
        self._batcher.close(_LAST_BATCH_TIMEOUT)

    def _predict(self, batch: Sequence[Loaded]) -> list[Prediction]:
        self.metrics.batch_images.observe(len(batch))
        return self._classifier.predict(batch, padded=False)


def _retrieve_exception(work: asyncio.Future[Any]) -> None:
    """Retrieve the exception of cancelled work. Otherwise asyncio logs a traceback for it."""
    if not work.cancelled():
        work.exception()
