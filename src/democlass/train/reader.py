"""Reading images for training: in child processes, since their content is untrusted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from democlass.errors import ImageError
from democlass.images.isolation import Decoding, Isolated
from democlass.images.loader import default_workers
from democlass.images.ordered import ordered
from democlass.inputs.labels import Example
from democlass.tasks import Geometry
from democlass.train.together import Share

if TYPE_CHECKING:
    from typing_extensions import Self

_AHEAD = 64

Item = TypeVar("Item")
Result = TypeVar("Result")


class Reader:
    """Decodes images for one geometry; `with` ends the child processes, also those at work.

    `workers` is how many threads should call it at once: the processors are shared by all processes that train.
    """

    def __init__(self, geometry: Geometry, share: Share | None = None) -> None:
        self._geometry, self._share = geometry, share or Share()
        self._decode = Isolated(Decoding((geometry,)))
        self.workers = max(1, default_workers() // self._share.world)

    def __enter__(self) -> Self:
        self._decode.start(self.workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child processes; nothing is read after this."""
        self._decode.close()

    def each(self, work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int) -> Generator[Result]:
        """Yield `work` of each item, in their order, done ahead in threads that read images.

        Where this ends before the last item, the reader is closed: no thread has to be waited for.
        """
        return ordered(items, work, workers=self.workers, ahead=ahead, cancel=self.close)

    def __call__(self, path: str) -> NDArray[np.uint8]:
        """Return an image as RGB uint8 SIDE x SIDE x 3. Raises ImageError."""
        return self._decode(path)[0][self._geometry]

    def faults(self, examples: Sequence[Example]) -> dict[int, str]:
        """Read all images once; return what is wrong with those that can't be read, by their place.

        Each process of the group reads its part. All must call this.
        """

        def fault(place: int) -> str | None:
            try:
                self(examples[place].path)
            except ImageError as error:
                return str(error)
            return None

        places = range(self._share.rank, len(examples), self._share.world)
        found = self.each(fault, places, ahead=_AHEAD)
        with closing(found):
            faults = {place: text for text, place in zip(found, places, strict=True) if text is not None}
        return self._share.gather(faults)
