"""The sink for one file: OUT, OUT.partial and OUT.run.json, also if a run ends early."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from democlass.classifier import Classifier
from democlass.errors import OutputError
from democlass.inputs.item import Item
from democlass.output.file_sink import FileSink, WriteMode
from democlass.output.formats import FORMATS
from democlass.output.record import RunRecord
from democlass.results import Prediction
from democlass.tasks import TASKS

RESUME, RETRY, OVERWRITE = WriteMode(resume=True), WriteMode(resume=True, retry_errors=True), WriteMode(overwrite=True)


@pytest.fixture
def classifier(tiny: Callable[..., Classifier]) -> Classifier:
    return tiny(batch_size=2)


@pytest.fixture(params=list(FORMATS))
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out.{request.param}"


def run(
    out: Path,
    classifier: Classifier,
    names: Iterable[Path],
    write_mode: WriteMode = WriteMode(),
    *,
    stop_after: int | None = None,
    **record: object,
) -> list[str]:
    """Write rows like the command does. Return the classified names. The run ends early after `stop_after` rows."""
    output = FileSink(out, FORMATS[out.suffix[1:]], write_mode)
    try:
        output.begin(replace(RunRecord.of(classifier.networks, classifier.settings, out.suffix[1:]), **record))  # type: ignore[arg-type]
        done: list[str] = []
        for prediction in classifier.classify(output.remaining(map(Item.of, names))):
            if len(done) == stop_after:
                return done
            output.write(prediction)
            done.append(Path(prediction.path or "").name)
        output.finish(Counter())
        return done
    finally:
        output.close()


def rows(out: Path) -> list[Prediction]:
    return list(FORMATS[out.suffix[1:]].read(io.BytesIO(out.read_bytes()), TASKS))


def have_same_rows(one: Path, other: Path) -> bool:
    return rows(one) == rows(other) if one.suffix == ".parquet" else one.read_bytes() == other.read_bytes()


@pytest.fixture
def names(photos: Path) -> list[Path]:
    (photos / "bad.jpg").touch()
    return sorted(photos.glob("*.*"))


def test_a_run_leaves_only_its_output_and_its_record(out: Path, classifier: Classifier, names: list[Path]) -> None:
    run(out, classifier, names)
    assert [row.path for row in rows(out)] == [str(name) for name in names]
    assert {path.name for path in out.parent.glob("out*")} == {out.name, f"{out.name}.run.json"}
    record = json.loads(out.with_name(f"{out.name}.run.json").read_text())
    assert record["state"] == "finished"
    assert record["tallies"] == {"rows": 6, "classified": 5, "unreadable": {"empty file": 1}, "skipped": {}}
    assert set(record["checkpoints"]) == {"gender", "race"}
    assert len(record["checkpoints"]["race"]["sha256"]) == 64
    assert record["options"]["batch_size"] == 2 and record["record_format"] == 2
    assert record["runs"][0]["threads"] >= 1 and record["runs"][0]["versions"]["torch"]


@pytest.mark.parametrize("stop_after", range(6))
def test_resuming_gives_the_same_file_as_an_uninterrupted_run(
    stop_after: int, out: Path, classifier: Classifier, names: list[Path]
) -> None:
    uninterrupted = out.with_stem("uninterrupted")
    run(uninterrupted, classifier, names)
    first = run(out, classifier, names, stop_after=stop_after)
    assert not out.exists()
    second = run(out, classifier, names, RESUME)
    assert first + second == [name.name for name in names]
    assert have_same_rows(out, uninterrupted)


def test_resuming_a_finished_run_adds_new_images_and_keeps_existing_rows(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    run(out, classifier, names[2:])
    before = rows(out)
    assert run(out, classifier, names, RESUME) == [name.name for name in names[:2]]
    assert rows(out)[:4] == before and len(rows(out)) == 6
    assert run(out, classifier, names, RESUME) == []


def test_an_image_named_twice_has_two_rows(out: Path, classifier: Classifier, names: list[Path]) -> None:
    run(out, classifier, [names[0], names[1], names[0]], stop_after=2)
    assert run(out, classifier, [names[0], names[1], names[0]], RESUME) == [names[0].name]


def test_retried_error_rows_keep_their_positions(out: Path, classifier: Classifier, names: list[Path]) -> None:
    run(out, classifier, names)
    bad = next(name for name in names if name.name == "bad.jpg")
    bad.write_bytes(names[0].read_bytes())
    assert run(out, classifier, names, RESUME) == []
    assert run(out, classifier, names, RETRY) == ["bad.jpg"]
    uninterrupted = out.with_stem("uninterrupted")
    run(uninterrupted, classifier, names)
    assert have_same_rows(out, uninterrupted)


def test_a_run_that_ends_while_retrying_errors_loses_no_rows(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    with_missing = [*names, names[0].with_name("none.jpg")]
    run(out, classifier, with_missing)
    before = rows(out)
    assert run(out, classifier, with_missing, RETRY, stop_after=1) == ["bad.jpg"]
    assert rows(out) == before
    assert run(out, classifier, with_missing, RETRY) == ["bad.jpg", "none.jpg"]
    assert rows(out) == before


def test_a_run_that_ends_while_adding_images_loses_no_rows(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    run(out, classifier, names[:3])
    before = rows(out)
    run(out, classifier, names, RESUME, stop_after=1)
    assert rows(out) == before
    assert run(out, classifier, names, RESUME) == [name.name for name in names[4:]]
    assert len(rows(out)) == 6


def test_a_run_that_ends_between_the_last_row_and_the_record_loses_no_rows(
    out: Path, classifier: Classifier, names: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunRecord.write

    def stop_before_finished(record: RunRecord, path: Path) -> None:
        if record.state == "finished":
            raise KeyboardInterrupt
        write(record, path)

    monkeypatch.setattr(RunRecord, "write", stop_before_finished)
    with pytest.raises(KeyboardInterrupt):
        run(out, classifier, names)
    monkeypatch.undo()
    before = rows(out)
    assert run(out, classifier, names, RESUME) == []
    assert rows(out) == before


def test_an_existing_output_is_replaced_only_with_overwrite(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    run(out, classifier, names[:2])
    before = out.read_bytes()
    with pytest.raises(OutputError, match="--resume adds to it, --overwrite"):
        run(out, classifier, names)
    assert out.read_bytes() == before
    run(out, classifier, names, OVERWRITE, stop_after=1)
    assert out.read_bytes() == before
    with pytest.raises(OutputError, match="exists"):
        run(out, classifier, names)
    run(out, classifier, names, OVERWRITE)
    assert len(rows(out)) == 6


def test_resuming_an_interrupted_run_with_overwrite_continues_that_run(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    run(out, classifier, names[:2])
    run(out, classifier, names[2:], OVERWRITE, stop_after=0)
    run(out, classifier, names[2:], RESUME)
    assert [row.path for row in rows(out)] == [str(name) for name in names[2:]]


def test_an_unfinished_run_is_not_restarted_without_overwrite(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    run(out, classifier, names, stop_after=1)
    with pytest.raises(OutputError, match="unfinished"):
        run(out, classifier, names)


def test_resuming_without_an_output_is_a_new_run_even_if_there_is_a_record(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    assert len(run(out, classifier, names, RESUME)) == 6
    out.unlink()
    assert len(run(out, classifier, names, RESUME)) == 6


def test_resuming_with_other_checkpoints_or_options_is_refused_and_lists_them(
    out: Path, classifier: Classifier, names: list[Path]
) -> None:
    run(out, classifier, names, stop_after=1)
    record = RunRecord.of(classifier.networks, classifier.settings, "csv")
    other = {**record.checkpoints, "race": {**record.checkpoints["race"], "sha256": "0" * 64}}
    with pytest.raises(OutputError, match=r"race checkpoint's sha256: .* then, 000000000000… now"):
        run(out, classifier, names, RESUME, checkpoints=other)
    with pytest.raises(OutputError, match="precision: float32 then, bfloat16 now; ignore_exif: False then, True now"):
        changed = {**record.options, "precision": "bfloat16", "ignore_exif": True}
        run(out, classifier, names, RESUME, options=changed)
    assert run(out, classifier, names, RESUME) == [name.name for name in names[1:]]


def test_resuming_without_a_record_is_refused(out: Path, classifier: Classifier, names: list[Path]) -> None:
    run(out, classifier, names)
    out.with_name(f"{out.name}.run.json").unlink()
    with pytest.raises(OutputError, match="--overwrite starts again"):
        run(out, classifier, names, RESUME)


def test_resuming_a_file_changed_by_hand_is_refused(out: Path, classifier: Classifier, names: list[Path]) -> None:
    run(out, classifier, names)
    out.write_bytes(b"path,status\nsomething,else\n")
    with pytest.raises(OutputError, match="was changed or damaged"):
        run(out, classifier, names, RESUME)
    assert out.read_bytes() == b"path,status\nsomething,else\n"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"state": "unknown"}'])
def test_a_record_that_cannot_be_read_is_refused(
    content: bytes, classifier: Classifier, names: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    run(out, classifier, names)
    out.with_name("out.csv.run.json").write_bytes(content)
    with pytest.raises(OutputError, match="can't read the record"):
        run(out, classifier, names, RESUME)


def test_a_symbolic_link_is_followed(classifier: Classifier, names: list[Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "elsewhere" / "real.csv")
    run(tmp_path / "out.csv", classifier, names)
    assert (tmp_path / "out.csv").is_symlink()
    assert len(rows(tmp_path / "elsewhere" / "real.csv")) == 6


def test_an_output_in_an_unsuitable_place_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        FileSink(tmp_path, FORMATS["csv"], WriteMode())
    with pytest.raises(OutputError, match="does not exist"):
        FileSink(tmp_path / "none" / "out.csv", FORMATS["csv"], WriteMode())
