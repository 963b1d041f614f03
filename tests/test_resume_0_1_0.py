"""Resuming outputs of version 0.1.0, whose JSON rows had no labels."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from democlass.classifier import Classifier
from democlass.inputs.item import Item
from democlass.output.file_sink import FileSink, WriteMode
from democlass.output.formats import FORMATS
from democlass.output.record import RunRecord
from democlass.output.tally import Tally


def run(out: Path, classifier: Classifier, names: list[Path], write_mode: WriteMode = WriteMode()) -> Tally:
    format_ = FORMATS[out.suffix[1:]]
    with closing(FileSink(out, format_, write_mode)) as output:
        output.begin(RunRecord.of(classifier.networks, classifier.settings, format_.name))
        for prediction in classifier.classify(output.remaining(map(Item.of, names))):
            output.write(prediction)
        return output.finish(Counter())


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_after_resuming_all_rows_have_labels(
    format_name: str, tiny: Callable[..., Classifier], photos: Path, tmp_path: Path
) -> None:
    classifier = tiny(batch_size=2)
    (photos / "bad.jpg").touch()
    names = sorted(photos.glob("*.*"))
    out, expected = tmp_path / f"old.{format_name}", tmp_path / f"expected.{format_name}"
    for path in (out, expected):
        run(path, classifier, names[2:])
    out.write_text(re.sub(r'"(gender|race)": "\w+", ', "", out.read_text()))
    assert '"race"' not in out.read_text()
    tally = run(out, classifier, names, WriteMode(resume=True))
    run(expected, classifier, names, WriteMode(resume=True))
    assert out.read_bytes() == expected.read_bytes()
    assert (tally.rows, tally.labels.total()) == (6, 5)
    for line in out.read_text().splitlines():
        if '"ok"' in line:
            assert list(json.loads(line.rstrip(",")))[2::2] == ["gender", "race"]
