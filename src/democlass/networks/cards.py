"""Model cards: what the author of a checkpoint says about it. A card is untrusted input and may hold anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 16
"""Maximum levels of nested dicts and lists."""

MAX_SIZE = 2**20
"""Maximum size: the characters of all texts, plus `_VALUE_SIZE` for each value."""

_VALUE_SIZE = 16
_MAX_BITS = 64


class CardError(ValueError):
    """A card is nested too deeply, or too large."""


def plain_card(card: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a copy of a card in JSON values: dicts with text keys, lists, text, numbers, True, False and None.

    Numbers that JSON lacks (NaN, infinity) become text. Any other value becomes the name of its type in parentheses,
    for example "(Tensor)". Raises CardError if the card has more than MAX_DEPTH levels or is larger than MAX_SIZE. A
    card that contains itself exceeds both.
    """
    copied: dict[str, Any] = _CardCopier().copy(card, MAX_DEPTH)
    return copied


def confusion_of_card(card: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the confusion matrix of a card as JSON values: of its evaluation, else of its training; None without one.

    A card is untrusted: a matrix that is none is left out.
    """
    for name in ("evaluation", "choose"):
        section = card.get(name)
        if isinstance(section, Mapping) and is_confusion(section.get("confusion"), len(labels)):
            fallback = card.get("chosen on", "") if name == "choose" else ""
            return {"matrix": section["confusion"], "data": str(section.get("data", fallback))[:200]}
    return None


def is_confusion(value: object, size: int) -> bool:
    """Return whether a value is a matrix of counts, `size` lists of `size` numbers."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == size
        and all(
            isinstance(row, (list, tuple))
            and len(row) == size
            and all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**53 for count in row)
            for row in value
        )
    )


class _CardCopier:
    """Copies one card and counts its size."""

    def __init__(self) -> None:
        self._remaining_size = MAX_SIZE

    def copy(self, value: Any, depth: int) -> Any:
        """Return a copy of a value that may have `depth` more levels. Raises CardError."""
        if depth < 0:
            raise CardError(f"more than {MAX_DEPTH} levels")
        self._count(_VALUE_SIZE + (len(value) if isinstance(value, str) else 0))
        if isinstance(value, Mapping):
            return {self._copy_key(key): self.copy(each, depth - 1) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.copy(each, depth - 1) for each in value]
        return _plain_value(value)

    def _copy_key(self, key: Any) -> str:
        text = str(_plain_value(key))
        self._count(len(text))
        return text

    def _count(self, size: int) -> None:
        self._remaining_size -= size
        if self._remaining_size < 0:
            raise CardError("too large")


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return f"({type(value).__name__})"
