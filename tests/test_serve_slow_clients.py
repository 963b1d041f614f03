"""Clients of a service that wait, or send slowly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from limited_service import FORM_HEADER, IMAGE, KEY_HEADER, QUEUE, UPLOAD_TIMEOUT, classify, run_limited_service
from serving import ServiceProcess, form_request, header, read_response, read_until_closed, send_slowly

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with run_limited_service(tmp_path_factory) as running:
        yield running


def _wait_idle(service: ServiceProcess) -> bytes:
    with service.connect() as connection:
        return read_until_closed(connection)


def _wait_after_a_response(service: ServiceProcess) -> bytes:
    with service.connect(header("GET", "/health")) as connection:
        assert read_response(connection).status == 200
        return read_until_closed(connection)


def _send_header_slowly(service: ServiceProcess) -> bytes:
    with service.connect(b"GET /health HTTP/1.1\r\nX: ") as connection:
        return send_slowly(connection, b"x", 0.2)


def _send_body_slowly(service: ServiceProcess) -> bytes:
    with service.connect(FORM_HEADER + b"--b\r\n") as connection:
        return send_slowly(connection, b"x", 0.2)


def _send_body_for_too_long(service: ServiceProcess) -> bytes:
    with service.connect(FORM_HEADER + b"--b\r\n") as connection:
        return send_slowly(connection, bytes(2000), 0.2)


def _send_body_with_pauses(service: ServiceProcess) -> bytes:
    request = form_request(IMAGE, fields=[KEY_HEADER, "Connection: close"])
    with service.connect(request[:200]) as connection:
        for start in range(200, len(request), len(request) // 3):
            time.sleep(0.5)
            connection.sendall(request[start : start + len(request) // 3])
        return read_until_closed(connection)


SlowClient = Callable[[ServiceProcess], bytes]


@pytest.fixture(scope="module")
def slow_responses(service: ServiceProcess) -> dict[SlowClient, bytes]:
    """Run all slow clients at the same time, and return what each of them received."""
    clients: tuple[SlowClient, ...] = (
        *(_wait_idle, _wait_after_a_response, _send_header_slowly),
        *(_send_body_slowly, _send_body_for_too_long, _send_body_with_pauses),
    )
    with ThreadPoolExecutor(len(clients)) as pool:
        return dict(zip(clients, pool.map(lambda client: client(service), clients), strict=True))


def test_a_connection_without_a_request_is_closed(slow_responses: dict[SlowClient, bytes]) -> None:
    assert slow_responses[_wait_idle] == b""
    assert slow_responses[_wait_after_a_response] == b""


def test_a_header_that_is_sent_slowly_is_rejected(slow_responses: dict[SlowClient, bytes]) -> None:
    assert slow_responses[_send_header_slowly].startswith(b"HTTP/1.1 408 ")


def test_an_upload_that_is_sent_slowly_is_rejected(slow_responses: dict[SlowClient, bytes]) -> None:
    received = slow_responses[_send_body_slowly]
    assert received.startswith(b"HTTP/1.1 408 ") and b'"too slow"' in received


def test_an_upload_that_takes_too_long_is_rejected_at_any_rate(slow_responses: dict[SlowClient, bytes]) -> None:
    received = slow_responses[_send_body_for_too_long]
    assert received.startswith(b"HTTP/1.1 408 ") and b"more than %d seconds" % UPLOAD_TIMEOUT in received


def test_an_upload_with_short_pauses_is_accepted(slow_responses: dict[SlowClient, bytes]) -> None:
    assert slow_responses[_send_body_with_pauses].startswith(b"HTTP/1.1 200 ")


def test_slow_uploads_take_no_space_in_the_queue(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(service.connect(FORM_HEADER + b"--b\r\n")) for _ in range(QUEUE)]
        assert service.pending_images() == 0
        assert (classify(service), service.health()) == (200, "ready")
        for connection in slow:
            assert read_response(connection).status == 408
