"""The service, as its clients know it: a real process, real sockets, a real browser."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import oracle
from conftest import EXAMPLES, REPOSITORY, Run, command, environment
from democlass.tasks import TASKS

KEY = "correct horse battery staple"
MAX_UPLOAD = 1_000_000
QUEUE = 6
NAMES = [f"{task.name}_probabilities" for task in TASKS]


@dataclass
class Serving:
    """A service that runs: where, as which process, what it has said so far."""

    process: subprocess.Popen[bytes]
    url: str
    said: Path

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=60, **more)

    def post(self, content: bytes | Path, name: str = "file.jpg", **more: Any) -> httpx.Response:
        data = content if isinstance(content, bytes) else content.read_bytes()
        return self.request("POST", "/predict", files={"file": (name, data)}, **more)

    def connect(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=60)

    def figure(self, name: str) -> float:
        lines = self.request("GET", "/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)


@contextmanager
def serving(said: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[Serving]:
    with said.open("wb") as stream:
        process = subprocess.Popen(
            command("serve", "--port", "0", *words), env=environment(**(env or {})), cwd=said.parent, stderr=stream
        )
    try:
        address = eventually(lambda: re.search(r"listening at (\S+)", said.read_text()))
        here = Serving(process, address[1], said)
        eventually(lambda: here.request("GET", "/health").status_code == 200)
        yield here
    finally:
        process.kill()
        process.wait()


def eventually(found: Callable[[], Any], seconds: float = 90) -> Any:
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return answer


def half_a_request(service: Serving, path: str = "/predict") -> socket.socket:
    """Begin a request and leave it open."""
    connection = service.connect()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    connection.sendall(f"{head}Content-Length: 1000\r\n\r\n--b\r\n".encode())
    return connection


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    said = tmp_path_factory.mktemp("service") / "said"
    with serving(said, "--queue", str(QUEUE), "--max-upload", str(MAX_UPLOAD)) as here:
        yield here


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
    assert "Field required" in answer.json()["detail"]


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
    waiting = [half_a_request(service) for _ in range(QUEUE - 1)]
    try:
        eventually(lambda: service.figure("democlass_queue_images") == QUEUE - 1)
        assert service.post(image).status_code == 200
        two = service.request("POST", "/predict/batch", files=[("files", b"x")] * 2)
        waiting.append(half_a_request(service))
        eventually(lambda: service.figure("democlass_queue_images") == QUEUE)
        one = service.post(image)
    finally:
        for connection in waiting:
            connection.close()
    for refused in (one, two):
        assert (refused.status_code, refused.json()["kind"], refused.headers["retry-after"]) == (503, "busy", "1")
    eventually(lambda: service.figure("democlass_queue_images") == 0)
    assert service.post(image).status_code == 200


def test_a_client_that_goes_away_gives_its_place_back(service: Serving, image: Path) -> None:
    content = image.read_bytes()
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="f"\r\n\r\n' + content + b"\r\n"
    body = part * QUEUE + b"--b--\r\n"
    head = "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    gone = 'democlass_requests_total{endpoint="/predict/batch",status="499"}'
    before = service.figure(gone)
    with service.connect() as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        eventually(lambda: service.figure("democlass_queue_images") == QUEUE)
    eventually(lambda: service.figure(gone) == before + 1)
    assert service.figure("democlass_queue_images") == 0


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
    assert set(answers) == {"200", "400", "401", "408", "413", "415", "422", "503"}
    assert list(document["components"]["schemas"]["Answer"]["example"]) == NAMES
    batch = document["paths"]["/predict/batch"]["post"]["responses"]["200"]["content"]["application/json"]
    assert [entry["status"] for entry in batch["example"]] == ["ok", "error"]


def test_the_service_keeps_what_its_document_promises(service: Serving, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", "--checks", "all"]
    # Bytes at random are what the document allows, and no image: that they are refused is right.
    words += ["--exclude-checks", "positive_data_acceptance", "--max-examples", "20", "--seed", "1", "--no-color"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_the_page_shows_what_was_dropped(service: Serving, image: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    outside: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("request", lambda request: outside.append(request.url))
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(service.url)
        page.set_input_files("#file", image)
        page.wait_for_selector("#result:not([hidden])")
        charts = page.locator("#charts section").all_inner_texts()
        page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"})
        page.wait_for_selector("#said.wrong")
        said = page.inner_text("#said")
        page.goto(f"{service.url}/docs")
        page.get_by_text("/predict/batch").first.wait_for()
        browser.close()
    shares = service.post(image).json()
    for chart, task in zip(charts, TASKS, strict=True):
        lines = chart.splitlines()
        assert lines[0].lower() == task.title
        for label in task.labels:
            share = f"{100 * shares[f'{task.name}_probabilities'][label]:.1f} %"
            assert share in lines[lines.index(label.replace("_", " ")) + 1 :][:2]
    assert said.startswith("not an image")
    assert all(url.startswith((service.url, "blob:", "data:")) for url in outside)


def test_a_key_is_asked_for_where_one_is_set_and_what_was_taken_is_finished(
    tmp_path: Path, image: Path, portrait: Image.Image
) -> None:
    with serving(tmp_path / "said", env={"DEMOCLASS_API_KEY": KEY}) as service:
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": KEY + "x"}, {"Authorization": f"Basic {KEY}"}):
            refused = service.post(image, headers=headers)
            assert (refused.status_code, refused.json()["kind"]) == (401, "no key")
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert service.post(image, headers=headers).status_code == 200
        assert service.request("GET", "/health").status_code == 200
        schemes = service.request("GET", "/openapi.json").json()["components"]["securitySchemes"]
        assert [scheme["name"] for scheme in schemes.values()] == ["X-API-Key"]

        portrait.resize((3000, 2000)).save(tmp_path / "large.png")
        files = [("files", (tmp_path / "large.png").read_bytes())] * 8
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                service.request("POST", "/predict/batch", files=files, headers={"X-API-Key": KEY})
            )
        )
        asking.start()
        eventually(lambda: service.figure("democlass_queue_images") == 8)
        service.process.send_signal(signal.SIGTERM)
        asking.join()
        assert [entry["status"] for entry in answers[0].json()] == ["ok"] * 8
        assert service.process.wait(60) == 143
        assert KEY not in service.said.read_text()


def test_what_can_not_be_served_is_said_in_a_line(classify: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        taken = classify("serve", "--port", port)
    assert taken.returncode == 2 and b"can't listen" in taken.stderr and taken.stderr.count(b"\n") == 1
    short = classify("serve", "--api-key", "short")
    assert short.returncode == 2 and b"16 or more" in short.stderr


def test_without_the_extra_the_answer_is_what_to_install(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise ImportError")
    answer = classify("serve", env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY / 'src'}"}, cwd=REPOSITORY)
    assert answer.returncode == 2 and b"pip install 'democlass[serve]'" in answer.stderr


def test_networks_that_can_not_answer_end_it_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from democlass.classifier import Classifier\n"
        "from democlass.cli import main\n"
        "def predict(*_, **__): raise RuntimeError('no memory left')\n"
        "if __name__ == '__main__':\n"
        "    Classifier.predict = predict\n"
        "    main()\n"
    )
    words = [sys.executable, str(tmp_path / "broken.py"), "serve", "--port", "0"]
    ended = subprocess.run(words, env=environment(), capture_output=True, timeout=120)
    assert ended.returncode == 1 and b"Traceback" not in ended.stderr
    assert b"the networks can't answer, so the service ended: no memory left" in ended.stderr
