"""Connections of a service, and what clients can do to them: wait, drip, stop half-way, come in crowds."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from PIL import Image

from serving import (
    FORM,
    Serving,
    body,
    chunked,
    drip,
    eventually,
    form,
    head,
    read_answer,
    read_to_the_end,
    serving,
    slow_jpeg,
)

MAX_UPLOAD = 1_000_000
CONNECTIONS = 100
DRIPPING = 64
DECODE_TIMEOUT = 12
FORM_HEAD = head("POST", "/predict", FORM, "Content-Length: 900000")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A service with little time for its clients, that can write no file longer than its log."""
    said = tmp_path_factory.mktemp("service") / "said"
    words = f"--connections 1000 --idle-timeout 1.5 --upload-timeout 4 --queue {DRIPPING} --grace 1".split()
    words += f"--max-upload {MAX_UPLOAD} --upload-memory {2 * MAX_UPLOAD}".split()
    words += f"--workers 2 --decode-timeout {DECODE_TIMEOUT}".split()
    limits = {resource.RLIMIT_NOFILE: CONNECTIONS + 64, resource.RLIMIT_FSIZE: 500_000}
    with serving(said, *words, env={"PYTHONDONTWRITEBYTECODE": "1"}, limits=limits) as here:
        yield here


@pytest.fixture(scope="module")
def image(portrait: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("image") / "image.jpg"
    portrait.crop((60, 0, 360, 250)).save(path)
    return path.read_bytes()


def has_ended(service: Serving, decoder: int) -> bool:
    return decoder not in service.children()


def is_waiting_for(service: Serving, images: int) -> bool:
    return service.waiting() == images


def test_a_connection_without_a_request_is_closed(service: Serving) -> None:
    with service.connect() as never_used:
        assert read_to_the_end(never_used) == b""
    with service.connect(head("GET", "/health")) as used:
        assert read_answer(used).status == 200
        assert read_to_the_end(used) == b""


def test_a_header_that_drips_is_refused(service: Serving) -> None:
    with service.connect(b"GET /health HTTP/1.1\r\nX: ") as connection:
        assert drip(connection, b"x", 0.2).startswith(b"HTTP/1.1 408 ")


def test_an_upload_that_drips_is_refused(service: Serving) -> None:
    with service.connect(FORM_HEAD + b"--b\r\n") as connection:
        said = drip(connection, b"x", 0.2)
    assert said.startswith(b"HTTP/1.1 408 ") and b'"too slow"' in said


def test_an_upload_without_end_is_refused_however_fast_it_is(service: Serving) -> None:
    with service.connect(FORM_HEAD + b"--b\r\n") as connection:
        said = drip(connection, bytes(2000), 0.2)
    assert said.startswith(b"HTTP/1.1 408 ") and b"more than 4 seconds" in said


def test_an_upload_that_pauses_but_comes_is_answered(service: Serving, image: bytes) -> None:
    sent = form(image)
    with service.connect(sent[:200]) as connection:
        for start in range(200, len(sent), len(sent) // 3):
            time.sleep(0.5)
            connection.sendall(sent[start : start + len(sent) // 3])
        assert read_answer(connection).status == 200


def test_clients_that_drip_take_no_places(service: Serving, image: bytes) -> None:
    with ExitStack() as stack:
        dripping = [stack.enter_context(service.connect(FORM_HEAD + b"--b\r\n")) for _ in range(DRIPPING)]
        assert service.waiting() == 0
        assert (service.post(image).status_code, service.health()) == (200, "ready")
        for connection in dripping:
            assert read_answer(connection).status == 408


def test_the_oldest_idle_connection_makes_room(service: Serving, image: bytes) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(service.connect()) for _ in range(CONNECTIONS + 20)]
        assert (service.health(), service.post(image).status_code) == ("ready", 200)
        assert read_to_the_end(idle[0]) == b""


def test_uploads_leave_connections_for_health(service: Serving) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS + 20):
            stack.enter_context(service.connect(FORM_HEAD))
        refused = service.ask(form(b"x"))
        assert (refused.status, refused.kind, refused.headers["retry-after"]) == (503, "busy", "1")
        assert service.health() == "ready"


def test_uploads_hold_no_more_memory_than_allowed(service: Serving, image: bytes) -> None:
    with ExitStack() as stack:
        large = [stack.enter_context(service.connect(FORM_HEAD + bytes(890_000))) for _ in range(3)]
        answers = [read_answer(connection) for connection in large]
    assert sorted(answer.status for answer in answers) == [408, 408, 503]
    assert service.post(image).status_code == 200


def test_a_client_that_has_finished_sending_gets_its_answer(service: Serving, image: bytes) -> None:
    assert service.ask(form(image), finish=True).status == 200
    assert service.ask(head("GET", "/health"), finish=True).status == 200
    with service.connect(head("GET", "/health") * 2 + form(image)) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert read_to_the_end(connection).count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_client_that_hangs_up_frees_its_decoder(service: Serving, image: bytes) -> None:
    content = form(slow_jpeg())
    for finish in (False, True):
        began = time.monotonic()
        slow = [service.connect(content) for _ in range(4)]
        eventually(lambda: service.health() == "stuck")
        decoders = service.children()
        for connection in slow:
            if finish:
                connection.shutdown(socket.SHUT_WR)
            connection.close()
        eventually(lambda: service.waiting() == 0)
        for decoder in decoders:
            eventually(partial(has_ended, service, decoder))
        assert time.monotonic() - began < DECODE_TIMEOUT  # which would have ended them too
        assert (service.health(), service.post(image).status_code) == ("ready", 200)


def test_slow_images_do_not_hold_up_others(service: Serving, image: bytes) -> None:
    for slow, count in (
        ([form(slow_jpeg())] * 2, 2),
        ([form(*[slow_jpeg()] * 5, path="/predict/batch", field="files")], 5),
    ):
        with ExitStack() as stack:
            connections = [stack.enter_context(service.connect(request)) for request in slow]
            eventually(partial(is_waiting_for, service, count))
            time.sleep(2)  # until they are slow
            assert service.health() == "ready"
            assert service.post(image).status_code == 200
            assert (service.waiting(), service.health()) == (count, "ready")
            if count == 2:
                answers = [read_answer(connection) for connection in connections]
                assert {(answer.status, answer.kind) for answer in answers} == {(422, "timed out")}
        eventually(lambda: service.waiting() == 0)


def test_an_answer_is_not_lost_though_the_request_was_not_read(service: Serving) -> None:
    with service.connect(head("POST", "/nowhere", FORM, "Content-Length: 9000000")) as connection:
        for _ in range(90):
            connection.sendall(bytes(100_000))
        assert read_answer(connection).status == 404
    with service.connect(head("GET", "/health", "Content-Length: 9000000")) as connection:
        connection.sendall(bytes(100_000))
        assert drip(connection, b"x", 0.2).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_reads_nothing_is_cut_off(service: Serving) -> None:
    path = next(part for part in service.request("GET", "/docs").text.split('"') if part.endswith(".js"))
    size, requests = len(service.request("GET", path).content), 20
    with service.connect(head("GET", path) * requests) as connection:
        eventually(lambda: service.figure("democlass_connections") == 1)
        assert len(read_to_the_end(connection)) < requests * size


def test_chunks_that_are_all_framing_are_refused(service: Serving) -> None:
    opening = head("POST", "/predict", FORM, "Transfer-Encoding: chunked")
    with service.connect(opening + chunked(b"-" * 1)[:-5] * 40_000) as connection:
        assert read_answer(connection).status == 400


def test_no_upload_is_written_to_disk(service: Serving, image: bytes) -> None:
    """Where files are limited to half a million bytes, an upload of a million that went to one would fail."""
    room = MAX_UPLOAD + 4096 - len(body(b""))
    assert service.ask(form(image + bytes(room - len(image)))).status == 200
    assert service.ask(form(image + bytes(room - len(image) + 1))).status == 413


def test_the_log_stays_short_and_the_service_alive_without_descriptors(service: Serving, image: bytes) -> None:
    before = service.said.stat().st_size
    most = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (10, most[1]))
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(service.connect())
        eventually(lambda: b"no connection can be accepted" in service.said.read_bytes()[before:])
        time.sleep(2)
    assert service.said.stat().st_size - before < 2000
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, most)
    assert (service.health(), service.post(image).status_code) == ("ready", 200)


def test_few_descriptors_mean_few_connections(service: Serving) -> None:
    assert f"the limit on open files allows {CONNECTIONS} connections at once" in service.said.read_text()


def test_it_ends_soon_whatever_is_being_done(service: Serving) -> None:
    """The last test: it ends the service."""
    with ExitStack() as stack:
        slow = [stack.enter_context(service.connect(form(slow_jpeg()))) for _ in range(2)]
        stack.enter_context(service.connect())
        stack.enter_context(service.connect(FORM_HEAD))
        eventually(lambda: service.waiting() == 2)
        service.process.terminate()
        answers = [read_answer(connection) for connection in slow]
        assert {(answer.status, answer.kind) for answer in answers} == {(503, "stopping")}
        assert service.process.wait(60) == 143
    assert "Traceback" not in service.said.read_text()
