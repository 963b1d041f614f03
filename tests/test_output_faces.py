"""Outputs with several rows for an input: resuming, counts, and runs with other settings of face detection."""

from __future__ import annotations

import io
import json
import os
import random
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from democlass.boxes import Box
from democlass.errors import OutputError
from democlass.flat import columns
from democlass.output.formats import FORMATS, WriterOptions
from democlass.output.paths import read_rows
from democlass.output.record import RunRecord
from democlass.output.stream import StreamSink
from democlass.results import Face, Prediction
from democlass.settings import Settings
from democlass.tasks import TASKS
from predicting import ERROR, GROUP, NO_FACE
from synthetic import RESUME, RETRY, predict, record, run

NAMES = [
    "a.jpg",
    "a.jpg",
    "none.jpg",
    "bad.jpg",
    "small.jpg",
    "b.jpg",
    os.fsdecode(b"caf\xe9.jpg"),
    "none.jpg",
    "b.jpg",
]
DETECTOR = {"detector_sha256": "ab" * 32}


def find(name: str) -> Prediction:
    """Return a prediction with up to three faces that depends on the name."""
    if name.startswith("bad"):
        return predict(name)
    generator = random.Random(os.fsencode(name))
    places = sorted(
        generator.uniform(-20, 4000) for _ in range(0 if name.startswith("none") else generator.randint(1, 3))
    )
    boxes = [Box(x, generator.uniform(0, 3000), 87.654, 87.654, generator.uniform(-30, 30)).rounded() for x in places]
    is_small = name.startswith("small")
    faces = (
        Face({} if is_small else predict(ascii((name, box.x))).outcomes, box, generator.uniform(0.35, 1))
        for box in boxes
    )
    return Prediction(name, tuple(faces))


def settings(**changes: Any) -> dict[str, Any]:
    return {**asdict(Settings()), "batch_size": 8, **changes}


def of_faces(out: Path, **changes: Any) -> RunRecord:
    return record(out.suffix[1:], options=settings(faces=True, **DETECTOR) | changes)


@pytest.fixture(params=list(FORMATS))
def out(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / f"out.{request.param}"


def rows(out: Path) -> list[Prediction]:
    return list(read_rows(out, out.suffix[1:], TASKS))


def same(one: Path, other: Path) -> bool:
    return rows(one) == rows(other) if one.suffix == ".parquet" else one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("stop_after", [1, 2, 5, 8])
def test_resuming_gives_the_file_of_an_uninterrupted_run(stop_after: int, out: Path) -> None:
    whole = out.with_stem("whole")
    run(whole, NAMES, classify=find, new=of_faces(out))
    first, _ = run(out, NAMES, classify=find, new=of_faces(out), stop_after=stop_after)
    second, _ = run(out, NAMES, RESUME, classify=find, new=of_faces(out))
    assert first + second == NAMES
    assert same(out, whole)


def test_resuming_a_finished_output_adds_images_and_keeps_its_rows(out: Path) -> None:
    whole = out.with_stem("whole")
    run(whole, NAMES, classify=find, new=of_faces(out))
    run(out, NAMES[:5], classify=find, new=of_faces(out))
    before = rows(out)
    assert run(out, NAMES, RESUME, classify=find, new=of_faces(out))[0] == NAMES[5:]
    assert rows(out)[:5] == before
    assert [(row.path, len(row.faces)) for row in rows(out)] == [(name, len(find(name).faces)) for name in NAMES]
    assert same(out, whole)


def test_an_error_that_is_retried_may_become_several_faces(out: Path) -> None:
    run(out, NAMES, classify=find, new=of_faces(out))

    def repaired(name: str) -> Prediction:
        return replace(GROUP, path=name)

    assert run(out, NAMES, RETRY, classify=repaired, new=of_faces(out))[0] == ["bad.jpg"]
    assert [row.path for row in rows(out)] == NAMES
    assert [(face.status, face.box) for face in rows(out)[3].faces] == [(face.status, face.box) for face in GROUP.faces]


def test_tallies_count_inputs_and_faces(out: Path) -> None:
    run(out, NAMES, classify=find, new=of_faces(out))
    tallies = json.loads(Path(f"{out}.run.json").read_text())["tallies"]
    found = [find(name) for name in NAMES]
    faces = sum(len(each.faces) for each in found if each.status == "ok")
    assert faces > 5
    expected = {"rows": 9, "classified": 5, "no_face": 2, "too_small": 1, "faces": faces}
    assert tallies == expected | {
        "too_small_faces": len(find("small.jpg").faces), "unreadable": {"truncated": 1}, "skipped": {}
    }  # fmt: skip


def test_a_run_over_unreadable_images_has_the_columns_and_counts_of_faces(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run(out, ["bad.jpg"], classify=find, new=of_faces(out))
    assert out.read_text().splitlines()[0] == ",".join(columns(faces=True))
    assert json.loads(Path(f"{out}.run.json").read_text())["tallies"]["faces"] == 0


def test_a_stream_counts_faces_even_if_there_are_none() -> None:
    sink = StreamSink(stream := io.BytesIO(), lambda: FORMATS["jsonl"].writer(stream, WriterOptions(faces=True)))
    sink.begin(of_faces(Path("out.jsonl")))
    sink.write(ERROR)
    assert sink.finish(Counter()).has_detection


def test_an_output_without_faces_is_not_resumed_with_faces_nor_the_other_way_round(tmp_path: Path) -> None:
    for before, now, message in (
        (settings(), settings(faces=True, **DETECTOR), r"these differ: faces: False then, True now\. Use"),
        (settings(faces=True, **DETECTOR), settings(), r"these differ: faces: True then, False now\. Use"),
    ):
        with pytest.raises(OutputError, match=message):
            record("csv", options=before).refuse_other(record("csv", options=now))


def test_other_settings_of_face_detection_are_named() -> None:
    out = Path("out.csv")
    other = of_faces(out, face_size=960, min_face=20, largest=True, detector_sha256="cd" * 32)
    with pytest.raises(OutputError) as refused:
        of_faces(out).refuse_other(other)
    assert (
        "these differ: face_size: 640 then, 960 now; min_face: 32 then, 20 now; largest: False then, True now; face "
        "detector's sha256: abababababab… then, cdcdcdcdcdcd… now. Use the first run's settings"
    ) in str(refused.value)
    of_faces(out).refuse_other(of_faces(out))


def test_a_record_of_an_earlier_version_is_resumed_only_without_faces() -> None:
    earlier = record("csv", options={"batch_size": 8, "min_confidence": 0.0})
    earlier.refuse_other(record("csv", options=settings()))
    with pytest.raises(OutputError, match="these differ: faces: False then, True now; min_face: 32 then, 20 now"):
        earlier.refuse_other(record("csv", options=settings(faces=True, min_face=20)))


def test_a_damaged_row_of_faces_is_refused_and_the_output_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run(out, ["a.jpg"], classify=lambda name: replace(GROUP, path=name), new=of_faces(out))
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join([*lines[:2], lines[3]]))  # without face 1
    before = out.read_bytes()
    with pytest.raises(OutputError, match="was changed or damaged"):
        run(out, ["a.jpg", "b.jpg"], RESUME, classify=find, new=of_faces(out))
    assert out.read_bytes() == before


def test_a_number_beyond_all_floats_in_the_row_log_is_a_damaged_row(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run(out, ["a.jpg", "b.jpg"], classify=lambda _: GROUP, new=of_faces(out), stop_after=1)
    log = Path(f"{out}.partial")
    log.write_text(log.read_text().replace('"x": -1.0', f'"x": {10**400}', 1))
    with pytest.raises(OutputError, match="has a damaged row at byte 0"):
        run(out, ["a.jpg", "b.jpg"], RESUME, classify=find, new=of_faces(out))


def test_a_landscape_has_one_row(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run(out, ["a.jpg"], classify=lambda _: NO_FACE, new=of_faces(out))
    assert len(out.read_text().splitlines()) == 2
