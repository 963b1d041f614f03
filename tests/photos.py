"""Photos with faces, composed from the portraits in examples/."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from conftest import EXAMPLES

_FACES = {"astronaut.png": (124, 18, 324, 218), "grace_hopper.jpg": (110, 60, 430, 380)}
"""A square around the face of each portrait: left, top, right, bottom."""


def background(width: int, height: int) -> Image.Image:
    """Return a photo without a face: soft noise."""
    pixels = np.random.default_rng(0).integers(90, 150, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def portrait(name: str = "astronaut.png") -> Image.Image:
    """Return the surroundings of the face in an example."""
    with Image.open(EXAMPLES / name) as image:
        return image.convert("RGB").crop(_FACES[name])


def group(sides: Sequence[int], *, size: tuple[int, int] = (1200, 500)) -> Image.Image:
    """Return a photo with a face from left to right for each of `sides`, the pixels of its surroundings."""
    photo = background(*size)
    names = list(_FACES)
    step = size[0] // max(1, len(sides))
    for number, side in enumerate(sides):
        face = portrait(names[number % len(names)]).resize((side, side), Image.Resampling.LANCZOS)
        photo.paste(face, (number * step + (step - side) // 2, (size[1] - side) // 2))
    return photo
