"""The run's record: whole or absent under its name, and compared in what makes numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from democlass.classifier import Classifier
from democlass.errors import OutputError
from democlass.record import FINISHED, RunRecord


@pytest.fixture
def record(tiny: Callable[..., Classifier]) -> RunRecord:
    return RunRecord.of(tiny(batch_size=4, min_confidence=0.5), "csv")


def test_it_holds_all_that_numbers_depend_on(record: RunRecord) -> None:
    assert record.options == {
        "device": "cpu",
        "precision": "float32",
        "batch_size": 4,
        "fast": False,
        "compile": False,
        "ignore_exif": False,
        "max_pixels": 2**27,
        "min_confidence": 0.5,
    }
    assert set(record.versions) == {"democlass", "python", "torch", "torchvision", "pillow"}
    assert record.checkpoints["gender"]["labels"] == ["Female", "Male"]


def test_it_can_be_read_back(record: RunRecord, tmp_path: Path) -> None:
    finished = replace(record, state=FINISHED, tallies={"rows": 3})
    finished.write(tmp_path / "r.json")
    assert RunRecord.read(tmp_path / "r.json") == finished
    assert RunRecord.read(tmp_path / "none.json") is None
    assert [path.name for path in tmp_path.glob("r.json*")] == ["r.json"]


def test_the_same_run_may_go_on(record: RunRecord) -> None:
    record.refuse_other(replace(record, started="later", threads=99, format="json"))


@pytest.mark.parametrize("what", ["sha256", "labels", "temperature"])
def test_another_checkpoint_is_refused_by_name(what: str, record: RunRecord) -> None:
    other = {**record.checkpoints, "race": {**record.checkpoints["race"], what: "other"}}
    with pytest.raises(OutputError, match=f"race checkpoint's {what}"):
        record.refuse_other(replace(record, checkpoints=other))


OPTIONS = ["device", "precision", "batch_size", "fast", "ignore_exif", "max_pixels", "min_confidence"]


@pytest.mark.parametrize("option", OPTIONS)
def test_another_option_is_refused_by_name(option: str, record: RunRecord) -> None:
    with pytest.raises(OutputError, match=f"{option}: .* then, other now"):
        record.refuse_other(replace(record, options={**record.options, option: "other"}))
