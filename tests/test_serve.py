"""The service, as its clients know it: a real process and real sockets."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import oracle
from conftest import EXAMPLES
from democlass.tasks import TASKS
from serving import MAX_UPLOAD, QUEUE, Serving, eventually, form, slow_jpeg

NAMES = [f"{task.name}_probabilities" for task in TASKS]


@pytest.fixture
def image(tmp_path: Path, portrait: Image.Image) -> Path:
    path = tmp_path / "image.jpg"
    portrait.crop((60, 0, 360, 250)).save(path)
    return path


def test_the_answer_is_the_contract_to_the_letter(service: Serving, image: Path) -> None:
    answer = service.post(image)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert list(document) == NAMES
    assert [list(document[f"{task.name}_probabilities"]) for task in TASKS] == [list(task.labels) for task in TASKS]
    shares = [share for each in document.values() for share in each.values()]
    assert shares == pytest.approx(oracle.probabilities(Image.open(image)), abs=1e-4)


def test_requests_that_come_together_share_batches_and_keep_their_own_numbers(
    service: Serving, tmp_path: Path, portrait: Image.Image
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(QUEUE)]
    for number, path in enumerate(paths):
        portrait.crop((0, 30 * number, 250 + number, 30 * number + 200)).save(path)
    answered, batches = service.figure("democlass_batch_images_sum"), service.figure("democlass_batch_images_count")
    with ThreadPoolExecutor(QUEUE) as pool:
        answers = list(pool.map(service.post, paths))
    for path, answer in zip(paths, answers, strict=True):
        shares = [share for each in answer.json().values() for share in each.values()]
        assert shares == pytest.approx(oracle.probabilities(Image.open(path)), abs=1e-4)
    assert service.figure("democlass_batch_images_sum") - answered == QUEUE
    assert service.figure("democlass_batch_images_count") - batches <= QUEUE


def test_a_batch_is_a_list_in_order_with_errors_as_entries(service: Serving, image: Path) -> None:
    parts = [("a.jpg", image.read_bytes()), ("b.txt", b"hello"), ("ü <b>.jpg", image.read_bytes()), ("d.jpg", b"")]
    answer = service.request("POST", "/predict/batch", files=[("files", part) for part in parts])
    assert answer.status_code == 200
    entries = answer.json()
    assert [(entry["path"], entry["status"]) for entry in entries] == [
        *(("a.jpg", "ok"), ("b.txt", "error"), ("ü <b>.jpg", "ok"), ("d.jpg", "error")),
    ]
    alone = service.post(image).json()
    for name in NAMES:
        assert entries[0][name] == pytest.approx(alone[name], abs=1e-5)
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
def test_what_can_not_be_read_is_refused_with_a_reason(
    service: Serving, content: bytes, status: int, kind: str
) -> None:
    before = service.figure(f'democlass_errors_total{{kind="{kind}"}}')
    answer = service.post(content)
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)
    assert answer.json()["detail"].startswith(f"{kind}: ")
    assert service.figure(f'democlass_errors_total{{kind="{kind}"}}') == before + 1


def test_a_bomb_is_refused_before_it_is_unpacked(service: Serving, tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")
    answer = service.post(tmp_path / "bomb.png")
    assert (answer.status_code, answer.json()["kind"]) == (422, "too many pixels")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_form_without_a_file_says_what_is_missing(service: Serving, path: str) -> None:
    answer = service.request("POST", path, files={"picture": b"x"})
    assert (answer.status_code, answer.json()["kind"]) == (422, "no file")
    field = "file" if path == "/predict" else "files"
    assert answer.json()["detail"].startswith(f"the form has no file in '{field}'")


def test_a_form_that_is_none_is_a_bad_request(service: Serving) -> None:
    answer = service.request("POST", "/predict", content=b"xx", headers={"content-type": "multipart/form-data"})
    assert (answer.status_code, answer.json()["kind"]) == (400, "bad request")


def test_too_many_bytes_are_refused_before_they_are_sent(service: Serving) -> None:
    with service.connect() as connection:
        head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        connection.sendall(f"{head}Content-Length: {10**12}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_too_many_bytes_of_unknown_length_are_refused_as_they_come(service: Serving) -> None:
    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(40):
            yield bytes(MAX_UPLOAD // 20)

    answer = service.request(
        "POST", "/predict", content=body(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert (answer.status_code, answer.json()["kind"]) == (413, "too large")


def test_more_files_than_there_is_room_for_are_refused(service: Serving) -> None:
    answer = service.request("POST", "/predict/batch", files=[("files", b"x")] * (QUEUE + 1))
    assert (answer.status_code, answer.json()["kind"]) == (413, "too many files")


def test_who_comes_when_all_places_are_taken_is_told_when_to_come_again(service: Serving, image: Path) -> None:
    slow = form(slow_jpeg())
    waiting = [service.connect(slow) for _ in range(QUEUE - 1)]
    try:
        eventually(lambda: service.waiting() == QUEUE - 1)
        two = service.request("POST", "/predict/batch", files=[("files", b"x")] * 2)
        waiting.append(service.connect(slow))
        eventually(lambda: service.waiting() == QUEUE)
        one = service.post(image)
    finally:
        for connection in waiting:
            connection.close()
    for refused in (one, two):
        assert (refused.status_code, refused.json()["kind"], refused.headers["retry-after"]) == (503, "busy", "1")
    eventually(lambda: service.waiting() == 0)
    assert service.post(image).status_code == 200


def test_a_client_that_goes_away_gives_its_places_back(service: Serving) -> None:
    gone = 'democlass_requests_total{endpoint="/predict/batch",status="499"}'
    before = service.figure(gone)
    with service.connect(form(*[slow_jpeg()] * 3, path="/predict/batch", field="files")):
        eventually(lambda: service.waiting() == 3)
    eventually(lambda: service.figure(gone) == before + 1)
    assert service.waiting() == 0


def test_health_says_ready_and_which_version(service: Serving) -> None:
    answer = service.request("GET", "/health")
    assert answer.status_code == 200 and answer.json()["status"] == "ready"


def test_nothing_of_an_image_is_logged_or_counted_but_its_size(service: Serving, image: Path) -> None:
    size, before = len(image.read_bytes()), len(service.said.read_text())
    assert service.post(image, name="jane-doe.jpg").status_code == 200
    assert service.request("GET", "/somebody").status_code == 404
    # A line is written after its answer is sent.
    line = r"^\S+ POST /predict 200 (\d+) bytes \d+ ms$"
    found = eventually(lambda: re.search(line, service.said.read_text()[before:], re.MULTILINE))
    assert size < int(found[1]) < size + 400
    eventually(lambda: " GET other 404 " in service.said.read_text()[before:])
    for text in (service.said.read_text(), service.request("GET", "/metrics").text):
        assert "jane" not in text and "somebody" not in text


def test_the_document_holds_examples_and_every_refusal(service: Serving) -> None:
    document = service.request("GET", "/openapi.json").json()
    answers = document["paths"]["/predict"]["post"]["responses"]
    assert set(answers) == {"200", "400", "401", "403", "408", "413", "415", "422", "431", "503"}
    assert list(document["components"]["schemas"]["Answer"]["example"]) == NAMES
    batch = document["paths"]["/predict/batch"]["post"]["responses"]["200"]["content"]["application/json"]
    assert [entry["status"] for entry in batch["example"]] == ["ok", "error"]


def test_the_service_keeps_what_its_document_promises(service: Serving, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", "--checks", "all"]
    # Bytes at random are what the document allows, and no image: that they are refused is right.
    words += ["--exclude-checks", "positive_data_acceptance", "--max-examples", "20", "--seed", "1", "--no-color"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
