"""The API key of a request. The other checks are tested with real requests in test_serve_requests.py."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from democlass.serve.errors import ApiError
from democlass.serve.request_checks import check_api_key

KEY = "correct horse bättery staple"


def create_headers(name: str, value: bytes) -> Headers:
    return Headers(raw=[(name.encode(), value)])


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(("name", "value"), [("x-api-key", KEY), ("authorization", f"Bearer {KEY}")])
def test_the_key_is_accepted_in_two_headers_and_encodings(name: str, value: str, encoding: str) -> None:
    check_api_key(create_headers(name, value.encode(encoding)), KEY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-other", KEY),
        ("x-api-key", "wrong"),
        ("x-api-key", f"{KEY}x"),
        ("x-api-key", "?" * len(KEY)),
        ("authorization", f"Basic {KEY}"),
    ],
)
def test_a_missing_or_wrong_key_is_rejected(name: str, value: str) -> None:
    with pytest.raises(ApiError) as error:
        check_api_key(create_headers(name, value.encode()), KEY)
    assert (error.value.status_code, error.value.kind) == (401, "no key")
