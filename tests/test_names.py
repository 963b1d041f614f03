"""File names are untrusted input."""

from __future__ import annotations

import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from democlass.names import decode_name, encode_name, escape_in_json, to_printable

FILE_NAMES = st.binary(min_size=1).map(os.fsdecode)
TERMINAL_CONTROL_CATEGORIES = {"Cc", "Zl", "Zp", "Cs"}


def test_utf_8_names_are_unchanged() -> None:
    assert encode_name("Zoë 😀 \n.jpg") == ("Zoë 😀 \n.jpg", None)


def test_names_that_are_not_utf_8_have_escapes_and_raw_bytes() -> None:
    assert encode_name(os.fsdecode(b"caf\xe9.jpg")) == ("caf\\xe9.jpg", b"caf\xe9.jpg".hex())


@given(FILE_NAMES)
def test_decode_name_reverses_encode_name(name: str) -> None:
    assert decode_name(*encode_name(name)) == name


@given(FILE_NAMES)
def test_encoded_names_are_valid_utf_8(name: str) -> None:
    encode_name(name)[0].encode()


@given(st.text(alphabet=st.characters()))
def test_printable_text_has_no_terminal_controls(text: str) -> None:
    assert not {unicodedata.category(character) for character in to_printable(text)} & TERMINAL_CONTROL_CATEGORIES


@pytest.mark.parametrize("character", ["\x1b", "\n", "\x7f", "\x9b", "\u202e", "\u2066"])
def test_controls_and_direction_marks_are_escaped(character: str) -> None:
    assert character not in to_printable(f"a{character}b")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_escaped_json_has_the_same_meaning(text: str) -> None:
    escaped = escape_in_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(escaped) == text
    assert to_printable(escaped) == escaped
