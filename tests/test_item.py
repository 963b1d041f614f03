"""Items, and lists of them in little memory."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from democlass.inputs.item import Item, ItemList

NAMES = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)
ITEMS = NAMES.map(Item.of) | st.builds(Item, NAMES | st.none(), st.binary())


def test_a_path_is_its_own_name_and_an_image_in_memory_has_none() -> None:
    assert Item.of("a.jpg") == Item("a.jpg", "a.jpg")
    assert Item.of(Path("b") / "a.jpg").name == "b/a.jpg"
    assert Item.of(b"content") == Item(None, b"content")
    assert Item.of(Item("-", b"content")) == Item("-", b"content")


@given(st.lists(ITEMS))
def test_a_list_gives_back_its_items_in_order(items: list[Item]) -> None:
    compact = ItemList(items)
    assert len(compact) == len(items)
    assert list(compact) == items
    assert list(compact) == items
