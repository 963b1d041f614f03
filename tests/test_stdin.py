"""Names of images on standard input."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from democlass.errors import UsageError
from democlass.inputs.stdin import read_names


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name)))
def test_nul_terminated_names_are_read_byte_for_byte(names: list[bytes]) -> None:
    stream = io.BytesIO(b"".join(name + b"\0" for name in names))
    assert [os.fsencode(name) for name in read_names(stream, null=True)] == names


def test_last_line_may_lack_a_line_feed() -> None:
    assert list(read_names(io.BytesIO(b"a b.jpg\n\n-c.jpg\nd.jpg"))) == ["a b.jpg", "-c.jpg", "d.jpg"]


def test_lines_may_end_like_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.jpg\r").touch()
    assert list(read_names(io.BytesIO(b"a.jpg\r\nodd.jpg\r\n"))) == ["a.jpg", "odd.jpg\r"]


def test_error_for_nul_bytes_suggests_an_option() -> None:
    with pytest.raises(UsageError, match="--null"):
        list(read_names(io.BytesIO(b"a.jpg\0b.jpg\0")))


def test_names_are_yielded_before_the_list_ends() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as producer:
        producer.write(b"first.jpg\n")
        assert next(read_names(stream)) == "first.jpg"
