"""The endpoints of the service: a real process and real sockets."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import oracle
from conftest import EXAMPLES
from democlass.tasks import TASKS
from serving import (
    FORM,
    MAX_UPLOAD,
    QUEUE,
    ServiceProcess,
    face_jpeg,
    form_body,
    form_request,
    header,
    slow_jpeg,
    wait_until,
)

pytestmark = pytest.mark.slow

IMAGE = face_jpeg()
KEYS = [f"{task.name}_probabilities" for task in TASKS]


def probabilities(document: dict[str, Any]) -> list[float]:
    return [probability for key in KEYS for probability in document[key].values()]


def test_predict_returns_every_probability_in_label_order(service: ServiceProcess) -> None:
    response = service.post(IMAGE)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document = response.json()
    assert list(document) == KEYS
    assert [list(document[key]) for key in KEYS] == [list(task.labels) for task in TASKS]
    assert probabilities(document) == pytest.approx(oracle.probabilities(Image.open(io.BytesIO(IMAGE))), abs=1e-4)


def test_concurrent_requests_share_batches_and_get_their_own_results(
    service: ServiceProcess, tmp_path: Path, portrait: Image.Image
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(QUEUE)]
    for number, path in enumerate(paths):
        portrait.crop((0, 30 * number, 250 + number, 30 * number + 200)).save(path)
    alone = [probabilities(service.post(path).json()) for path in paths]
    images, batches = service.metric("democlass_batch_images_sum"), service.metric("democlass_batch_images_count")
    with ThreadPoolExecutor(QUEUE) as pool:
        responses = list(pool.map(service.post, paths))
    for expected, response in zip(alone, responses, strict=True):
        assert probabilities(response.json()) == pytest.approx(expected, abs=1e-5)
    assert service.metric("democlass_batch_images_sum") - images == QUEUE
    assert service.metric("democlass_batch_images_count") - batches <= QUEUE


def test_batch_returns_a_list_in_order_with_errors_as_entries(service: ServiceProcess) -> None:
    parts = [("a.jpg", IMAGE), ("b.txt", b"hello"), ("ü <b>.jpg", IMAGE), ("d.jpg", b"")]
    response = service.request("POST", "/predict/batch", files=[("files", part) for part in parts])
    assert response.status_code == 200
    entries = response.json()
    assert [(entry["path"], entry["status"]) for entry in entries] == [
        *(("a.jpg", "ok"), ("b.txt", "error"), ("ü <b>.jpg", "ok"), ("d.jpg", "error")),
    ]
    assert {entries[0][task.name] for task in TASKS} <= {label for task in TASKS for label in task.labels}
    assert probabilities(entries[0]) == pytest.approx(probabilities(service.post(IMAGE).json()), abs=1e-5)
    assert [entry["error"].partition(":")[0] for entry in (entries[1], entries[3])] == ["not an image", "empty file"]


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"hello", 415, "not an image"),
        (b"", 422, "empty file"),
        ((EXAMPLES / "grace_hopper.jpg").read_bytes()[:9000], 422, "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", 415, "not an image"),
    ],
)
def test_unreadable_images_return_an_error_with_the_reason(
    service: ServiceProcess, content: bytes, status: int, kind: str
) -> None:
    before = service.count_errors(kind)
    response = service.post(content)
    assert (response.status_code, response.json()["kind"]) == (status, kind)
    assert response.json()["detail"].startswith(f"{kind}: ")
    assert service.count_errors(kind) == before + 1


def test_decompression_bombs_are_rejected_without_decoding(service: ServiceProcess, tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")
    response = service.post(tmp_path / "bomb.png")
    assert (response.status_code, response.json()["kind"]) == (422, "too many pixels")


@pytest.mark.parametrize(("path", "field"), [("/predict", "file"), ("/predict/batch", "files")])
def test_a_form_without_a_file_names_the_missing_field(service: ServiceProcess, path: str, field: str) -> None:
    response = service.request("POST", path, files={"picture": b"x"})
    assert (response.status_code, response.json()["kind"]) == (422, "no file")
    assert response.json()["detail"].startswith(f"the form has no file in '{field}'")


def test_an_invalid_form_is_a_bad_request(service: ServiceProcess) -> None:
    response = service.request("POST", "/predict", content=b"xx", headers={"content-type": "multipart/form-data"})
    assert (response.status_code, response.json()["kind"]) == (400, "bad request")


@pytest.mark.parametrize("cut", [4, 60])
def test_a_form_without_its_last_boundary_is_a_bad_request(service: ServiceProcess, cut: int) -> None:
    whole = form_body(IMAGE, IMAGE, field="files")
    response = service.send(
        header("POST", "/predict/batch", FORM, f"Content-Length: {len(whole) - cut}") + whole[:-cut]
    )
    assert (response.status, response.kind) == (400, "bad request")
    assert b"incomplete" in response.body


def test_a_body_with_a_too_large_length_is_rejected_before_it_is_sent(service: ServiceProcess) -> None:
    with service.connect() as connection:
        header = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        connection.sendall(f"{header}Content-Length: {10**12}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_too_large_body_of_unknown_length_is_rejected_while_it_is_sent(service: ServiceProcess) -> None:
    def generate() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(40):
            yield bytes(MAX_UPLOAD // 20)

    response = service.request(
        "POST", "/predict", content=generate(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert (response.status_code, response.json()["kind"]) == (413, "too large")


def test_a_batch_larger_than_the_queue_is_rejected(service: ServiceProcess) -> None:
    response = service.request("POST", "/predict/batch", files=[("files", b"x")] * (QUEUE + 1))
    assert (response.status_code, response.json()["kind"]) == (413, "too many files")


def test_requests_get_503_with_retry_after_when_the_queue_is_full(service: ServiceProcess) -> None:
    slow_request = form_request(slow_jpeg())
    pending = [service.connect(slow_request) for _ in range(QUEUE - 1)]
    try:
        wait_until(lambda: service.pending_images() == QUEUE - 1)
        two_images = service.request("POST", "/predict/batch", files=[("files", b"x")] * 2)
        pending.append(service.connect(slow_request))
        wait_until(lambda: service.pending_images() == QUEUE)
        one_image = service.post(IMAGE)
    finally:
        for connection in pending:
            connection.close()
    for response in (one_image, two_images):
        assert (response.status_code, response.json()["kind"]) == (503, "busy")
        assert response.headers["retry-after"] == "1"
    wait_until(lambda: service.pending_images() == 0)
    assert service.post(IMAGE).status_code == 200


def test_a_disconnect_frees_the_space_in_the_queue(service: ServiceProcess) -> None:
    metric = 'democlass_requests_total{endpoint="/predict/batch",status="499"}'
    before = service.metric(metric)
    with service.connect(form_request(*[slow_jpeg()] * 3, path="/predict/batch", field="files")):
        wait_until(lambda: service.pending_images() == 3)
    wait_until(lambda: service.metric(metric) == before + 1)
    assert service.pending_images() == 0


def test_health_returns_the_status_and_the_version(service: ServiceProcess) -> None:
    response = service.request("GET", "/health")
    assert response.status_code == 200 and list(response.json()) == ["status", "version"]
    assert response.json()["status"] == "ready"


def test_log_and_metrics_have_only_the_size_of_an_image(service: ServiceProcess) -> None:
    size, before = len(IMAGE), len(service.log.read_text())
    assert service.post(IMAGE, name="jane-doe.jpg").status_code == 200
    assert service.request("GET", "/somebody").status_code == 404
    # The line of a request is written after its response is sent.
    line = r"^\S+ POST /predict 200 (\d+) bytes \d+ ms$"
    match = wait_until(lambda: re.search(line, service.log.read_text()[before:], re.MULTILINE))
    assert match is not None and size < int(match[1]) < size + 400
    wait_until(lambda: " GET other 404 " in service.log.read_text()[before:])
    for text in (service.log.read_text(), service.request("GET", "/metrics").text):
        assert "jane" not in text and "somebody" not in text


def test_the_openapi_document_has_examples_and_every_error(service: ServiceProcess) -> None:
    document = service.request("GET", "/openapi.json").json()
    responses = document["paths"]["/predict"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "408", "413", "415", "422", "431", "503"}
    schemas = document["components"]["schemas"]  # generated clients use these names
    assert {"Answer", "Classified", "Unreadable", "Refused", "Health"} <= set(schemas)
    assert list(schemas["Answer"]["example"]) == KEYS
    batch = document["paths"]["/predict/batch"]["post"]["responses"]["200"]["content"]["application/json"]
    assert [entry["status"] for entry in batch["example"]] == ["ok", "error"]
    assert set(batch["example"][0]) <= set(schemas["Classified"]["properties"])
    assert {task.name for task in TASKS} <= set(schemas["Classified"]["required"])


def test_responses_conform_to_the_openapi_document(service: ServiceProcess, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", "--checks", "all"]
    # Random bytes are a valid file for the document but not for the service, and in a form a number is a file as well.
    words += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    words += ["--max-examples", "10", "--seed", "1", "--no-color"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout
