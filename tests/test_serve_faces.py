"""POST /faces: the faces of one photo, with every probability of each."""

from __future__ import annotations

import csv
import io
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from conftest import command, environment
from democlass.serve.middleware import UPLOAD_PATHS
from photos import background, group
from serving import ServiceProcess, run_service

pytestmark = pytest.mark.slow


@lru_cache(maxsize=1)
def group_jpeg() -> bytes:
    stream = io.BytesIO()
    group([150, 40, 180], size=(640, 300)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def post(service: ServiceProcess, content: bytes, **options: Any) -> Any:
    return service.request("POST", "/faces", files={"file": ("photo.jpg", content)}, **options)


def test_every_face_has_its_place_and_its_probabilities_as_on_the_command_line(
    service: ServiceProcess, tmp_path: Path
) -> None:
    response = post(service, group_jpeg())
    document = response.json()
    assert (response.status_code, document["width"], document["height"]) == (200, 640, 300)
    assert [face["status"] for face in document["faces"]] == ["ok", "too_small", "ok"]
    (tmp_path / "photo.jpg").write_bytes(group_jpeg())
    words = command("photo.jpg", "--faces", "--format", "csv")
    rows = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True).stdout
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


def test_a_form_with_several_files_or_none_is_refused(service: ServiceProcess) -> None:
    files = [("file", ("a.jpg", group_jpeg())), ("file", ("b.jpg", group_jpeg()))]
    assert service.request("POST", "/faces", files=files).json()["kind"] == "too many files"
    assert service.request("POST", "/faces", files={"other": ("a.jpg", b"x")}).json()["kind"] == "no file"


def test_a_photo_with_more_faces_than_the_service_classifies_is_an_error(service: ServiceProcess) -> None:
    photo = group([44] * 26, size=(1300, 60))
    whole = background(1300, 300)
    for row in range(5):
        whole.paste(photo, (0, row * 60))
    stream = io.BytesIO()
    whole.resize((2600, 600)).save(stream, "JPEG", quality=95)
    with run_service(service.log.with_name("many"), "--face-size", "1920") as large:
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
