"""Requests that are unusual, wrong or hostile, byte by byte."""

from __future__ import annotations

import json

import pytest

from conftest import EXAMPLES
from serving import FORM, MAX_UPLOAD, Serving, body, chunked, eventually, form, head, read_answer

IMAGE = (EXAMPLES / "grace_hopper.jpg").read_bytes()
CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_in_chunks_is_read(service: Serving) -> None:
    sent = body(IMAGE)
    assert service.ask(head("POST", "/predict", FORM, CHUNKED) + chunked(sent[:100], sent[100:])).status == 200


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (head("POST", "/predict", FORM, CHUNKED, "Content-Length: 5") + chunked(body(IMAGE)), 400, "bad request"),
        (head("GET", "/health", CHUNKED, "Content-Length: 5") + chunked(), 400, "bad request"),
        (head("POST", "/predict", FORM, CHUNKED, version="1.0") + chunked(body(IMAGE)), 400, "bad request"),
        (head("POST", "/predict", FORM, "Transfer-Encoding: gzip, chunked"), 501, "bad request"),
        (head("POST", "/predict", FORM, CHUNKED) + b"xyz\r\n", 400, "bad request"),
        (head("POST", "/predict", FORM, "Content-Length: 5", "Content-Length: 6"), 400, "bad request"),
        (head("POST", "/predict", FORM, "Content-Length: -5"), 400, "bad request"),
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "bad request"),
        (head("GET", "/health", "Host: twice"), 400, "bad request"),
        (head("GET", "/health", version="2.0"), 505, "http version"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad request"),
        (head("GET", "/health", *["a: b"] * 200), 431, "headers too large"),
        (head("GET", "/health", *["a: b"] * 60_000), 431, "headers too large"),
        (head("GET", "/" + "x" * 100_000), 431, "headers too large"),
        (head("POST", "/predict", FORM, "Content-Encoding: gzip", "Content-Length: 9"), 415, "unsupported encoding"),
        (head("POST", "/predict", FORM + "; charset=idna", "Content-Length: 9"), 415, "unsupported encoding"),
        (head("POST", "/predict/", FORM, "Content-Length: 9"), 404, "not found"),
    ],
)
def test_what_is_wrong_is_refused_in_the_one_shape(service: Serving, sent: bytes, status: int, kind: str) -> None:
    answer = service.ask(sent)
    assert (answer.status, answer.kind, answer.headers["content-type"]) == (status, kind, "application/json")
    assert list(json.loads(answer.body)) == ["detail", "kind"]
    assert service.health() == "ready"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", "image/jpeg"])
def test_a_body_that_is_no_form_with_files_is_refused_unread(service: Serving, kind: str) -> None:
    """Nothing of the body is sent: a service that waited for it would refuse it as too slow."""
    answer = service.ask(head("POST", "/predict", f"Content-Type: {kind}", f"Content-Length: {MAX_UPLOAD}"))
    assert (answer.status, answer.kind) == (422, "no file")


def test_what_follows_a_request_of_two_readings_is_no_request(service: Serving) -> None:
    smuggled = head("GET", "/metrics")
    with service.connect(head("POST", "/predict", FORM, CHUNKED, "Content-Length: 5") + chunked() + smuggled) as client:
        stream = client.makefile("rb").read()
    assert stream.count(b"HTTP/1.1 ") == 1


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
def test_a_wrong_method_is_told_the_right_ones(service: Serving, method: str, path: str, allow: str) -> None:
    answer = service.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.text == "" if method == "HEAD" else answer.json()["kind"] == "method not allowed"


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(service: Serving, path: str) -> None:
    whole, header = service.request("GET", path), service.request("HEAD", path)
    assert (header.status_code, header.content) == (200, b"")
    for name in ("content-length", "content-type"):
        assert header.headers[name] == whole.headers[name]


def test_http_1_0_and_whole_urls_are_understood(service: Serving) -> None:
    with service.connect(head("GET", "/health", version="1.0")) as connection:
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 ")  # to its end: it closes
    assert service.ask(head("GET", "http://elsewhere/health")).status == 200


def test_upgrades_are_ignored(service: Serving) -> None:
    for protocol in ("websocket", "h2c"):
        answer = service.ask(head("GET", "/health", "Connection: Upgrade", f"Upgrade: {protocol}"))
        assert answer.status == 200
    assert "websocket" not in service.said.read_text().lower()


def test_a_client_that_asks_before_it_sends_is_told(service: Serving) -> None:
    expect = "Expect: 100-continue"
    refused = service.ask(head("POST", "/predict", FORM, expect, f"Content-Length: {10**9}"))
    assert (refused.status, refused.kind) == (413, "too large")
    sent = body(IMAGE)
    with service.connect(head("POST", "/predict", FORM, expect, f"Content-Length: {len(sent)}")) as connection:
        assert read_answer(connection).status == 100
        connection.sendall(sent)
        assert read_answer(connection).status == 200


def test_a_file_name_in_place_of_a_file_is_explained(service: Serving) -> None:
    for path, field in (("/predict", "file"), ("/predict/batch", "files")):
        answer = service.ask(form(b"face.jpg", path=path, field=field, more=""))
        assert (answer.status, answer.kind) == (422, "no file")
        assert f"-F {field}=@face.jpg" in json.loads(answer.body)["detail"]


def test_two_files_are_not_answered_as_one(service: Serving) -> None:
    answer = service.ask(form(IMAGE, b"another"))
    assert (answer.status, answer.kind) == (422, "too many files")


def test_fields_of_other_names_are_ignored_and_too_many_refused(service: Serving) -> None:
    sent = body(b"text", field="note", more="")[: -len(b"--b--\r\n")] + body(IMAGE)
    length = f"Content-Length: {len(sent)}"
    assert service.ask(head("POST", "/predict", FORM, length) + sent).status == 200
    for more in ("", '; filename="f"'):
        answer = service.ask(form(*[b"x"] * 5000, path="/predict/batch", field="files", more=more))
        assert (answer.status, answer.kind) == (400, "bad request")


@pytest.mark.parametrize("name", ["a\x01\x1b[31mb", "x" * 3000, "\u202egnp.exe", "../../etc/passwd", "<script>"])
def test_file_names_come_back_and_are_logged_nowhere(service: Serving, name: str) -> None:
    quoted = name.encode().decode("latin-1")
    sent = b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + quoted.encode("latin-1") + b'"\r\n\r\n'
    sent += IMAGE + b"\r\n--b--\r\n"
    answer = service.ask(head("POST", "/predict/batch", FORM, f"Content-Length: {len(sent)}") + sent)
    assert json.loads(answer.body)[0]["path"] == name
    assert name not in service.said.read_text() and "\x1b" not in service.said.read_text()


def test_the_log_and_the_metrics_hold_nothing_that_a_stranger_made_up(service: Serving) -> None:
    for number in range(5):
        service.ask(head(f"METHOD{number}", f"/stranger{number}%0d%0aforged", "User-Agent: stranger"))
    eventually(lambda: service.said.read_text().count("other other 404") >= 5)
    for text in (service.said.read_text(), service.request("GET", "/metrics").text):
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
def test_web_pages_of_other_sites_are_refused(service: Serving, origin: str, host: str, status: int) -> None:
    own = service.url.removeprefix("http://")
    answer = service.post(IMAGE, headers={"Origin": origin.format(own=own), "Host": host.format(own=own)})
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert status == 200 or answer.json()["kind"] == "other origin"


def test_pages_are_not_redirected_to_where_the_request_says(service: Serving) -> None:
    answer = service.request("GET", "/health/", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers.get("location")) == (404, None)


def test_a_body_above_the_limit_is_refused_though_its_length_was_not_told(service: Serving) -> None:
    opening = head("POST", "/predict", FORM, CHUNKED)
    with service.connect(opening + chunked(*[bytes(10_000)] * (MAX_UPLOAD // 10_000 + 10))) as connection:
        answer = read_answer(connection)
    assert (answer.status, answer.kind) == (413, "too large")
