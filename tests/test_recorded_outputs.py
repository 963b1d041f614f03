"""Every format writes what version 0.1 wrote, byte for byte. `data/recorded` was written before faces were counted."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from democlass.output.formats import FORMATS, WriterOptions
from democlass.tasks import TASKS
from synthetic import predict

DATA = Path(__file__).parent / "data"
ODD_NAMES = ['a b,"c".jpg', "line\nfeed.jpg", "é\u2028.jpg", "=1+1.jpg", "\x1b[2J.jpg", os.fsdecode(b"caf\xe9.jpg")]
PREDICTIONS = [
    predict("bad.jpg") if name == "bad.jpg" else replace(predict(ascii(name)), path=name)
    for name in ("a.jpg", "bad.jpg", *ODD_NAMES)
]


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_written_as_recorded(name: str) -> None:
    stream = io.BytesIO()
    writer = FORMATS[name].writer(stream, WriterOptions(path_bytes=FORMATS[name].flat))
    for prediction in PREDICTIONS:
        writer.write(prediction)
    writer.close()
    recorded = (DATA / "recorded" / f"rows.{name}").read_bytes()
    if FORMATS[name].text:
        assert stream.getvalue() == recorded
    else:  # the footer of a Parquet file names the version of pyarrow
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(stream).equals(parquet.read_table(io.BytesIO(recorded)))


def test_csv_of_version_0_1_0_is_read_and_written_unchanged() -> None:
    recorded = (DATA / "0.1.0" / "finished.csv").read_bytes()
    stream = io.BytesIO()
    writer = FORMATS["csv"].writer(stream, WriterOptions())
    for prediction in FORMATS["csv"].read(io.BytesIO(recorded), TASKS):
        writer.write(prediction)
    writer.close()
    assert stream.getvalue() == recorded
