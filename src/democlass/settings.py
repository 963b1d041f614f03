"""The settings of a run that change its numbers or rows."""

from __future__ import annotations

import enum
import math
import operator
from dataclasses import dataclass
from numbers import Real
from typing import Any

from democlass.errors import UsageError

MAX_BATCH = 2**14
"""Maximum number of images in a batch: 16,384, far above the size at which devices stop getting faster."""

FACE_SIZE = 640
"""Default longest side in pixels of the reduced image in which faces are searched."""

MIN_FACE_SIZE, MAX_FACE_SIZE = 64, 1920
"""Allowed values of that side. Larger images need gigabytes of memory in the detector."""

MIN_FACE = 32
"""Default side in pixels of the smallest face that is classified."""

MAX_WORKERS = 1024
"""Maximum number of images decoded at the same time."""

MAX_PIXELS = 2**27
"""Default limit on the pixels of an image, before and after resizing: enough for 108-megapixel photos, 512 MiB."""

DECODE_TIMEOUT = 60.0
"""Default time limit in seconds for decoding one image, many times what a 100-megapixel photo needs."""


class Precision(str, enum.Enum):
    """The number format of the networks. Inputs, softmax and probabilities are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class Settings:
    """The settings that change the numbers or rows of a run. The run record stores all of them.

    `batch_size` is the exact number of images in each batch; the last batch is padded. None selects a size that suits
    the device. `fast` trades a little accuracy for speed: JPEGs are decoded at a reduced scale if they are large, and
    `precision` None selects the fastest format of the device. Without `fast`, `precision` None is float32. `compile`
    compiles the networks for this machine first. `max_pixels` limits the pixels of an image. `min_confidence` is a
    probability from 0 to 1.

    With `faces`, faces are searched in each image, reduced to `face_size` pixels at its longest side, and classified;
    not those smaller than `min_face` pixels, and with `largest` only the largest.

    Values of a wrong type or out of range raise UsageError. NumPy integers and floats are accepted and stored as
    Python integers and floats.
    """

    device: str = "auto"
    precision: Precision | None = None
    batch_size: int | None = None
    fast: bool = False
    compile: bool = False
    ignore_exif: bool = False
    max_pixels: int = MAX_PIXELS
    min_confidence: float = 0.0
    faces: bool = False
    face_size: int = FACE_SIZE
    min_face: int = MIN_FACE
    largest: bool = False

    def __post_init__(self) -> None:
        """Check every value. Raises UsageError."""
        if not isinstance(self.device, str):
            raise UsageError(f"device must be a name such as cpu or cuda:0, not {_describe(self.device)}")
        for name in ("fast", "compile", "ignore_exif", "faces", "largest"):
            check_flag(name, getattr(self, name))
        checked: dict[str, Any] = {
            "max_pixels": check_integer("max_pixels", self.max_pixels, minimum=1),
            "face_size": check_integer("face_size", self.face_size, minimum=MIN_FACE_SIZE, maximum=MAX_FACE_SIZE),
            "min_face": check_integer("min_face", self.min_face, minimum=1),
            "min_confidence": _check_probability("min_confidence", self.min_confidence),
        }
        if self.precision is not None:
            checked["precision"] = parse_precision(self.precision)
        if self.batch_size is not None:
            checked["batch_size"] = check_integer("batch_size", self.batch_size, minimum=1, maximum=MAX_BATCH)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def check_integer(name: str, value: Any, *, minimum: int, maximum: int | None = None) -> int:
    """Return an integer of any type as an int. Raises UsageError if it is no integer, a bool, or out of range."""
    allowed = f"an integer of {minimum} or more" + ("" if maximum is None else f", at most {maximum}")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be {allowed}, not {_describe(value)}") from None
    if number < minimum or (maximum is not None and number > maximum):
        raise UsageError(f"{name} must be {allowed}, not {_describe(number)}")
    return number


def check_flag(name: str, value: Any) -> None:
    """Raise UsageError unless the value is True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, not {_describe(value)}")


def check_number(name: str, value: Any) -> float:
    """Return a real number of any type as a float. Raises UsageError if it is none, or a bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{name} must be a number, not {_describe(value)}")
    return float(value)


def _check_probability(name: str, value: Any) -> float:
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:
        raise UsageError(f"{name} must be a number from 0 to 1, not {_describe(value)}")
    return float(number)


def parse_precision(value: Any) -> Precision:
    """Return the precision of that name. Raises UsageError."""
    try:
        return Precision(value)
    except ValueError:
        names = ", ".join(precision.value for precision in Precision)
        raise UsageError(f"precision must be one of {names}, not {_describe(value)}") from None


def _describe(value: Any) -> str:
    """Return a short text for a wrong value: the value itself if it is short and plain, else its type."""
    plain = isinstance(value, (str, bool, float)) or (isinstance(value, int) and abs(value) < 10**18)
    text = repr(value) if plain else ""
    return text if 0 < len(text) <= 60 else f"a value of type {type(value).__name__}"
