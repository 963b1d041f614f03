"""The service: what requests bring is decoded in processes, answered in batches, and never more than was agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from democlass.classifier import Classifier
from democlass.errors import ImageError
from democlass.isolation import Isolated
from democlass.loader import Loaded
from democlass.results import Prediction
from democlass.serve.batcher import Batcher
from democlass.serve.metrics import Metrics
from democlass.tasks import SIDE

_PROCESSOR_BATCH = 2
"""On a processor larger batches answer no more images a second, and the first of a batch waits for its last: see
docs/serving.md."""


class Service:
    """A classifier that many ask at once. `most` images are taken at a time, waiting ones included.

    `wait` is how many seconds an image may wait for others to share its batch, of at most `batch` images; None takes
    what suits the device.
    """

    def __init__(self, classifier: Classifier, *, most: int, wait: float, batch: int | None = None) -> None:
        self.metrics, self.most, self.taken = Metrics(), most, 0
        self.ready = False
        self._classifier = classifier
        self._decoders = ThreadPoolExecutor(max(1, classifier.workers), thread_name_prefix="decoder")
        networks = classifier.networks
        suits = min(networks.batch_size, _PROCESSOR_BATCH) if networks.device.type == "cpu" else networks.batch_size
        self._batcher: Batcher[Loaded, Prediction] = Batcher(
            self._predict, size=batch or suits, threads=networks.streams, wait=wait, begin=networks.begin_stream
        )
        self.metrics.watch(lambda: self.taken)

    def take(self, images: int) -> bool:
        """Take so many images on, or none if that is more than there is room for; each is given back by `give`."""
        if self.taken + images > self.most:
            return False
        self.taken += images
        return True

    def give(self, images: int) -> None:
        """Give back what was taken."""
        self.taken -= images

    async def warm_up(self) -> None:
        """Have both networks answer once; only then the service is ready."""
        blank = np.zeros((SIDE, SIDE, 3), np.uint8)
        await asyncio.get_running_loop().run_in_executor(None, self._predict, [(b"", self._classifier.decode(blank))])
        self.ready = True

    async def classify(self, content: bytes, name: str | None = None) -> Prediction:
        """Return what the networks say of an encoded image, or the error that reading it came to.

        Where this is cancelled, what has not begun yet is never done.
        """
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(self._decoders, self._classifier.decode, content)
        except ImageError as error:
            return Prediction(name, error=str(error))
        answer = await asyncio.wrap_future(self._batcher.submit((content, pixels)))
        return Prediction(name, answer.outcomes, answer.error)

    def close(self) -> None:
        """Finish what was taken, then end all threads and processes."""
        self.ready = False
        self._decoders.shutdown()
        self._batcher.close()
        if isinstance(self._classifier.decode, Isolated):
            self._classifier.decode.close()

    def _predict(self, batch: Sequence[Loaded]) -> list[Prediction]:
        self.metrics.batch_images.observe(len(batch))
        return self._classifier.predict(batch, padded=False)
