"""Resuming: which images have a row, where existing rows are read from, and what the record contains."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from democlass.errors import OutputError, WriteError
from democlass.inputs.local import Walk, find
from democlass.output.file_sink import FileSink
from democlass.output.formats import FORMATS
from democlass.output.paths import read_rows
from democlass.output.record import RunRecord
from democlass.output.run_info import RunInfo
from democlass.results import Prediction
from democlass.tasks import TASKS
from synthetic import OVERWRITE, RESUME, RETRY, companion_suffixes, predict, record, run

DATA = Path(__file__).parent / "data" / "0.1.0"
NAMES = ["photos/a.jpg", "photos/b.jpg", "photos/c.jpg", "photos/d.jpg"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `photos/`: four files, and one in a subfolder."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in [*NAMES, "photos/sub/e.jpg"]:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def find_names(*sources: str) -> list[str]:
    return [str(item.name) for item in find(sources, Walk(), Counter())]


def rows(out: Path) -> list[Prediction]:
    return list(read_rows(out, out.suffix[1:], TASKS))


def paths(out: Path) -> list[str | None]:
    return [row.path for row in rows(out)]


def read_record(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(f"{out}.run.json").read_text())
    return document


@pytest.mark.parametrize(
    "spelling", ["./photos", "photos/", "photos//", "photos/../photos", "photos/sub/..", "link", "{here}/photos"]
)
def test_another_spelling_of_a_folder_adds_no_rows(spelling: str, here: Path) -> None:
    (here / "link").symlink_to("photos")
    out = here / "r.csv"
    run(out, find_names("photos"))
    before = out.read_bytes()
    assert run(out, find_names(spelling.format(here=here)), RESUME)[0] == []
    assert out.read_bytes() == before


def test_rows_of_new_images_have_the_names_of_the_resuming_run(here: Path) -> None:
    out = here / "r.csv"
    run(out, find_names("photos"))
    (here / "photos" / "new.jpg").touch()
    assert run(out, find_names("./photos//"), RESUME)[0] == ["./photos//new.jpg"]
    assert paths(out) == [*find_names("photos")[:4], "photos/sub/e.jpg", "./photos//new.jpg"]


def test_names_are_relative_to_the_folder_in_which_each_run_was_started(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, warnings = here / "r.csv", list[str]()
    run(out, find_names("photos"), new=record("csv", ["photos"]))
    other = here / "other"
    (other / "photos").mkdir(parents=True)
    (other / "photos" / "a.jpg").touch()  # another file with a name that has a row
    monkeypatch.chdir(other)
    sources = ["../photos", "photos"]
    classified, _ = run(out, find_names(*sources), RESUME, new=record("csv", sources), warn=warnings.append)
    assert classified == ["photos/a.jpg"]
    assert warnings == [f"paths in existing rows are relative to {here}, in new rows to {other}"]
    monkeypatch.chdir(here)
    assert run(out, find_names("photos", "other/photos"), RESUME)[0] == []
    assert [entry["rows_before"] for entry in read_record(out)["runs"]] == [0, 5]


def test_images_that_moved_with_the_output_keep_their_rows(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(here / "r.csv", find_names("photos"))
    for transfer in (shutil.copytree, shutil.move):
        moved = here.parent / f"{here.name}-{transfer.__name__}"
        transfer(here, moved)
        monkeypatch.chdir(moved)
        assert run(moved / "r.csv", find_names("photos"), RESUME)[0] == []


def test_error_rows_retried_from_another_folder_keep_their_names(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["photos/bad.jpg", "photos/b.jpg"]
    for file in ("r.csv", "same.csv"):
        run(here / file, names)
    assert run(here / "same.csv", names, RETRY, classify=lambda name: predict("repaired.jpg"))[0] == names[:1]
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    classified, _ = run(here / "r.csv", [], RETRY, classify=lambda name: replace(predict("repaired.jpg"), path=name))
    assert classified == [str(here / "photos" / "bad.jpg")]
    assert paths(here / "r.csv") == names
    assert (here / "r.csv").read_bytes() == (here / "same.csv").read_bytes()


def test_the_record_lists_each_run_with_its_versions(here: Path) -> None:
    out, warnings = here / "r.csv", list[str]()
    first = record("csv", ["photos"])
    first = replace(first, runs=[replace(first.runs[0], versions={"torch": "2.6.0", "pillow": "10.3.0"})])
    run(out, NAMES[:2], new=first, stop_after=1)
    second = record("csv", ["./photos"])
    second = replace(second, runs=[replace(second.runs[0], versions={"torch": "2.7.1", "pillow": "10.3.0"})])
    run(out, NAMES, RESUME, new=second, warn=warnings.append)
    assert len(warnings) == 1 and "torch 2.6.0 then, 2.7.1 now" in warnings[0] and "pillow" not in warnings[0]
    runs = read_record(out)["runs"]
    assert [(each["versions"]["torch"], each["rows_before"]) for each in runs] == [("2.6.0", 0), ("2.7.1", 1)]
    assert [each["command"] for each in runs] == [["classify", "batch", "photos"], ["classify", "batch", "./photos"]]
    assert [each["sources"] for each in runs] == [["photos"], ["./photos"]]
    assert {(each["folder"], each["out"]) for each in runs} == {(str(here), str(out))}


def test_the_record_does_not_list_a_run_without_new_rows(here: Path) -> None:
    out = here / "r.csv"
    for _ in range(3):
        run(out, NAMES, RESUME)
    assert len(read_record(out)["runs"]) == 1
    run(here / "none.csv", [])
    assert len(read_record(here / "none.csv")["runs"]) == 1


def test_a_lost_log_does_not_lose_the_rows_of_a_finished_output(here: Path) -> None:
    out = here / "r.csv"
    run(out, ["gone.jpg", *NAMES[:2]])
    run(out, NAMES, RESUME, stop_after=1)
    Path(f"{out}.partial").unlink()
    run(out, NAMES, RESUME)
    assert paths(out) == ["gone.jpg", *NAMES]


def test_an_output_with_unknown_rows_is_not_replaced_if_the_log_is_lost(here: Path) -> None:
    out = here / "r.csv"
    run(out, NAMES[:1])
    run(out, NAMES, OVERWRITE, stop_after=2)
    Path(f"{out}.partial").unlink()
    os.utime(out)  # now it cannot be identified as the file to overwrite
    before = out.read_bytes()
    with pytest.raises(OutputError, match=r"may or may not have them: move .* away, then --resume"):
        run(out, NAMES, RESUME)
    assert out.read_bytes() == before
    out.rename(here / "away.csv")
    run(out, NAMES, RESUME)
    assert paths(out) == NAMES


def test_lost_rows_of_the_log_that_exist_nowhere_else_cause_a_warning(here: Path) -> None:
    out, warnings = here / "r.csv", list[str]()
    run(out, NAMES, stop_after=2)
    run(out, NAMES, RESUME, stop_after=1)
    os.truncate(f"{out}.partial", 0)
    assert run(out, NAMES, RESUME, warn=warnings.append)[0] == NAMES
    assert len(warnings) == 1 and "lost rows: their images are classified again" in warnings[0]


def test_a_file_created_at_the_outputs_path_during_the_run_is_not_replaced(here: Path) -> None:
    out = here / "r.csv"
    with closing(FileSink(out, FORMATS["csv"], RESUME)) as output:
        output.begin(record("csv"))
        output.write(predict("a.jpg"))
        out.write_text("of another program")
        with pytest.raises(WriteError, match="was created by something else during the run"):
            output.finish(Counter())
    assert out.read_text() == "of another program"
    out.rename(here / "away")
    run(out, ["a.jpg"], RESUME)
    assert paths(out) == ["a.jpg"] and companion_suffixes(out) >= {".run.json"}


def test_rows_are_flushed_before_the_record_is_written_and_when_a_run_is_interrupted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, synced = here / "r.csv.partial", list[int]()
    fsync = os.fsync

    def record_fsync(descriptor: int) -> None:
        fsync(descriptor)
        if log.exists() and os.path.samestat(os.fstat(descriptor), log.stat()):
            synced.append(log.stat().st_size)

    monkeypatch.setattr(os, "fsync", record_fsync)
    run(here / "r.csv", NAMES, stop_after=3)
    assert synced == [0, log.stat().st_size]
    synced.clear()
    assert run(here / "r.csv", NAMES, RESUME, stop_after=0)[0] == []
    assert read_record(here / "r.csv")["log_bytes"] == synced[0] == log.stat().st_size


@pytest.mark.parametrize("name", ["finished.csv", "finished.json", "finished.jsonl", "finished.parquet"])
def test_a_finished_output_of_version_0_1_0_can_be_resumed(name: str, here: Path) -> None:
    out = copy_output(name, here)
    assert run(out, [*NAMES, "photos/new.jpg"], RESUME, new=same_settings(out))[0] == ["photos/new.jpg"]
    assert paths(out) == [*NAMES, "photos/new.jpg"]
    if name == "finished.csv":
        assert out.read_bytes().startswith((DATA / name).read_bytes())
    assert read_record(out)["runs"][0]["versions"]["democlass"] == "0.1.0"
    assert read_record(out)["record_format"] == 2


def test_unfinished_runs_of_version_0_1_0_can_be_resumed(here: Path) -> None:
    out = copy_output("unfinished.csv", here)
    predictions = {row.path: row for row in rows(DATA / "finished.csv")}

    def classify(name: str) -> Prediction:
        return predictions[name]

    assert run(out, NAMES, RESUME, new=same_settings(out), classify=classify)[0] == NAMES[2:]
    assert out.read_bytes() == (DATA / "finished.csv").read_bytes()
    out = copy_output("retrying.jsonl", here)
    assert run(out, NAMES, RETRY, new=same_settings(out))[0] == []
    assert [row.error for row in rows(out)] == [None] * 4


def copy_output(name: str, folder: Path) -> Path:
    for suffix in ("", ".partial", ".run.json"):
        if (DATA / (name + suffix)).exists():
            shutil.copy(DATA / (name + suffix), folder)
    return folder / name


def same_settings(out: Path) -> RunRecord:
    """Return a new record with the checkpoints and options of an existing output."""
    before = RunRecord.read(Path(f"{out}.run.json"))
    assert before is not None
    return replace(before, state="running", runs=[RunInfo.of(2, [], [])])


@pytest.mark.parametrize("is_moved", [True, False])
def test_an_output_whose_folder_is_gone_at_the_end_is_not_said_to_have_kept_its_rows(
    is_moved: bool, here: Path
) -> None:
    (here / "results").mkdir()
    with closing(FileSink(here / "results" / "r.csv", FORMATS["csv"], RESUME)) as output:
        output.begin(record("csv"))
        for item in output.remaining(find(["photos"], Walk(), Counter())):
            output.write(predict(str(item.name)))
        (here / "results").rename(here / "moved")
        if not is_moved:
            shutil.rmtree(here / "moved")
        with pytest.raises(WriteError, match=r"r\.csv\.partial, which has the rows, was moved or deleted") as failed:
            output.finish(Counter())
    assert "Rows so far are kept" not in str(failed.value)
    if is_moved:
        assert run(here / "moved" / "r.csv", find_names("photos"), RESUME)[0] == []
        assert paths(here / "moved" / "r.csv") == find_names("photos")
