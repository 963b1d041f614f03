"""What a user may set that changes the numbers or the rows of a run."""

from __future__ import annotations

import enum
from dataclasses import dataclass

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
    networks compiled for this machine first.
    """

    device: str = "auto"
    precision: Precision | None = None
    batch_size: int | None = None
    fast: bool = False
    compile: bool = False
    ignore_exif: bool = False
    max_pixels: int = MAX_PIXELS
    min_confidence: float = 0.0
