"""POST /faces: the faces of one photo, with every probability of each."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from conftest import Run
from democlass.serve.middleware import UPLOAD_PATHS
from photos import background, group
from serving import ServiceProcess, face_jpeg, run_service, slow_jpeg, wait_until

pytestmark = pytest.mark.slow


@lru_cache(maxsize=1)
def group_jpeg() -> bytes:
    stream = io.BytesIO()
    group([150, 40, 180], size=(640, 300)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


@pytest.fixture(scope="module")
def large(service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A service that finds small faces in large photos, with one decoding process and a short time limit."""
    options = ("--face-size", "1920", "--workers", "1", "--decode-timeout", "3")
    with run_service(service.log.with_name("large"), *options) as running:
        yield running


def post(service: ServiceProcess, content: bytes, **options: Any) -> Any:
    return service.request("POST", "/faces", files={"file": ("photo.jpg", content)}, **options)


def test_every_face_has_its_place_and_its_probabilities_as_on_the_command_line(
    service: ServiceProcess, classify_here: Run, tmp_path: Path
) -> None:
    response = post(service, group_jpeg())
    document = response.json()
    assert (response.status_code, document["width"], document["height"]) == (200, 640, 300)
    assert [face["status"] for face in document["faces"]] == ["ok", "too_small", "ok"]
    (tmp_path / "photo.jpg").write_bytes(group_jpeg())
    rows = classify_here("photo.jpg", "--faces", "--format", "csv").stdout.decode()
    for face, row in zip(document["faces"], csv.DictReader(io.StringIO(rows)), strict=True):
        for name in ("face", "x", "y", "width", "height", "rotation", "detection_score"):
            assert face[name] == pytest.approx(float(row[name]), abs=1e-5)
        for task in ("gender", "race") if face["status"] == "ok" else ():
            assert face[task] == row[task]
            for label, probability in face[f"{task}_probabilities"].items():
                assert probability == pytest.approx(float(row[f"{task}_{label}"]), abs=1e-4)


def test_a_photo_without_a_face_has_an_empty_list(service: ServiceProcess) -> None:
    stream = io.BytesIO()
    background(640, 480).save(stream, "PNG")
    response = post(service, stream.getvalue())
    assert (response.status_code, response.json()) == (200, {"width": 640, "height": 480, "faces": []})


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [(b"hello", 415, "not an image"), (b"", 422, "empty file"), (b"\xff\xd8\xff", 422, "")],
)
def test_errors_are_those_of_predict(service: ServiceProcess, content: bytes, status: int, kind: str) -> None:
    response, other = post(service, content), service.post(content)
    assert response.json() == other.json()
    assert response.status_code == other.status_code
    assert kind == "" or (response.status_code, response.json()["kind"]) == (status, kind)


def test_hostile_files_are_refused_and_the_service_goes_on(large: ServiceProcess) -> None:
    hostile = {
        "bomb": _png_header(60_000, 60_000),
        "truncated": group_jpeg()[:9000],
        "script": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "endless": slow_jpeg(),
    }
    kinds = {name: post(large, content).json()["kind"] for name, content in hostile.items()}
    assert (post(large, group_jpeg()).status_code, large.pending_images()) == (200, 0)
    assert kinds == {
        "bomb": "too many pixels",
        "truncated": "truncated",
        "script": "not an image",
        "endless": "timed out",
    }


def _png_header(width: int, height: int) -> bytes:
    """Return a small PNG that says it has that many pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_a_photo_at_every_border_and_of_extreme_shape_is_read(service: ServiceProcess) -> None:
    photo = group([150, 150], size=(640, 300)).crop((60, 100, 560, 215))  # cuts off foreheads, chins and cheeks
    wide = background(8000, 16)
    for image in (photo, wide, wide.rotate(90, expand=True), Image.new("RGB", (1, 1))):
        stream = io.BytesIO()
        image.save(stream, "PNG")
        response = post(service, stream.getvalue())
        document = response.json()
        assert (response.status_code, document["width"], document["height"]) == (200, *image.size)


def test_the_size_and_the_places_are_of_the_upright_photo(service: ServiceProcess) -> None:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6
    photo = group([150, 180], size=(640, 300))
    photo.transpose(Image.Transpose.ROTATE_90).save(stream, "JPEG", exif=exif, quality=95)
    document = post(service, stream.getvalue()).json()
    assert (document["width"], document["height"]) == photo.size
    centres = [face["x"] + face["width"] / 2 for face in document["faces"]]
    assert centres == pytest.approx([160, 480], abs=20)


def test_only_classified_faces_count_as_images_of_batches(service: ServiceProcess) -> None:
    before = service.metric("democlass_batch_images_sum")
    statuses = [face["status"] for face in post(service, group_jpeg()).json()["faces"]]
    assert statuses.count("ok") == service.metric("democlass_batch_images_sum") - before == 2


def test_other_images_pass_a_photo_with_many_faces(large: ServiceProcess) -> None:
    stream = io.BytesIO()
    crowd = background(1300, 120)
    for row in range(2):
        crowd.paste(group([44] * 26, size=(1300, 60)), (0, row * 60))
    crowd.resize((2600, 240)).save(stream, "JPEG", quality=95)
    with ThreadPoolExecutor(1) as pool:
        before = large.metric("democlass_batch_images_sum")
        photo = pool.submit(post, large, stream.getvalue())
        wait_until(lambda: large.metric("democlass_batch_images_sum") > before)
        assert large.post(face_jpeg()).status_code == 200
        started = large.metric("democlass_batch_images_sum") - before
        faces = photo.result().json()["faces"]
    assert len(faces) > 40
    assert started < len(faces)  # the image did not wait for all faces
    assert [face["face"] for face in faces] == list(range(len(faces)))
    assert [face["x"] + face["width"] / 2 for face in faces] == sorted(face["x"] + face["width"] / 2 for face in faces)


def test_a_form_with_several_files_or_none_is_refused(service: ServiceProcess) -> None:
    files = [("file", ("a.jpg", group_jpeg())), ("file", ("b.jpg", group_jpeg()))]
    refused = service.request("POST", "/faces", files=files).json()
    assert (refused["kind"], "one photo per request" in refused["detail"]) == ("too many files", True)
    assert service.request("POST", "/faces", files={"other": ("a.jpg", b"x")}).json()["kind"] == "no file"


def test_a_photo_with_more_faces_than_the_service_classifies_is_an_error(large: ServiceProcess) -> None:
    photo = group([44] * 26, size=(1300, 60))
    whole = background(1300, 300)
    for row in range(5):
        whole.paste(photo, (0, row * 60))
    stream = io.BytesIO()
    whole.resize((2600, 600)).save(stream, "JPEG", quality=95)
    response = post(large, stream.getvalue())
    assert (response.status_code, response.json()["kind"]) == (422, "too many faces")


def test_the_log_has_only_the_size_of_a_photo(service: ServiceProcess) -> None:
    before = len(service.log.read_text())
    post(service, group_jpeg())
    lines = service.log.read_text()[before:]
    size = int(lines.split(" 200 ")[-1].split()[0])
    assert len(group_jpeg()) < size < len(group_jpeg()) + 400
    assert "photo.jpg" not in lines


def test_every_upload_is_checked_before_it_is_read(service: ServiceProcess) -> None:
    paths = service.request("GET", "/openapi.json").json()["paths"]
    assert sorted(path for path in paths if "post" in paths[path]) == sorted(UPLOAD_PATHS)
    response = post(service, group_jpeg(), headers={"Origin": "https://elsewhere.example.com"})
    assert response.status_code == 403


def test_the_openapi_document_describes_faces(service: ServiceProcess) -> None:
    document = service.request("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"FacesAnswer", "ClassifiedFace", "SmallFace"} <= set(schemas)
    assert set(schemas["FacesAnswer"]["example"]["faces"][0]) == set(schemas["ClassifiedFace"]["properties"])
