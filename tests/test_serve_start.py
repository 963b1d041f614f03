"""How a service starts and ends: keys, addresses, signals, and what it says when it can't."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from PIL import Image

from conftest import REPOSITORY, Run, command, environment
from serving import Serving, eventually, serving

KEY = "correct horse bättery staple"


def test_a_key_is_asked_for_where_one_is_set_and_what_was_taken_is_finished(
    tmp_path: Path, portrait: Image.Image
) -> None:
    portrait.crop((60, 0, 360, 250)).save(image := tmp_path / "image.jpg")
    words = ("--grace", "60", "--host", "0.0.0.0")
    with serving(tmp_path / "said", *words, env={"DEMOCLASS_API_KEY": KEY}) as service:
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": f"{KEY}x".encode()}, {"X-API-Key": "?" * len(KEY)}):
            refused = service.post(image, headers=headers)
            assert (refused.status_code, refused.json()["kind"]) == (401, "no key")
        assert service.post(image, headers={"Authorization": f"Basic {KEY}".encode()}).status_code == 401
        for encoding in ("utf-8", "latin-1"):
            for name, value in (("X-API-Key", KEY), ("Authorization", f"Bearer {KEY}")):
                assert service.post(image, headers={name: value.encode(encoding)}).status_code == 200
        assert service.request("GET", "/health").status_code == 200
        # A key can't be guessed by the page of another site, which is why no page is refused.
        assert service.post(image, headers={"X-API-Key": KEY.encode(), "Origin": "https://a.org"}).status_code == 200
        schemes = service.request("GET", "/openapi.json").json()["components"]["securitySchemes"]
        assert [scheme["name"] for scheme in schemes.values()] == ["X-API-Key"]

        portrait.resize((3000, 2000)).save(tmp_path / "large.png")
        files = [("files", (tmp_path / "large.png").read_bytes())] * 8
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                service.request("POST", "/predict/batch", files=files, headers={"X-API-Key": KEY.encode()})
            )
        )
        asking.start()
        eventually(lambda: service.waiting() == 8)
        service.process.send_signal(signal.SIGTERM)
        asking.join()
        assert [entry["status"] for entry in answers[0].json()] == ["ok"] * 8
        assert service.process.wait(60) == 143
        assert KEY not in service.said.read_text() and "everyone" not in service.said.read_text()


@pytest.mark.parametrize("words", [("--api-key", "short"), ("--api-key", ""), ("--api-key", f" {KEY}")])
def test_a_key_that_protects_nothing_is_refused(classify: Run, words: tuple[str, ...]) -> None:
    answer = classify("serve", *words)
    assert answer.returncode == 2 and b"--api-key" in answer.stderr and answer.stderr.count(b"\n") == 1


@pytest.mark.parametrize("key", ["", "short", "0123456789abcdef\r"])
def test_a_key_that_protects_nothing_is_refused_from_the_environment_too(classify: Run, key: str) -> None:
    answer = classify("serve", "--host", "0.0.0.0", env={"DEMOCLASS_API_KEY": key})
    assert answer.returncode == 2 and answer.stderr.count(b"\n") == 1
    assert re.search(rb"(DEMOCLASS_API_KEY|--api-key) (has|begins or ends)", answer.stderr)


def test_a_service_for_everyone_without_a_key_says_so(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as stream:
        words = command("serve", "--port", "0", "--host", "0.0.0.0", "--quiet")
        process = subprocess.Popen(words, env=environment(), stderr=stream)
    try:
        eventually(lambda: b"\n" in said.read_bytes())  # before anything is loaded
    finally:
        process.kill()
        process.wait()
    assert said.read_text().startswith("warning: everyone who can reach 0.0.0.0 can use this service")


def test_a_service_for_this_machine_needs_no_warning(service: Serving) -> None:
    assert "warning" not in service.said.read_text()


def test_what_can_not_be_served_is_said_in_a_line(classify: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        taken = classify("serve", "--port", port)
    assert taken.returncode == 2 and b"can't listen" in taken.stderr and taken.stderr.count(b"\n") == 1
    memory = classify("serve", "--max-upload", "2000", "--upload-memory", "1000")
    assert memory.returncode == 2 and b"--upload-memory 1000 is less than" in memory.stderr
    for timeout in ("--upload-timeout", "--idle-timeout"):
        never = classify("serve", timeout, "inf")
        assert never.returncode == 2 and f"{timeout} inf".encode() in never.stderr


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
