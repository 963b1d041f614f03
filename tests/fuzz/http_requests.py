"""Creates hostile requests: the bytes that a client sends, and the pauses between them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.mutations import mutant

RESET, HALF_CLOSE, WAIT = "reset", "half-close", "wait"
"""What a client does after the last byte: reset the connection, close its sending side, or wait for the response."""

_MAX_SLOW_SECONDS = 3.0
_PATHS = ("/predict", "/predict/batch", "/health", "/metrics", "/", "/docs", "/openapi.json")
_ODD_PATHS = ("/nothing", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//predict", "/predict/", "/%00", "/%ff%fe",
              "/predict?" + "a=b&" * 2000, "*", "http://other/predict", "/" + "x" * 70_000, "/\u00e9", "")  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "post", "A" * 5000, "")
_BOUNDARY = "fuzz"
_DISPOSITION = b"Content-Disposition: form-data"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"

Piece = tuple[bytes, float]
"""Bytes to send, and the seconds to wait afterwards."""


@dataclass(frozen=True)
class Request:
    """A hostile request. `damage` describes what is wrong with it."""

    number: int
    damage: tuple[str, ...]
    pieces: tuple[Piece, ...]
    ending: str

    @property
    def content(self) -> bytes:
        """All bytes that are sent."""
        return b"".join(piece for piece, _ in self.pieces)


def request(seed: int, number: int) -> Request:
    """Create the request with this number. The same seed and number always give the same request."""
    rng = random.Random(f"request {seed}-{number}")
    kind = rng.choice(_KINDS)
    content = kind(rng, seed, number)
    pace = rng.choice(("at once", "at once", "at once", "slowly", "truncated"))
    if pace == "truncated":
        content = content[: rng.randrange(len(content) + 1)]
    pieces: tuple[Piece, ...] = ((content, 0.0),)
    if pace == "slowly":
        pieces = _send_slowly(rng, content)
    ending = rng.choice((WAIT, WAIT, HALF_CLOSE, RESET)) if pace != "truncated" else rng.choice((HALF_CLOSE, RESET))
    return Request(number, (kind.__name__.lstrip("_"), pace, ending), pieces, ending)


def valid_upload(content: bytes, *headers: str) -> bytes:
    """Create a valid request."""
    return _post("/predict", _form(_part("file", content)), *headers)


def _post(path: str, body: bytes, *headers: str, kind: str = _FORM) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: fuzz", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _part(name: str, content: bytes, headers: str = "") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="face.jpg"'
    return f"--{_BOUNDARY}\r\n{disposition}\r\n{headers}\r\n".encode() + content + b"\r\n"


def _form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def _image(seed: int, number: int) -> bytes:
    return mutant(seed, number).content[:100_000]


def _damaged_image(rng: random.Random, seed: int, number: int) -> bytes:
    return valid_upload(_image(seed, number))


def _many_damaged_images(rng: random.Random, seed: int, number: int) -> bytes:
    files = [_part("files", _image(seed, 1000 * number + n)) for n in range(rng.choice((0, 1, 3, 70)))]
    return _post("/predict/batch", _form(*files))


def _odd_request_line(rng: random.Random, seed: int, number: int) -> bytes:
    path = rng.choice((*_PATHS, *_ODD_PATHS))
    version = rng.choice(("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 extra", "HTTP/9" * 50, "", "ICY"))
    body = rng.choice(("", "Content-Length: 3\r\n\r\nabc"))
    return f"{rng.choice(_METHODS)} {path} {version}\r\nHost: fuzz\r\n{body}\r\n".encode()


def _odd_headers(rng: random.Random, seed: int, number: int) -> bytes:
    odd = rng.choice((
        "X: " + "y" * 100_000, "\r\n".join(f"X-{n}: {n}" for n in range(5000)), ": no name", "no colon",
        "X\x00: y", "X: \x00", "Content-Length: 5", "Content-Length: -1", "Content-Length: 1e9",
        "Content-Length: 99999999999999999999", "Content-Length: ٣", "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: x", "Expect: 100-continue", "Expect: 200-maybe",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Connection: close, close", "X-API-Key: \u00e9\u00e8", "Authorization: Bearer", "Cookie: " + "a=b; " * 3000,
        "Host: a\r\nHost: b", "Host:", " folded: yes", "X: a\rb", "X: a\nY: b", "Range: bytes=0-1,2-3",
        "Accept-Encoding: " + "gzip," * 3000,
        "Content-Encoding: gzip", "Forwarded: for=[", "X-Forwarded-For: " + "1," * 5000,
    ))  # fmt: skip
    return valid_upload(_image(seed, number), odd)


def _odd_chunks(rng: random.Random, seed: int, number: int) -> bytes:
    body = _form(_part("file", _image(seed, number)))
    chunks = rng.choice((
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), b"ffffffffffffffff\r\n", b"-1\r\n", b"zz\r\nabc\r\n",
        b"0\r\n\r\n", b"5\r\nab", b"1;" + b"e" * 70_000 + b"\r\na\r\n0\r\n\r\n", b"1\r\na\r\n" * 5000 + b"0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"0\r\n" + b"T: trailer\r\n" * 3000 + b"\r\n",
    ))  # fmt: skip
    head = f"POST /predict HTTP/1.1\r\nHost: fuzz\r\nContent-Type: {_FORM}\r\n"
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


def _odd_form(rng: random.Random, seed: int, number: int) -> bytes:
    image = _image(seed, number)
    body = rng.choice((
        b"", b"--", b"--fuzz", b"--fuzz--", b"--fuzz\r\n" * 3000, _form(_part("other", image)), _part("file", image),
        _form(*[_part("file", b"x")] * 1500), _form(_part("file", image), _part("file", image)),
        _form(_part("file", b"")),
        _form(_part("file", image, "X: " + "y" * 50_000 + "\r\n")), b"\r\n\r\n--fuzz\r\n\r\n", b"\xff" * 1000,
        _form(_part("file", image, "Content-Transfer-Encoding: base64\r\n")), _form(b"--fuzz\r\n\r\n\r\n"),
        _form(b"--fuzz\r\n" + _DISPOSITION + b'; name="file"\r\n\r\ntext\r\n'),
        _form(b"--fuzz\r\n" + _DISPOSITION + b"\r\n\r\ntext\r\n"),
        _form(b"--fuzz\r\n" + _DISPOSITION + b'; name="file"; filename="\xff\x00/../x"\r\n\r\n' + image + b"\r\n"),
        _form(*[b"--fuzz\r\n" + _DISPOSITION + b'; name="%d"\r\n\r\nx\r\n' % n for n in range(1500)]),
    ))  # fmt: skip
    kind = rng.choice((
        _FORM, _FORM, _FORM, "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 5000,
        "multipart/mixed; boundary=fuzz", "application/x-www-form-urlencoded", "application/json", "image/jpeg",
        "", "\xff",
    ))  # fmt: skip
    return _post(rng.choice(("/predict", "/predict/batch")), body, kind=kind)


def _odd_body(rng: random.Random, seed: int, number: int) -> bytes:
    body = rng.choice((
        json.dumps({"file": "x"}).encode(), b"[" * 50_000, b"file=x&" * 5000, b"\x00" * 1000, _image(seed, number), b"",
    ))  # fmt: skip
    kinds = (
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "image/jpeg",
        "application/octet-stream",
    )
    return _post(rng.choice(_PATHS), body, kind=rng.choice(kinds))


def _wrong_length(rng: random.Random, seed: int, number: int) -> bytes:
    right = valid_upload(_image(seed, number))
    head, _, body = right.partition(b"\r\n\r\n")
    claimed = rng.choice((0, 1, len(body) - 1, len(body) + 1, len(body) + 10_000, 40 * 2**20, 2**63))
    return (
        head.replace(f"Content-Length: {len(body)}".encode(), f"Content-Length: {claimed}".encode())
        + b"\r\n\r\n"
        + body
    )


def _several_at_once(rng: random.Random, seed: int, number: int) -> bytes:
    others = (_odd_request_line, _damaged_image, _odd_form, _odd_chunks)
    return b"".join(rng.choice(others)(rng, seed, number) for _ in range(rng.randint(2, 6)))


def _flipped_bits(rng: random.Random, seed: int, number: int) -> bytes:
    content = bytearray(rng.choice(_KINDS[:-1])(rng, seed, number))
    for _ in range(rng.choice((1, 3, 20)) if content else 0):
        content[rng.randrange(min(len(content), 400))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _another_protocol(rng: random.Random, seed: int, number: int) -> bytes:
    return rng.choice((
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
        b"\r\n" * 2000, rng.randbytes(3000), b"", b"SSH-2.0-OpenSSH_9.0\r\n", b"GET /health\r\n",
        b"\x00", b"A" * 200_000,
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    ))  # fmt: skip


_KINDS: tuple[Callable[[random.Random, int, int], bytes], ...] = (
    _damaged_image, _damaged_image, _many_damaged_images, _odd_request_line, _odd_headers, _odd_headers,
    _odd_chunks, _odd_form, _odd_form, _odd_body, _wrong_length, _several_at_once, _another_protocol, _flipped_bits,
)  # fmt: skip


def _send_slowly(rng: random.Random, content: bytes) -> tuple[Piece, ...]:
    """Split the content: send small pieces for _MAX_SLOW_SECONDS in total, then the rest."""
    pauses = rng.randint(2, 12)
    size = rng.choice((1, 7, 50))
    slow = [(content[n * size : (n + 1) * size], _MAX_SLOW_SECONDS / pauses) for n in range(pauses)]
    return (*slow, (content[pauses * size :], 0.0))
