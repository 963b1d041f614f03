"""Cards: what the maker of a checkpoint says of it. A card comes with a file, so it may hold anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 16
"""Levels of dicts and lists inside each other."""

MAX_SIZE = 2**20
"""Characters of all texts together, each value counted as `_VALUE` characters more."""

_VALUE = 16
_MAX_BITS = 64


class CardError(ValueError):
    """A card is nested too deeply, or too large."""


def plain_card(card: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a card as JSON can hold it: dicts with text keys, lists, text, numbers, True, False and None.

    Numbers that JSON lacks (NaN, infinity) become text. Any other value becomes the name of its type in parentheses,
    as in "(Tensor)". Raises CardError where the card has more than MAX_DEPTH levels or is larger than MAX_SIZE; a card
    that contains itself is both.
    """
    copied: dict[str, Any] = _Copy().of(card, MAX_DEPTH)
    return copied


class _Copy:
    """Copies one card and counts its size."""

    def __init__(self) -> None:
        self.room = MAX_SIZE

    def of(self, value: Any, depth: int) -> Any:
        if depth < 0:
            raise CardError(f"more than {MAX_DEPTH} levels")
        self._count(_VALUE + (len(value) if isinstance(value, str) else 0))
        if isinstance(value, Mapping):
            return {self._key(key): self.of(each, depth - 1) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(each, depth - 1) for each in value]
        return _plain_value(value)

    def _key(self, key: Any) -> str:
        text = str(_plain_value(key))
        self._count(len(text))
        return text

    def _count(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise CardError("too large")


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return f"({type(value).__name__})"
