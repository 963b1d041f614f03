"""The sink for a stream: standard output, a pipe, a device. Each row is written out as soon as it is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from democlass.inputs.item import Item
from democlass.output.formats import Writer
from democlass.output.record import RunRecord
from democlass.output.tally import Tally
from democlass.results import Prediction


class StreamSink:
    """Writes rows to a stream, which stays open. `new_writer` starts the format; `watch` is called after each row.

    Exceptions of the stream are passed on.
    """

    def __init__(
        self,
        stream: BinaryIO,
        new_writer: Callable[[], Writer],
        *,
        watch: Callable[[Prediction], object] = lambda _: None,
    ) -> None:
        self._stream = stream
        self._new_writer = new_writer
        self._watch = watch
        self._writer: Writer | None = None
        self._tally = Tally()

    def begin(self, record: RunRecord) -> None:
        """Write the start of the format. The record is not kept: a stream has no place for it."""
        self._tally = Tally(has_detection=record.has_faces)
        self._writer = self._new_writer()
        self._stream.flush()

    def remaining(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield all items."""
        return iter(items)

    def write(self, prediction: Prediction) -> None:
        """Write the rows of one prediction and flush them."""
        assert self._writer is not None, "begin comes first"
        self._writer.write(prediction)
        self._stream.flush()
        self._tally.add(prediction)
        self._watch(prediction)

    def finish(self, skipped: Counter[str]) -> Tally:
        """Complete the format and return the counts of all rows."""
        self.close()
        return self._tally

    def close(self) -> None:
        """Complete the format, so that the rows can be read even if the run was interrupted."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            self._stream.flush()
