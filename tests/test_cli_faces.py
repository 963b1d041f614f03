"""`--faces`: one row per face, from the command line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import EXAMPLES, Run
from democlass.networks.locations import built_in_folder
from fork_server import ForkServer
from photos import background, group, portrait
from processes import wait_until

pytestmark = pytest.mark.slow

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Groups, a landscape without a face, a face crop, a photo of small faces, and a file that is no image."""
    folder = tmp_path_factory.mktemp("faces") / "photos"
    (folder / "b").mkdir(parents=True)
    group([250, 200, 300]).save(folder / "group.jpg", quality=95)
    group([250]).save(folder / "b" / "group.jpg", quality=95)
    background(640, 480).save(folder / "none.jpg")
    portrait().crop((36, 36, 164, 174)).save(folder / "crop.png")
    group([48], size=(400, 300)).save(folder / "small.png")
    (folder / "z-bad.jpg").write_bytes(b"not an image")
    return folder


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.fixture(scope="module")
def whole(photos: Path, commands: ForkServer) -> bytes:
    """The rows of one run over all photos."""
    result = commands.run("batch", "photos", "--faces", "--out", "whole.csv", "--quiet", cwd=photos.parent)
    assert (result.returncode, result.stderr) == (3, b"")
    return (photos.parent / "whole.csv").read_bytes()


def test_there_is_a_row_for_each_face_and_one_for_each_image_without(whole: bytes) -> None:
    found = [(row["path"], row["face"], row["status"]) for row in rows(whole)]
    assert found == [
        ("photos/b/group.jpg", "0", "ok"),
        ("photos/crop.png", "0", "ok"),
        ("photos/group.jpg", "0", "ok"),
        ("photos/group.jpg", "1", "ok"),
        ("photos/group.jpg", "2", "ok"),
        ("photos/none.jpg", "", "no_face"),
        ("photos/small.png", "0", "too_small"),
        ("photos/z-bad.jpg", "", "error"),
    ]


def test_rows_say_where_the_faces_are_from_left_to_right(whole: bytes) -> None:
    faces = [row for row in rows(whole) if row["path"] == "photos/group.jpg"]
    centres = [float(row["x"]) + float(row["width"]) / 2 for row in faces]
    assert centres == pytest.approx([200, 600, 1000], abs=30)
    assert all(row["width"] == row["height"] for row in faces)
    assert all(float(row["detection_score"]) > 0.5 for row in faces)
    assert list(faces[0])[:10] == [
        "path", "face", "x", "y", "width", "height", "rotation", "detection_score", "status", "error",
    ]  # fmt: skip


def test_an_image_that_is_a_face_crop_is_classified_as_without_faces(
    photos: Path, whole: bytes, classify_here: Run
) -> None:
    (row,) = (row for row in rows(whole) if row["path"] == "photos/crop.png")
    assert (row["x"], row["y"], row["width"], row["height"], row["rotation"]) == ("0.0", "0.0", "128.0", "138.0", "0.0")
    result = classify_here("crop.png", "--format", "csv", cwd=photos)
    (without,) = rows(result.stdout)
    assert {name: row[name] for name in without if name != "path"} == {
        name: without[name] for name in without if name != "path"
    }


@pytest.mark.parametrize("options", [("--batch-size", "3", "--workers", "3"), ("--workers", "0")])
def test_neither_batches_nor_workers_change_more_than_rounding(
    photos: Path, whole: bytes, classify_here: Run, options: tuple[str, ...]
) -> None:
    result = classify_here("batch", "photos", "--faces", "--quiet", *options, cwd=photos.parent)
    for one, other in zip(rows(result.stdout), rows(whole), strict=True):
        for name in one:
            if name.partition("_")[0] in ("gender", "race") and one[name] and "." in one[name]:
                assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-5)
            else:
                assert one[name] == other[name]


def test_json_has_a_list_of_faces(photos: Path, classify_tiny: Run) -> None:
    result = classify_tiny("group.jpg", "none.jpg", "--faces", "--format", "json", cwd=photos)
    group_, none = json.loads(result.stdout)
    assert [face["face"] for face in group_["faces"]] == [0, 1, 2]
    assert set(group_["faces"][0]["race_probabilities"]) >= {"Asian", "White"}
    assert none == {"path": "none.jpg", "status": "no_face", "faces": []}


def test_largest_keeps_one_face_an_image(photos: Path, classify_tiny: Run) -> None:
    result = classify_tiny("group.jpg", "--faces", "--largest", "--format", "csv", cwd=photos)
    (row,) = rows(result.stdout)
    assert row["face"] == "0" and float(row["x"]) > 800


def test_min_face_decides_which_faces_are_classified(photos: Path, classify_tiny: Run) -> None:
    result = classify_tiny("small.png", "--faces", "--min-face", "16", "--format", "csv", cwd=photos)
    assert [row["status"] for row in rows(result.stdout)] == ["ok"]


def test_places_are_those_of_the_upright_image(tmp_path: Path, classify_tiny: Run) -> None:
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    upright = group([250, 200])
    upright.save(tmp_path / "0.png")
    for orientation, turn in turns.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        upright.transpose(turn).save(tmp_path / f"{orientation}.png", exif=exif)
    names = ["0.png", *(f"{orientation}.png" for orientation in turns)]
    found = rows(classify_tiny(*names, "--faces", "--format", "csv", cwd=tmp_path).stdout)
    by_name = [[{**row, "path": ""} for row in found if row["path"] == name] for name in names]
    assert len(by_name[0]) == 2
    assert by_name == [by_name[0]] * 4


def test_a_killed_run_resumes_to_the_same_bytes(
    tmp_path: Path, commands: ForkServer, tiny_weights: Path, classify_tiny: Run
) -> None:
    group([90, 80], size=(400, 200)).save(tmp_path / "00.jpg", quality=95)
    for number in range(1, 24):
        os.link(tmp_path / "00.jpg", tmp_path / f"{number:02}.jpg")
    words = ("batch", ".", "--faces", "--quiet")
    assert classify_tiny(*words, "--out", "whole.csv").returncode == 0
    assert (tmp_path / "whole.csv").read_bytes().count(b"\n") == 1 + 2 * 24
    slow = {"NETWORK": "slow"}
    process = commands.start(*words, "--out", "out.csv", cwd=tmp_path, tiny=tiny_weights, variables=slow)
    partial = tmp_path / "out.csv.partial"
    wait_until(lambda: partial.exists() and partial.read_bytes().count(b"\n") > 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 < partial.read_bytes().count(b"\n") < 24
    assert classify_tiny(*words, "--out", "out.csv", "--resume").returncode == 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    refused = classify_tiny("batch", ".", "--out", "out.csv", "--resume")
    assert refused.returncode == 2 and b"faces: True then, False now" in refused.stderr


def test_the_summary_counts_faces(photos: Path, classify_tiny: Run) -> None:
    result = classify_tiny("batch", ".", "--faces", "--out", "../summary.csv", "--overwrite", cwd=photos)
    assert "classified  3 images" in result.stderr.decode()
    assert "faces       5, and 1 smaller than --min-face" in result.stderr.decode()
    assert "no face     in 1 image" in result.stderr.decode()
    record = json.loads((photos.parent / "summary.csv.run.json").read_text())
    expected: dict[str, Any] = {"rows": 6, "classified": 3, "no_face": 1, "too_small": 1, "faces": 5}
    assert {name: record["tallies"][name] for name in expected} == expected
    assert (record["options"]["faces"], record["options"]["face_size"]) == (True, 640)
    detector = hashlib.sha256((built_in_folder() / "centerface.pth").read_bytes()).hexdigest()
    assert record["options"]["detector_sha256"] == detector


@pytest.mark.parametrize("option", [("--largest",), ("--min-face", "20"), ("--face-size", "960"), ("--annotate", "d")])
def test_options_of_faces_need_faces(tmp_path: Path, classify_tiny: Run, option: tuple[str, ...]) -> None:
    result = classify_tiny(EXAMPLES / "astronaut.png", *option, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, b"")
    assert f"{option[0]}: only with --faces" in result.stderr.decode()


def test_pictures_of_faces_and_photos_are_written(photos: Path, tmp_path: Path, classify_tiny: Run) -> None:
    out = ("--save-crops", tmp_path / "crops", "--annotate", tmp_path / "marked", "--quiet")
    result = classify_tiny("batch", "photos", "--faces", *out, cwd=photos.parent)
    assert (result.returncode, result.stderr) == (3, b"")
    crops = sorted(str(path.relative_to(tmp_path / "crops")) for path in (tmp_path / "crops").rglob("*.png"))
    assert crops == [
        "photos/b/group.jpg.face0.png", "photos/crop.png.face0.png",
        *(f"photos/group.jpg.face{number}.png" for number in range(3)),
    ]  # fmt: skip
    for row in rows(result.stdout):
        if row["status"] == "ok":
            path = tmp_path / "crops" / f"{row['path']}.face{row['face']}.png"
            with Image.open(path) as crop:
                assert crop.size == (round(float(row["width"])), round(float(row["height"])))
    marked = [path.name for path in sorted((tmp_path / "marked").rglob("*.jpg"))]
    assert marked == ["group.jpg.faces.jpg", "crop.png.faces.jpg", "group.jpg.faces.jpg", "none.jpg.faces.jpg",
                      "small.png.faces.jpg"]  # fmt: skip


def test_overwriting_warns_of_pictures_that_stay_from_an_earlier_run(tmp_path: Path, classify_tiny: Run) -> None:
    words = ("batch", "a.jpg", "--faces", "--out", "r.csv", "--annotate", "marked", "--overwrite", "--quiet")
    group([200], size=(400, 300)).save(tmp_path / "a.jpg")
    assert classify_tiny(*words).stderr == b""
    (tmp_path / "a.jpg").write_bytes(b"no image any more")
    result = classify_tiny(*words, "--blur")
    assert result.stderr.decode().startswith("warning: --annotate marked has pictures of an earlier run: ")
    assert (result.returncode, sorted(os.listdir(tmp_path / "marked"))) == (
        3,
        [".democlass-pictures", "a.jpg.faces.jpg"],
    )


def test_a_folder_of_originals_is_never_written_to(photos: Path, classify_tiny: Run) -> None:
    before = sorted(path for path in photos.parent.rglob("*"))
    for folder in ("photos", "photos/b", ".", "photos/new"):
        result = classify_tiny("batch", "photos", "--faces", "--annotate", folder, cwd=photos.parent)
        assert (result.returncode, result.stdout) == (2, b"")
    assert sorted(path for path in photos.parent.rglob("*")) == before


def test_photos_without_faces_option_get_one_suggestion(photos: Path, classify_tiny: Run) -> None:
    result = classify_tiny("batch", "group.jpg", "none.jpg", "crop.png", cwd=photos)
    assert result.stderr.decode().count("2 of the first 3 images are not tight face crops") == 1
    assert "--faces finds the faces" in result.stderr.decode()
    assert b"--faces" not in classify_tiny("batch", "crop.png", "crop.png", "none.jpg", cwd=photos).stderr
    assert b"--faces" not in classify_tiny("batch", "group.jpg", "--quiet", cwd=photos).stderr
