"""What a user may set that changes the numbers or the rows of a run."""

from __future__ import annotations

import enum
import math
import operator
from dataclasses import dataclass
from numbers import Real
from typing import Any

from democlass.errors import UsageError

MAX_BATCH = 2**14
"""Most images in one batch: 16,384; far more than any device is faster with."""

MAX_WORKERS = 1024
"""Most images that are decoded at once."""

MAX_PIXELS = 2**27
"""Pixels of an image, and of what resizing makes of it: room for a 108-megapixel photo; 512 MiB decoded."""

DECODE_TIMEOUT = 60.0
"""Seconds that decoding one image may take: many times what a 100-megapixel photo takes on a current processor."""


class Precision(str, enum.Enum):
    """The number format that the networks compute in; inputs, softmax and probabilities are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class Settings:
    """What changes the numbers or the rows of a run; a run's record holds them all.

    `batch_size` images go through the networks at once, always exactly so many: the last batch is padded. None takes
    what suits the device. `fast` trades a little exactness for speed: JPEGs are decoded no larger than needed, and
    `precision`, where it is None, is what the device computes quickest; else None is float32. `compile` has the
    networks compiled for this machine first. `min_confidence` is a probability, 0 to 1.

    Values of a wrong type or out of range raise UsageError. NumPy integers and floats are accepted and stored as
    Python's own.
    """

    device: str = "auto"
    precision: Precision | None = None
    batch_size: int | None = None
    fast: bool = False
    compile: bool = False
    ignore_exif: bool = False
    max_pixels: int = MAX_PIXELS
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        """Check every value. Raises UsageError."""
        if not isinstance(self.device, str):
            raise UsageError(f"device must be a name such as cpu or cuda:0, not {_named(self.device)}")
        for name in ("fast", "compile", "ignore_exif"):
            check_flag(name, getattr(self, name))
        checked: dict[str, Any] = {
            "max_pixels": check_integer("max_pixels", self.max_pixels, least=1),
            "min_confidence": _check_probability("min_confidence", self.min_confidence),
        }
        if self.precision is not None:
            checked["precision"] = parse_precision(self.precision)
        if self.batch_size is not None:
            checked["batch_size"] = check_integer("batch_size", self.batch_size, least=1, most=MAX_BATCH)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def check_integer(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """Return an integer of any type as an int; a bool is none. Raises UsageError, also where it is out of range."""
    allowed = f"an integer of {least} or more" + ("" if most is None else f", at most {most}")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be {allowed}, not {_named(value)}") from None
    if number < least or (most is not None and number > most):
        raise UsageError(f"{name} must be {allowed}, not {_named(number)}")
    return number


def check_flag(name: str, value: Any) -> None:
    """Raise UsageError where a value is neither True nor False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, not {_named(value)}")


def _check_probability(name: str, value: Any) -> float:
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:
        raise UsageError(f"{name} must be a number from 0 to 1, not {_named(value)}")
    return float(number)


def parse_precision(value: Any) -> Precision:
    """Return a precision given by its name. Raises UsageError."""
    try:
        return Precision(value)
    except ValueError:
        names = ", ".join(precision.value for precision in Precision)
        raise UsageError(f"precision must be one of {names}, not {_named(value)}") from None


def _named(value: Any) -> str:
    """Return a short text for a wrong value: the value itself where that is short and plain, else its type."""
    plain = isinstance(value, (str, bool, float)) or (isinstance(value, int) and abs(value) < 10**18)
    text = repr(value) if plain else ""
    return text if 0 < len(text) <= 60 else f"a value of type {type(value).__name__}"
