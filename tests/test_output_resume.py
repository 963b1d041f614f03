"""What resuming goes on from: which rows are there, whose they are, and what is said of it."""

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
from democlass.output.formats import FORMATS
from democlass.output.paths import read_rows
from democlass.output.record import RunRecord
from democlass.output.run_info import RunInfo
from democlass.output.single import FileSink
from democlass.results import Prediction
from democlass.tasks import TASKS
from synthetic import OVERWRITE, RESUME, RETRY, beside, predict, record, run

DATA = Path(__file__).parent / "data" / "0.1.0"
NAMES = ["photos/a.jpg", "photos/b.jpg", "photos/c.jpg", "photos/d.jpg"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `photos/` in it: four files and one in a folder within."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in [*NAMES, "photos/sub/e.jpg"]:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def found(*sources: str) -> list[str]:
    return [str(item.name) for item in find(sources, Walk(), Counter())]


def rows(out: Path) -> list[Prediction]:
    return list(read_rows(out, out.suffix[1:], TASKS))


def paths(out: Path) -> list[str | None]:
    return [row.path for row in rows(out)]


def said_of(out: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(Path(f"{out}.run.json").read_text())
    return said


@pytest.mark.parametrize(
    "spelling", ["./photos", "photos/", "photos//", "photos/../photos", "photos/sub/..", "link", "{here}/photos"]
)
def test_a_folder_under_another_spelling_adds_nothing(spelling: str, here: Path) -> None:
    (here / "link").symlink_to("photos")
    out = here / "r.csv"
    run(out, found("photos"))
    before = out.read_bytes()
    assert run(out, found(spelling.format(here=here)), RESUME)[0] == []
    assert out.read_bytes() == before


def test_new_images_get_the_name_as_it_is_given_now(here: Path) -> None:
    out = here / "r.csv"
    run(out, found("photos"))
    (here / "photos" / "new.jpg").touch()
    assert run(out, found("./photos//"), RESUME)[0] == ["./photos//new.jpg"]
    assert paths(out) == [*found("photos")[:4], "photos/sub/e.jpg", "./photos//new.jpg"]


def test_names_are_relative_to_where_each_run_was_started(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, said = here / "r.csv", list[str]()
    run(out, found("photos"), new=record("csv", ["photos"]))
    other = here / "other"
    (other / "photos").mkdir(parents=True)
    (other / "photos" / "a.jpg").touch()  # another file under a name that has a row
    monkeypatch.chdir(other)
    assert run(out, found("../photos", "photos"), RESUME, new=record("csv", ["../photos", "photos"]), warn=said.append)[
        0
    ] == ["photos/a.jpg"]
    assert said == [f"paths in existing rows are relative to {here}, in new rows to {other}"]
    monkeypatch.chdir(here)
    assert run(out, found("photos", "other/photos"), RESUME)[0] == []
    assert [entry["rows_before"] for entry in said_of(out)["runs"]] == [0, 5]


def test_images_and_output_that_were_moved_together_are_known(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(here / "r.csv", found("photos"))
    for way in (shutil.copytree, shutil.move):
        moved = here.parent / f"{here.name}-{way.__name__}"
        way(here, moved)
        monkeypatch.chdir(moved)
        assert run(moved / "r.csv", found("photos"), RESUME)[0] == []


def test_error_rows_are_repeated_from_another_folder_under_their_own_names(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["photos/bad.jpg", "photos/b.jpg"]
    for each in ("r.csv", "same.csv"):
        run(here / each, names)
    assert run(here / "same.csv", names, RETRY, answer=lambda name: predict("mended.jpg"))[0] == names[:1]
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    opened, _ = run(here / "r.csv", [], RETRY, answer=lambda name: replace(predict("mended.jpg"), path=name))
    assert opened == [str(here / "photos" / "bad.jpg")]
    assert paths(here / "r.csv") == names
    assert (here / "r.csv").read_bytes() == (here / "same.csv").read_bytes()


def test_each_run_is_in_the_record_with_its_versions(here: Path) -> None:
    out, said = here / "r.csv", list[str]()
    first = record("csv", ["photos"])
    first = replace(first, runs=[replace(first.runs[0], versions={"torch": "2.6.0", "pillow": "10.3.0"})])
    run(out, NAMES[:2], new=first, stop_after=1)
    second = record("csv", ["./photos"])
    second = replace(second, runs=[replace(second.runs[0], versions={"torch": "2.7.1", "pillow": "10.3.0"})])
    run(out, NAMES, RESUME, new=second, warn=said.append)
    assert len(said) == 1 and "torch 2.6.0 then, 2.7.1 now" in said[0] and "pillow" not in said[0]
    runs = said_of(out)["runs"]
    assert [(each["versions"]["torch"], each["rows_before"]) for each in runs] == [("2.6.0", 0), ("2.7.1", 1)]
    assert [each["command"] for each in runs] == [["classify", "batch", "photos"], ["classify", "batch", "./photos"]]
    assert [each["sources"] for each in runs] == [["photos"], ["./photos"]]
    assert {(each["folder"], each["out"]) for each in runs} == {(str(here), str(out))}


def test_a_run_that_added_nothing_is_not_in_the_record(here: Path) -> None:
    out = here / "r.csv"
    for _ in range(3):
        run(out, NAMES, RESUME)
    assert len(said_of(out)["runs"]) == 1
    run(here / "none.csv", [])
    assert len(said_of(here / "none.csv")["runs"]) == 1


def test_rows_of_a_finished_output_outlive_a_lost_log(here: Path) -> None:
    out = here / "r.csv"
    run(out, ["gone.jpg", *NAMES[:2]])
    run(out, NAMES, RESUME, stop_after=1)
    Path(f"{out}.partial").unlink()
    run(out, NAMES, RESUME)
    assert paths(out) == ["gone.jpg", *NAMES]


def test_an_output_that_may_or_may_not_be_wanted_is_kept(here: Path) -> None:
    out = here / "r.csv"
    run(out, NAMES[:1])
    run(out, NAMES, OVERWRITE, stop_after=2)
    Path(f"{out}.partial").unlink()
    os.utime(out)  # so it is not surely the file that was to be overwritten
    before = out.read_bytes()
    with pytest.raises(OutputError, match=r"may or may not have them: move .* away and --resume"):
        run(out, NAMES, RESUME)
    assert out.read_bytes() == before
    out.rename(here / "away.csv")
    run(out, NAMES, RESUME)
    assert paths(out) == NAMES


def test_a_log_that_lost_rows_is_told_of_where_nothing_else_has_them(here: Path) -> None:
    out, said = here / "r.csv", list[str]()
    run(out, NAMES, stop_after=2)
    run(out, NAMES, RESUME, stop_after=1)
    os.truncate(f"{out}.partial", 0)
    assert run(out, NAMES, RESUME, warn=said.append)[0] == NAMES
    assert len(said) == 1 and "lost rows: their images are classified again" in said[0]


def test_what_is_put_in_the_place_of_the_output_meanwhile_is_not_overwritten(here: Path) -> None:
    out = here / "r.csv"
    with closing(FileSink(out, FORMATS["csv"], RESUME)) as output:
        output.begin(record("csv"))
        output.write(predict("a.jpg"))
        out.write_text("another's")
        with pytest.raises(WriteError, match="was created by something else during the run"):
            output.finish(Counter())
    assert out.read_text() == "another's"
    out.rename(here / "away")
    run(out, ["a.jpg"], RESUME)
    assert paths(out) == ["a.jpg"] and beside(out) >= {".run.json"}


def test_rows_are_on_disk_before_the_record_says_so_and_when_a_run_is_interrupted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, synced = here / "r.csv.partial", list[int]()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        if log.exists() and os.path.samestat(os.fstat(descriptor), log.stat()):
            synced.append(log.stat().st_size)

    monkeypatch.setattr(os, "fsync", note)
    run(here / "r.csv", NAMES, stop_after=3)
    assert synced == [0, log.stat().st_size]
    synced.clear()
    assert run(here / "r.csv", NAMES, RESUME, stop_after=0)[0] == []
    assert said_of(here / "r.csv")["log_bytes"] == synced[0] == log.stat().st_size


@pytest.mark.parametrize("name", ["finished.csv", "finished.json", "finished.jsonl", "finished.parquet"])
def test_a_finished_output_of_version_0_1_0_is_added_to(name: str, here: Path) -> None:
    out = copied(name, here)
    assert run(out, [*NAMES, "photos/new.jpg"], RESUME, new=again(out))[0] == ["photos/new.jpg"]
    assert paths(out) == [*NAMES, "photos/new.jpg"]
    if name == "finished.csv":
        assert out.read_bytes().startswith((DATA / name).read_bytes())
    assert said_of(out)["runs"][0]["versions"]["democlass"] == "0.1.0"
    assert said_of(out)["record_format"] == 2


def test_unfinished_runs_of_version_0_1_0_are_completed(here: Path) -> None:
    out = copied("unfinished.csv", here)
    answers = {row.path: row for row in rows(DATA / "finished.csv")}

    def answer(name: str) -> Prediction:
        return answers[name]

    assert run(out, NAMES, RESUME, new=again(out), answer=answer)[0] == NAMES[2:]
    assert out.read_bytes() == (DATA / "finished.csv").read_bytes()
    out = copied("retrying.jsonl", here)
    assert run(out, NAMES, RETRY, new=again(out))[0] == []
    assert [row.error for row in rows(out)] == [None] * 4


def copied(name: str, folder: Path) -> Path:
    for suffix in ("", ".partial", ".run.json"):
        if (DATA / (name + suffix)).exists():
            shutil.copy(DATA / (name + suffix), folder)
    return folder / name


def again(out: Path) -> RunRecord:
    """Return the record of a run with the same networks and options as the one that made an output."""
    before = RunRecord.read(Path(f"{out}.run.json"))
    assert before is not None
    return replace(before, state="running", runs=[RunInfo.of(2, [], [])])
