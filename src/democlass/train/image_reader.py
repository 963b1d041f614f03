"""Read images for training. They are decoded in child processes because their content is untrusted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from democlass.errors import ImageError
from democlass.images.isolation import Decoding, Isolated
from democlass.images.loader import default_workers
from democlass.images.ordered import ordered
from democlass.inputs.labels import Example
from democlass.settings import DECODE_TIMEOUT
from democlass.tasks import Geometry
from democlass.train.process_group import ProcessGroup

if TYPE_CHECKING:
    from typing_extensions import Self

_CHECKED_AHEAD = 64

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class ImageReader:
    """Decodes images for one geometry. A context manager: leaving it ends the child processes, even busy ones.

    `workers` is the number of threads that should read at the same time. The processors are divided among the processes
    of the group. `decode_timeout` is the time limit for one image, in seconds. `cache_bytes` is the memory for decoded
    images: those that fit are decoded once.
    """

    def __init__(
        self,
        geometry: Geometry,
        group: ProcessGroup | None = None,
        *,
        decode_timeout: float = DECODE_TIMEOUT,
        cache_bytes: int = 0,
    ) -> None:
        self._geometry, self._group = geometry, group or ProcessGroup()
        self._cache: dict[str, NDArray[np.uint8]] = {}
        self._cache_lock, self._free_bytes = Lock(), cache_bytes
        self._decode = Isolated(Decoding((geometry,)), timeout=decode_timeout)
        self.workers = max(1, default_workers() // self._group.world_size)

    def __enter__(self) -> Self:
        self._decode.start(self.workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child processes. The reader can't be used afterwards."""
        self._decode.close()

    def __call__(self, path: str) -> NDArray[np.uint8]:
        """Return an image as RGB uint8 SIDE x SIDE x 3, which must not be changed. Raises ImageError."""
        cached = self._cache.get(path)
        if cached is not None:
            return cached
        pixels = self._decode(path)[0][self._geometry]
        with self._cache_lock:
            if pixels.nbytes <= self._free_bytes and path not in self._cache:
                self._free_bytes -= pixels.nbytes
                self._cache[path] = pixels.copy()  # the decoder may keep more memory alive than the image needs
        return pixels

    def map(
        self, function: Callable[[Argument], Result], arguments: Iterable[Argument], *, ahead: int
    ) -> Generator[Result]:
        """Yield `function` of each argument, in order. Threads compute up to `ahead` results in advance.

        The function may call this reader. If the generator is closed before the last result, the reader is closed too,
        so that no thread has to be waited for.
        """
        return ordered(arguments, function, workers=self.workers, ahead=ahead, cancel=self.close)

    def find_faults(self, examples: Sequence[Example]) -> dict[int, str]:
        """Read all images once; return the error message of each unreadable one, by its index.

        Each process of the group reads a part of the images. All processes must call this.
        """

        def read(index: int) -> str | None:
            try:
                self(examples[index].path)
            except ImageError as error:
                return str(error)
            return None

        indices = range(self._group.rank, len(examples), self._group.world_size)
        with closing(self.map(read, indices, ahead=_CHECKED_AHEAD)) as messages:
            faults = {index: text for text, index in zip(messages, indices, strict=True) if text is not None}
        return self._group.merge(faults)
