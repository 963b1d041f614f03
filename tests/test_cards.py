"""Cards of checkpoints: any content becomes plain values that JSON can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from democlass.networks.cards import MAX_DEPTH, MAX_SIZE, CardError, plain_card


def test_plain_values_are_unchanged() -> None:
    card = {"text": "a", "number": 1, "share": 0.5, "yes": True, "none": None, "list": [1, [2]], "dict": {"a": {}}}
    assert plain_card(card) == card


def test_values_that_json_lacks_become_text() -> None:
    card = {
        "nan": float("nan"),
        "infinite": float("-inf"),
        "long": 10**9000,
        "tensor": torch.zeros(1000, 1000),
        "bytes": b"\xff",
        "set": {1},
        "tuple": (1, 2),
        "size": torch.Size([3]),
        7: "number",
        None: "none",
        (1, 2): "tuple",
        10**9000: "long",
    }
    plain = plain_card(card)
    assert plain == {
        "nan": "nan",
        "infinite": "-inf",
        "long": "(int)",
        "tensor": "(Tensor)",
        "bytes": "(bytes)",
        "set": "(set)",
        "tuple": [1, 2],
        "size": [3],
        "7": "number",
        "None": "none",
        "(tuple)": "tuple",
        "(int)": "long",
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def nested(depth: int) -> dict[str, Any]:
    card: dict[str, Any] = {}
    for _ in range(depth):
        card = {"in": card}
    return card


def cyclic() -> dict[str, Any]:
    card: dict[str, Any] = {}
    card["self"] = card
    return card


def expanding() -> dict[str, Any]:
    """Return a small object that becomes 2^14 lists of 2^14 texts in JSON."""
    inner: list[Any] = ["x"]
    for _ in range(14):
        inner = [inner, inner]
    return {"a": [inner] * 2**14}


@pytest.mark.parametrize(
    "card",
    [nested(MAX_DEPTH + 1), nested(100_000), cyclic(), expanding(), {"a": "x" * MAX_SIZE}, {"x" * MAX_SIZE: 1},
     {"a": [0] * MAX_SIZE}],
    ids=["deep", "very deep", "cyclic", "expanding", "text", "key", "list"],
)  # fmt: skip
def test_cards_that_are_too_deep_or_too_large_are_refused(card: dict[str, Any]) -> None:
    with pytest.raises(CardError):
        plain_card(card)


def test_a_card_of_the_maximum_depth_is_unchanged() -> None:
    assert plain_card(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
