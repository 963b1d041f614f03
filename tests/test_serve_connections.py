"""Connections of a service: too many or slow requests, clients that disconnect early, and the key."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from limited_service import (
    CONNECTIONS,
    FORM_HEADER,
    IMAGE,
    KEY,
    KEY_HEADER,
    MAX_UPLOAD,
    WORKERS,
    classify,
    run_limited_service,
    upload,
)
from serving import (
    FORM,
    ServiceProcess,
    chunked,
    form_body,
    header,
    read_response,
    read_until_closed,
    send_slowly,
    slow_jpeg,
    wait_until,
)
from tiny_command import THIRD_TASK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with run_limited_service(tmp_path_factory) as running:
        yield running


def test_the_oldest_idle_connection_is_closed_for_a_new_one(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(service.connect()) for _ in range(CONNECTIONS + 20)]
        assert (service.health(), classify(service)) == ("ready", 200)
        assert read_until_closed(idle[0]) == b""


def test_uploads_leave_connections_for_health_checks(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS + 20):
            stack.enter_context(service.connect(FORM_HEADER))
        response = service.send(upload(b"x"))
        assert (response.status, response.kind, response.headers["retry-after"]) == (503, "busy", "1")
        assert service.health() == "ready"


def test_uploads_use_no_more_memory_than_allowed(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        large = [stack.enter_context(service.connect(FORM_HEADER + bytes(890_000))) for _ in range(3)]
        responses = [read_response(connection) for connection in large]
    assert sorted(response.status for response in responses) == [408, 408, 503]
    assert classify(service) == 200


def test_a_client_that_closes_its_sending_side_gets_its_response(service: ServiceProcess) -> None:
    assert service.send(upload(IMAGE), half_close=True).status == 200
    assert service.send(header("GET", "/health"), half_close=True).status == 200
    with service.connect(header("GET", "/health") * 2 + upload(IMAGE)) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert read_until_closed(connection).count(b"HTTP/1.1 200 OK\r\n") == 3


@pytest.mark.parametrize("half_close", [False, True])
def test_a_disconnect_ends_the_decoding_process(service: ServiceProcess, half_close: bool) -> None:
    timeouts = service.count_errors("timed out")
    slow = [service.connect(upload(slow_jpeg())) for _ in range(2 * WORKERS)]
    wait_until(lambda: service.health() == "stuck")
    decoders = service.children()
    for connection in slow:
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        connection.close()
    wait_until(lambda: service.pending_images() == 0)
    wait_until(lambda: not decoders & service.children())
    assert service.count_errors("timed out") == timeouts  # the time limit did not end them
    assert (service.health(), classify(service)) == ("ready", 200)


def test_slow_images_do_not_delay_other_requests(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        request = upload(slow_jpeg())
        slow = [stack.enter_context(service.connect(request)) for _ in range(WORKERS)]
        wait_until(lambda: service.pending_images() == WORKERS)
        assert classify(service) == 200
        assert (service.pending_images(), service.health()) == (WORKERS, "ready")
        responses = [read_response(connection) for connection in slow]
    assert {(response.status, response.kind) for response in responses} == {(422, "timed out")}


def test_slow_images_of_one_request_do_not_delay_other_requests(service: ServiceProcess) -> None:
    images = 2 * WORKERS + 1
    with service.connect(upload(*[slow_jpeg()] * images, path="/predict/batch", field="files")):
        wait_until(lambda: service.pending_images() == images)
        assert classify(service) == 200
        assert (service.pending_images(), service.health()) == (images, "ready")
    wait_until(lambda: service.pending_images() == 0)


def test_a_response_is_delivered_although_the_request_was_not_read(service: ServiceProcess) -> None:
    with service.connect(header("POST", "/nowhere", FORM, "Content-Length: 9000000")) as connection:
        for _ in range(90):
            connection.sendall(bytes(100_000))
        assert read_response(connection).status == 404
    with service.connect(header("GET", "/health", "Content-Length: 9000000")) as connection:
        connection.sendall(bytes(100_000))
        assert send_slowly(connection, b"x", 0.2).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_disconnected(service: ServiceProcess) -> None:
    path = next(part for part in service.request("GET", "/docs").text.split('"') if part.endswith(".js"))
    size, requests = len(service.request("GET", path).content), 20
    with service.connect(header("GET", path) * requests) as connection:
        wait_until(lambda: service.metric("democlass_connections") == 1)
        assert len(read_until_closed(connection)) < requests * size


def test_a_body_of_tiny_chunks_is_rejected(service: ServiceProcess) -> None:
    request = header("POST", "/predict", FORM, KEY_HEADER, "Transfer-Encoding: chunked")
    with service.connect(request + chunked(b"-")[:-5] * 40_000) as connection:
        assert read_response(connection).status == 400


def test_uploads_are_not_written_to_disk(service: ServiceProcess) -> None:
    """The service may write files of up to 500,000 bytes, so writing a larger upload to disk would fail."""
    free = MAX_UPLOAD + 4096 - len(form_body(b""))
    assert service.send(upload(IMAGE + bytes(free - len(IMAGE)))).status == 200
    assert service.send(upload(IMAGE + bytes(free - len(IMAGE) + 1))).status == 413


def test_without_free_descriptors_the_service_survives_and_logs_little(service: ServiceProcess) -> None:
    size_before = service.log.stat().st_size
    limits = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (10, limits[1]))
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(service.connect())
        wait_until(lambda: b"no connection can be accepted" in service.log.read_bytes()[size_before:])
        time.sleep(1.5)  # several attempts to accept a connection
    assert service.log.stat().st_size - size_before < 2000
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, limits)
    assert (service.health(), classify(service)) == ("ready", 200)


def test_few_descriptors_reduce_the_number_of_connections(service: ServiceProcess) -> None:
    assert f"the limit on open files allows only {CONNECTIONS} connections" in service.log.read_text()


def test_a_request_without_the_key_is_rejected(service: ServiceProcess) -> None:
    response = service.post(IMAGE)
    assert (response.status_code, response.json()["kind"]) == (401, "no key")


def test_with_the_key_web_pages_of_all_origins_are_accepted(service: ServiceProcess) -> None:
    """A web page of another site does not know the key."""
    assert service.post(IMAGE, headers={"X-API-Key": KEY, "Origin": "https://a.org"}).status_code == 200


def test_a_third_task_is_in_results_and_in_the_openapi_document(service: ServiceProcess) -> None:
    response = service.post(IMAGE, headers={"X-API-Key": KEY})
    assert list(response.json()["age-group_probabilities"]) == list(THIRD_TASK.labels)
    schemas = service.request("GET", "/openapi.json").json()["components"]["schemas"]
    assert {"age-group", "age-group_probabilities"} <= set(schemas["Classified"]["properties"])


def test_the_openapi_document_declares_the_key(service: ServiceProcess) -> None:
    schemes = service.request("GET", "/openapi.json").json()["components"]["securitySchemes"]
    assert [scheme["name"] for scheme in schemes.values()] == ["X-API-Key"]


def test_sigterm_finishes_accepted_requests_until_the_grace_period_ends(service: ServiceProcess) -> None:
    """This must be the last test of the module, because it ends the service."""
    with ExitStack() as stack:
        long = stack.enter_context(service.connect(upload(slow_jpeg())))
        short = stack.enter_context(service.connect(upload(slow_jpeg(scans=40))))
        stack.enter_context(service.connect())
        stack.enter_context(service.connect(FORM_HEADER))
        wait_until(lambda: service.pending_images() == 2)
        service.process.terminate()
        assert read_response(short).status == 200
        response = read_response(long)
        assert (response.status, response.kind) == (503, "stopping")
        assert service.process.wait(60) == 143
    log = service.log.read_text()
    assert "Traceback" not in log and KEY not in log
