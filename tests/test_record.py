"""The record of a run: writing, reading, validating, and comparing it with the run that resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from democlass.classifier import Classifier
from democlass.errors import OutputError
from democlass.output.record import FINISHED, RECORD_FORMAT, RunRecord

DATA = Path(__file__).parent / "data"


@pytest.fixture
def record(tiny: Callable[..., Classifier]) -> RunRecord:
    classifier = tiny(batch_size=4, min_confidence=0.5)
    return RunRecord.of(classifier.networks, classifier.settings, "csv")


def test_a_record_contains_everything_that_results_depend_on(record: RunRecord) -> None:
    assert record.options == {
        "device": "cpu",
        "precision": "float32",
        "batch_size": 4,
        "fast": False,
        "compile": False,
        "ignore_exif": False,
        "max_pixels": 2**27,
        "min_confidence": 0.5,
        "faces": False,
        "face_size": 640,
        "min_face": 32,
        "largest": False,
    }
    assert set(record.versions) == {"democlass", "python", "torch", "torchvision", "pillow", "simplejpeg"}
    assert record.checkpoints["gender"]["labels"] == ["Female", "Male"]


def test_a_record_can_be_read_back(record: RunRecord, tmp_path: Path) -> None:
    finished = replace(record, state=FINISHED, tallies={"rows": 3})
    finished.write(tmp_path / "r.json")
    assert RunRecord.read(tmp_path / "r.json") == finished
    assert RunRecord.read(tmp_path / "none.json") is None
    assert [path.name for path in tmp_path.glob("r.json*")] == ["r.json"]


def test_a_run_with_the_same_settings_may_resume(record: RunRecord) -> None:
    record.refuse_other(replace(record, started="later", format="json"))


@pytest.mark.parametrize("key", ["sha256", "labels", "temperature"])
def test_another_checkpoint_is_refused_and_the_difference_is_named(key: str, record: RunRecord) -> None:
    other = {**record.checkpoints, "race": {**record.checkpoints["race"], key: "other"}}
    with pytest.raises(OutputError, match=f"race checkpoint's {key}"):
        record.refuse_other(replace(record, checkpoints=other))


OPTIONS = ["device", "precision", "batch_size", "fast", "ignore_exif", "max_pixels", "min_confidence"]


@pytest.mark.parametrize("option", OPTIONS)
def test_another_option_is_refused_and_named(option: str, record: RunRecord) -> None:
    with pytest.raises(OutputError, match=f"{option}: .* then, other now"):
        record.refuse_other(replace(record, options={**record.options, option: "other"}))


DAMAGED: list[tuple[Any, str]] = [
    ("", "it is not JSON"),
    ("\0" * 400, "it is not JSON"),
    ("[" * 100_000, "it is not JSON"),
    ([], "it is not a record of a run"),
    (5, "it is not a record of a run"),
    ({}, "format is missing"),
    ({"state": "unknown"}, "state has a value that no run writes"),
    ({"format": None}, "format has a value"),
    ({"checkpoints": [1]}, "checkpoints has a value"),
    ({"checkpoints": {"gender": 1}}, "checkpoints has a value"),
    ({"options": {}}, "options has a value"),
    ({"options": {"batch_size": "8"}}, "options has a value"),
    ({"options": {"batch_size": 0}}, "options has a value"),
    ({"runs": []}, "runs has a value"),
    ({"runs": [[]]}, r"runs\[0\] is not an object"),
    ({"runs": [{"started": "x", "versions": {}}]}, r"runs\[0\].threads is missing"),
    ({"runs": [{"started": "x", "versions": {}, "threads": 0}]}, r"runs\[0\].threads has a value"),
    ({"runs": [{"started": "x", "versions": {}, "threads": 10**9}]}, r"runs\[0\].threads has a value"),
    ({"runs": [{"started": "x", "versions": {}, "threads": 1, "folder": "x"}]}, r"runs\[0\].folder has a value"),
    ({"log_bytes": -1}, "log_bytes has a value"),
    ({"replaces": [1]}, "replaces has a value"),
    ({"record_format": "2"}, "record_format is not a number"),
    ({"record_format": True}, "record_format is not a number"),
]


@pytest.mark.parametrize(("change", "problem"), DAMAGED, ids=[str(number) for number in range(len(DAMAGED))])
def test_the_error_for_a_damaged_record_is_one_line_and_says_what_to_do(
    change: Any, problem: str, record: RunRecord, tmp_path: Path
) -> None:
    record.write(tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    if isinstance(change, dict) and change:
        change = document | change
    (tmp_path / "r.json").write_text(change if isinstance(change, str) else json.dumps(change))
    with pytest.raises(OutputError, match=f"{problem}.*Restore a copy of it, or --overwrite starts again") as caught:
        RunRecord.read(tmp_path / "r.json")
    assert "\n" not in str(caught.value) and "RunRecord" not in str(caught.value)


@pytest.mark.parametrize("name", ["format", "checkpoints", "options", "runs", "state", "started"])
def test_the_error_names_a_missing_key(name: str, record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    del document[name]
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(OutputError, match=f": {name} is missing"):
        RunRecord.read(tmp_path / "r.json")


def test_unknown_keys_are_ignored(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(document | {"note": "mine"}))
    assert RunRecord.read(tmp_path / "r.json") == record


def test_a_record_of_a_newer_format_is_refused(record: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"record_format": RECORD_FORMAT + 1, "all": "else"}))
    with pytest.raises(OutputError, match=r"newer version of democlass \(record format 3, .* up to 2\): use that"):
        RunRecord.read(tmp_path / "r.json")


def test_pipes_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(OutputError, match="not a regular file"):
            RunRecord.read(tmp_path / name)


def test_a_record_of_version_0_1_0_is_read_as_one_run(tmp_path: Path) -> None:
    old = RunRecord.read(DATA / "0.1.0" / "unfinished.csv.run.json")
    assert old is not None and (old.threads, old.versions["democlass"], old.state) == (2, "0.1.0", "running")
    assert (old.log_bytes, old.replaces, old.runs[0].folder) == (None, None, None)
    old.write(tmp_path / "r.json")
    assert RunRecord.read(tmp_path / "r.json") == old


def test_an_option_missing_from_an_older_record_has_its_default(record: RunRecord) -> None:
    older = {name: value for name, value in record.options.items() if name not in ("fast", "max_pixels")}
    replace(record, options=older).refuse_other(record)
    with pytest.raises(OutputError, match="fast: False then, True now"):
        replace(record, options=older).refuse_other(replace(record, options={**record.options, "fast": True}))
