"""The sink for a stream."""

from __future__ import annotations

import io
from collections import Counter

import pytest

from democlass.inputs.item import Item
from democlass.output.formats import FORMATS, WriterOptions
from democlass.output.stream import StreamSink
from democlass.results import Prediction
from democlass.tasks import TASKS
from synthetic import predict, record

NAMES = ["a.jpg", "bad.jpg", "c.jpg"]


def new_sink(stream: io.BytesIO, format_name: str, seen: list[Prediction] | None = None) -> StreamSink:
    watch = (lambda _: None) if seen is None else seen.append
    return StreamSink(stream, lambda: FORMATS[format_name].writer(stream, WriterOptions()), watch=watch)


@pytest.mark.parametrize("format_name", ["csv", "json", "jsonl"])
def test_each_row_is_in_the_stream_as_soon_as_it_is_written(format_name: str) -> None:
    stream, seen = io.BytesIO(), list[Prediction]()
    sink = new_sink(stream, format_name, seen)
    sink.begin(record(format_name))
    for item in sink.remaining(map(Item.of, NAMES)):
        sink.write(predict(str(item.name)))
        assert str(item.name) in stream.getvalue().decode()
        assert seen[-1].path == item.name
    tally = sink.finish(Counter())
    assert tally.as_dict() == {"rows": 3, "classified": 2, "unreadable": {"truncated": 1}}
    stream.seek(0)
    assert [row.path for row in FORMATS[format_name].read(stream, TASKS)] == NAMES


def test_closing_early_leaves_rows_that_can_be_read() -> None:
    stream = io.BytesIO()
    sink = new_sink(stream, "json")
    sink.begin(record("json"))
    sink.write(predict("a.jpg"))
    sink.close()
    sink.close()
    stream.seek(0)
    assert [row.path for row in FORMATS["json"].read(stream, TASKS)] == ["a.jpg"]


def test_nothing_is_written_before_begin() -> None:
    stream = io.BytesIO()
    sink = new_sink(stream, "json")
    sink.close()
    assert stream.getvalue() == b""
