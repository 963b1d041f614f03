"""Compact lists of names and multisets of digests."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from democlass.inputs.compact import DIGEST_SIZE, DigestCounter, NameList, Replacements

NAMES = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)
# Few different digests, so that many occur more than once. Some end with NUL bytes, which numpy strips from strings.
DIGESTS = st.sampled_from(
    [first + b"\0" * (DIGEST_SIZE - 1) for first in (b"\0", b"a", b"b")]
    + [b"\0" * (DIGEST_SIZE - 1) + last for last in (b"a", b"b")]
)


@given(st.lists(NAMES))
def test_list_yields_its_names_in_order(names: list[str]) -> None:
    compact = NameList(names)
    assert list(compact) == names and len(compact) == len(names)


def test_list_of_many_names() -> None:
    names = [f"photos/{number:06}.jpg" for number in range(50_000)]
    compact = NameList(names)
    assert list(compact) == names == list(compact)


@given(st.lists(DIGESTS, max_size=12), st.lists(DIGESTS, max_size=24))
def test_each_digest_can_be_removed_as_often_as_it_was_added(added: list[bytes], removed: list[bytes]) -> None:
    counter, expected = DigestCounter(), Counter(added)
    for digest in added:
        counter.add(digest)
    assert len(counter) == len(added)
    for digest in removed:
        assert counter.remove(digest) == (expected[digest] > 0)
        expected[digest] -= 1


@given(st.lists(st.integers(0, 9)))
def test_last_replacement_of_a_row_counts(rows: list[int]) -> None:
    replacements = Replacements()
    for position, row in enumerate(rows):
        replacements.add(row, position)
    assert list(replacements.sorted_by_row()) == sorted({row: position for position, row in enumerate(rows)}.items())
