"""What is checked of a request before its body is read. Every check raises Refusal."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from democlass.serve.refusals import Refusal

_HEADERS = 100
_VERSIONS = ("1.0", "1.1")
_CHARSETS = ("utf-8", "utf8", "us-ascii", "iso-8859-1", "latin-1")


def check_message(version: str, headers: Headers) -> None:
    """Refuse what HTTP/1.1 does not allow, or allows two readings of, by which requests are smuggled past proxies."""
    if version not in _VERSIONS:
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http version", "this service speaks HTTP/1.1")
    if len(headers) > _HEADERS:
        detail = f"{len(headers)} header fields: a request may have {_HEADERS}"
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too large", detail)
    if "transfer-encoding" in headers and ("content-length" in headers or version == "1.0"):
        detail = "Transfer-Encoding goes with neither Content-Length nor HTTP/1.0: send one of them"
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad request", detail)


def check_content(headers: Headers) -> None:
    """Refuse a body in an encoding that is not understood, and one that is no form with files.

    A form of another kind can't hold a file, and parsing it takes the event loop 0.2 seconds for each MiB.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        detail = "the body has a Content-Encoding: send it as it is, images are compressed already"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported encoding", detail)
    kind, parameters = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        detail = "the body is no form with files: with curl, write -F file=@face.jpg"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "no file", detail)
    charset = parameters.get(b"charset", b"utf-8")
    if charset.decode("latin-1").lower() not in _CHARSETS:
        detail = "the form has an unusual charset: send it in UTF-8"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported encoding", detail)


def check_key(headers: Headers, key: str) -> None:
    """Refuse a request without the key.

    Bytes are compared. Clients send a key that is not ASCII either in UTF-8 or in Latin-1.
    """
    given = _key_in(headers).encode("latin-1")
    if not any(hmac.compare_digest(given, each) for each in _encoded(key)):
        raise Refusal(
            HTTPStatus.UNAUTHORIZED, "no key", "X-API-Key is missing or wrong", {"WWW-Authenticate": "ApiKey"}
        )


def check_origin(headers: Headers, allow_hosts: Collection[str]) -> None:
    """Refuse what a web page of another site sends: a browser lets it post to any address, this machine's too.

    A page is our own where `Origin` and `Host` agree. That is not enough for names other than localhost: whoever owns
    a name can let it lead to this machine ("DNS rebinding"). Programs send no `Origin`.
    """
    origin = headers.get("origin")
    if origin is None:
        return
    place = origin.partition("://")[2].lower()  # empty for "null", the origin of a file and of a sandbox
    name = _host_name(place)
    if name in allow_hosts or (place == headers.get("host", "").lower() and _is_local_or_address(name)):
        return
    detail = "web pages of this origin are refused: start the service with --allow-host NAME, or with a key"
    raise Refusal(HTTPStatus.FORBIDDEN, "other origin", detail)


def _key_in(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")


def _encoded(key: str) -> list[bytes]:
    encoded = [key.encode("utf-8", "surrogateescape")]
    with suppress(UnicodeEncodeError):
        encoded.append(key.encode("latin-1"))
    return encoded


def _host_name(place: str) -> str:
    try:
        return urlsplit(f"//{place}").hostname or ""
    except ValueError:
        return ""


def _is_local_or_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True
