"""Checks of a request, all but one made before its body is read. Every check raises ApiError."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from democlass.serve.body import RequestBody
from democlass.serve.errors import ApiError

_MAX_HEADERS = 100
_MAX_AFTER_FORM = 64  # bytes: line ends
_HTTP_VERSIONS = ("1.0", "1.1")
_CHARSETS = ("utf-8", "utf8", "us-ascii", "iso-8859-1", "latin-1")


def check_protocol(version: str, headers: Headers) -> None:
    """Reject requests that are not valid HTTP/1.1, or that two servers could read in different ways.

    An ambiguous body length lets an attacker smuggle a second request past a proxy.
    """
    if version not in _HTTP_VERSIONS:
        raise ApiError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http version", "this service supports only HTTP/1.1")
    if len(headers) > _MAX_HEADERS:
        detail = f"the request has {len(headers)} header fields: at most {_MAX_HEADERS} are allowed"
        raise ApiError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too large", detail)
    if "transfer-encoding" in headers and ("content-length" in headers or version == "1.0"):
        detail = "Transfer-Encoding can't be combined with Content-Length or HTTP/1.0: send only one of them"
        raise ApiError(HTTPStatus.BAD_REQUEST, "bad request", detail)


def check_content(headers: Headers) -> None:
    """Reject a compressed body, and a body that is not a form with files.

    No other type of form can contain a file, and parsing it blocks the event loop for 0.2 seconds per MiB.
    """
    encodings = headers.getlist("content-encoding")
    if any(encoding.strip().lower() != "identity" for encoding in encodings):
        detail = "Content-Encoding is not supported: send the body uncompressed, images are compressed already"
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported encoding", detail)
    media_type, parameters = parse_options_header(headers.get("content-type", ""))
    if media_type != b"multipart/form-data":
        detail = "the body is not a multipart/form-data form: with curl, use -F file=@face.jpg"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "no file", detail)
    charset = parameters.get(b"charset", b"utf-8")
    if charset.decode("latin-1").lower() not in _CHARSETS:
        detail = "the charset of the form is not supported: use UTF-8"
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported encoding", detail)


def check_form_end(headers: Headers, body: RequestBody) -> None:
    """Raise ApiError unless a form ends with its last boundary. Otherwise its last file may be missing."""
    _, parameters = parse_options_header(headers.get("content-type"))
    last_boundary = b"--" + parameters.get(b"boundary", b"") + b"--"
    if not body.end(len(last_boundary) + _MAX_AFTER_FORM).rstrip(b"\r\n \t").endswith(last_boundary):
        detail = "the form is incomplete: it does not end with its last boundary"
        raise ApiError(HTTPStatus.BAD_REQUEST, "bad request", detail)


def check_api_key(headers: Headers, key: str) -> None:
    """Reject a request that does not carry the key.

    Bytes are compared, because clients send a non-ASCII key in UTF-8 or in Latin-1.
    """
    received = _received_key(headers).encode("latin-1")
    if not any(hmac.compare_digest(received, encoded) for encoded in _encode_key(key)):
        detail = "the API key is missing or wrong: send it as X-API-Key"
        raise ApiError(HTTPStatus.UNAUTHORIZED, "no key", detail, {"WWW-Authenticate": "ApiKey"})


def check_origin(headers: Headers, allow_hosts: Collection[str]) -> None:
    """Reject requests from web pages of other sites. Browsers let a page post a form to any address.

    A page is our own if `Origin` and `Host` agree. This is not enough for a host name other than localhost: its owner
    can point it at this machine ("DNS rebinding"). Clients other than browsers send no `Origin`.
    """
    origin = headers.get("origin")
    if origin is None:
        return
    host_and_port = origin.partition("://")[2].lower()  # empty for "null", the origin of a local file or a sandbox
    name = _host_name(host_and_port)
    is_own = host_and_port == headers.get("host", "").lower() and _is_local_or_address(name)
    if name in allow_hosts or is_own:
        return
    detail = "web pages of this origin may not use the service: start it with --allow-host NAME, or with an API key"
    raise ApiError(HTTPStatus.FORBIDDEN, "other origin", detail)


def _received_key(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")


def _encode_key(key: str) -> list[bytes]:
    encoded = [key.encode("utf-8", "surrogateescape")]
    with suppress(UnicodeEncodeError):
        encoded.append(key.encode("latin-1"))
    return encoded


def _host_name(host_and_port: str) -> str:
    try:
        return urlsplit(f"//{host_and_port}").hostname or ""
    except ValueError:
        return ""


def _is_local_or_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True
