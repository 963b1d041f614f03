"""Unusual, invalid and hostile requests, sent byte by byte."""

from __future__ import annotations

import json

import pytest

from serving import (
    FORM,
    MAX_UPLOAD,
    ServiceProcess,
    chunked,
    face_jpeg,
    form_body,
    form_request,
    header,
    read_response,
    wait_until,
)

pytestmark = pytest.mark.slow

IMAGE = face_jpeg()
BODY = form_body(IMAGE)
CHUNKED = "Transfer-Encoding: chunked"


def test_a_chunked_body_is_accepted(service: ServiceProcess) -> None:
    body = form_body(IMAGE)
    assert service.send(header("POST", "/predict", FORM, CHUNKED) + chunked(body[:100], body[100:])).status == 200


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (
            header("POST", "/predict", FORM, CHUNKED, "Content-Length: 5") + chunked(BODY),
            400,
            "bad request",
        ),
        (header("GET", "/health", CHUNKED, "Content-Length: 5") + chunked(), 400, "bad request"),
        (header("POST", "/predict", FORM, CHUNKED, version="1.0") + chunked(BODY), 400, "bad request"),
        (header("POST", "/predict", FORM, "Transfer-Encoding: gzip, chunked"), 501, "bad request"),
        (header("POST", "/predict", FORM, CHUNKED) + b"xyz\r\n", 400, "bad request"),
        (header("POST", "/predict", FORM, "Content-Length: 5", "Content-Length: 6"), 400, "bad request"),
        (header("POST", "/predict", FORM, "Content-Length: -5"), 400, "bad request"),
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "bad request"),
        (header("GET", "/health", "Host: twice"), 400, "bad request"),
        (header("GET", "/health", version="2.0"), 505, "http version"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad request"),
        (header("GET", "/health", *["a: b"] * 200), 431, "headers too large"),
        (header("GET", "/health", *["a: b"] * 60_000), 431, "headers too large"),
        (header("GET", "/" + "x" * 100_000), 431, "headers too large"),
        (header("POST", "/predict", FORM, "Content-Encoding: gzip", "Content-Length: 9"), 415, "unsupported encoding"),
        (header("POST", "/predict", FORM + "; charset=idna", "Content-Length: 9"), 415, "unsupported encoding"),
        (header("POST", "/predict/", FORM, "Content-Length: 9"), 404, "not found"),
    ],
)
def test_every_error_has_the_same_json_shape(service: ServiceProcess, sent: bytes, status: int, kind: str) -> None:
    response = service.send(sent)
    assert (response.status, response.kind, response.headers["content-type"]) == (status, kind, "application/json")
    assert list(json.loads(response.body)) == ["detail", "kind"]
    assert service.health() == "ready"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "application/json", "image/jpeg"])
def test_a_body_that_is_not_a_multipart_form_is_rejected_unread(service: ServiceProcess, media_type: str) -> None:
    """The test sends no body, so a service that waited for it would return 408."""
    response = service.send(header("POST", "/predict", f"Content-Type: {media_type}", f"Content-Length: {MAX_UPLOAD}"))
    assert (response.status, response.kind) == (422, "no file")


def test_data_after_an_ambiguous_request_is_not_a_second_request(service: ServiceProcess) -> None:
    request = header("POST", "/predict", FORM, CHUNKED, "Content-Length: 5") + chunked()
    with service.connect(request + header("GET", "/metrics")) as connection:
        received = connection.makefile("rb").read()
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
        ("GET", "/predict", "POST"),
        ("HEAD", "/predict", "POST"),
        ("PUT", "/predict/batch", "POST"),
        ("BREW", "/predict", "POST"),
    ],
)
def test_a_wrong_method_returns_the_allowed_ones(service: ServiceProcess, method: str, path: str, allow: str) -> None:
    response = service.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert response.text == "" if method == "HEAD" else response.json()["kind"] == "method not allowed"


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/openapi.json"])
def test_head_returns_the_headers_of_get(service: ServiceProcess, path: str) -> None:
    get, head = service.request("GET", path), service.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type"):
        assert head.headers[name] == get.headers[name]


def test_http_1_0_and_absolute_urls_are_accepted(service: ServiceProcess) -> None:
    with service.connect(header("GET", "/health", version="1.0")) as connection:
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 ")  # until the service closes
    assert service.send(header("GET", "http://elsewhere/health")).status == 200


def test_upgrade_headers_are_ignored(service: ServiceProcess) -> None:
    for protocol in ("websocket", "h2c"):
        response = service.send(header("GET", "/health", "Connection: Upgrade", f"Upgrade: {protocol}"))
        assert response.status == 200
    assert "websocket" not in service.log.read_text().lower()


def test_expect_100_continue_is_answered_before_the_body_is_sent(service: ServiceProcess) -> None:
    expect = "Expect: 100-continue"
    response = service.send(header("POST", "/predict", FORM, expect, f"Content-Length: {10**9}"))
    assert (response.status, response.kind) == (413, "too large")
    body = form_body(IMAGE)
    with service.connect(header("POST", "/predict", FORM, expect, f"Content-Length: {len(body)}")) as connection:
        assert read_response(connection).status == 100
        connection.sendall(body)
        assert read_response(connection).status == 200


def test_a_file_name_instead_of_a_file_is_explained(service: ServiceProcess) -> None:
    for path, field in (("/predict", "file"), ("/predict/batch", "files")):
        response = service.send(form_request(b"face.jpg", path=path, field=field, parameters=""))
        assert (response.status, response.kind) == (422, "no file")
        assert f"-F {field}=@face.jpg" in json.loads(response.body)["detail"]


def test_predict_rejects_two_files(service: ServiceProcess) -> None:
    response = service.send(form_request(IMAGE, b"another"))
    assert (response.status, response.kind) == (422, "too many files")


def test_other_form_fields_are_ignored_unless_there_are_too_many(service: ServiceProcess) -> None:
    body = form_body(b"text", field="note", parameters="")[: -len(b"--b--\r\n")] + form_body(IMAGE)
    length = f"Content-Length: {len(body)}"
    assert service.send(header("POST", "/predict", FORM, length) + body).status == 200
    for parameters in ("", '; filename="f"'):
        request = form_request(*[b"x"] * 5000, path="/predict/batch", field="files", parameters=parameters)
        response = service.send(request)
        assert (response.status, response.kind) == (400, "bad request")


@pytest.mark.parametrize("name", ["a\x01\x1b[31mb", "x" * 3000, "\u202egnp.exe", "../../etc/passwd", "<script>"])
def test_file_names_are_returned_unchanged_and_not_logged(service: ServiceProcess, name: str) -> None:
    disposition = b'Content-Disposition: form-data; name="files"; filename="' + name.encode() + b'"'
    body = b"--b\r\n" + disposition + b"\r\n\r\n" + IMAGE + b"\r\n--b--\r\n"
    response = service.send(header("POST", "/predict/batch", FORM, f"Content-Length: {len(body)}") + body)
    assert json.loads(response.body)[0]["path"] == name
    assert name not in service.log.read_text() and "\x1b" not in service.log.read_text()


def test_log_and_metrics_have_no_text_from_clients(service: ServiceProcess) -> None:
    for number in range(5):
        service.send(header(f"METHOD{number}", f"/stranger{number}%0d%0aforged", "User-Agent: stranger"))
    wait_until(lambda: service.log.read_text().count("other other 404") >= 5)
    for text in (service.log.read_text(), service.request("GET", "/metrics").text):
        assert "stranger" not in text and "METHOD" not in text and "forged" not in text


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://{own}", "{own}", 200),
        ("http://localhost:1", "localhost:1", 200),
        ("https://faces.example.org", "{own}", 200),
        ("https://evil.example", "{own}", 403),
        ("http://evil.example:8000", "evil.example:8000", 403),
        ("http://127.0.0.1:1", "{own}", 403),
        ("http://localhost.evil.example", "localhost.evil.example", 403),
        ("null", "{own}", 403),
        ("http://[", "[", 403),
    ],
)
def test_web_pages_of_other_sites_are_rejected(service: ServiceProcess, origin: str, host: str, status: int) -> None:
    own = service.url.removeprefix("http://")
    response = service.post(IMAGE, headers={"Origin": origin.format(own=own), "Host": host.format(own=own)})
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers
    assert status == 200 or response.json()["kind"] == "other origin"


def test_there_are_no_redirects_to_the_host_of_the_request(service: ServiceProcess) -> None:
    response = service.request("GET", "/health/", headers={"Host": "evil.example"})
    assert (response.status_code, response.headers.get("location")) == (404, None)


def test_a_chunked_body_above_the_limit_is_rejected(service: ServiceProcess) -> None:
    request = header("POST", "/predict", FORM, CHUNKED)
    with service.connect(request + chunked(*[bytes(10_000)] * (MAX_UPLOAD // 10_000 + 10))) as connection:
        response = read_response(connection)
    assert (response.status, response.kind) == (413, "too large")
