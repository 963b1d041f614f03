"""File names are data from strangers."""

from __future__ import annotations

import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from democlass.names import escape_in_json, original, readable, visible

FILE_NAMES = st.binary(min_size=1).map(os.fsdecode)
ACTS_ON_A_TERMINAL = {"Cc", "Zl", "Zp", "Cs"}


def test_utf_8_stays_as_it_is() -> None:
    assert readable("Zoë 😀 \n.jpg") == ("Zoë 😀 \n.jpg", None)


def test_bytes_that_are_no_utf_8_read_as_escapes_and_keep_their_raw_bytes() -> None:
    assert readable(os.fsdecode(b"caf\xe9.jpg")) == ("caf\\xe9.jpg", b"caf\xe9.jpg".hex())


@given(FILE_NAMES)
def test_no_name_is_lost(name: str) -> None:
    assert original(*readable(name)) == name


@given(FILE_NAMES)
def test_what_is_written_is_valid_utf_8(name: str) -> None:
    readable(name)[0].encode()


@given(st.text(alphabet=st.characters()))
def test_visible_text_acts_on_no_terminal(text: str) -> None:
    assert not {unicodedata.category(character) for character in visible(text)} & ACTS_ON_A_TERMINAL


@pytest.mark.parametrize("character", ["\x1b", "\n", "\x7f", "\x9b", "\u202e", "\u2066"])
def test_escape_codes_and_turned_text_are_written_out(character: str) -> None:
    assert character not in visible(f"a{character}b")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_keeps_its_meaning_when_it_is_escaped(text: str) -> None:
    escaped = escape_in_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(escaped) == text
    assert visible(escaped) == escaped
