"""Photos with face crops at known places, for `faces.py`."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from democlass.inputs.labels import Example

SIZES = (40, 60, 80, 120, 200, 320)
"""Side in pixels of a pasted crop. The crops show a little more than the face."""

PHOTO = (1200, 900)
FACES_PER_PHOTO = 3

_MARGIN = 0.2  # of the side: in it, the crop's mirrored edge fades into the background
_BORDER = 0.3, 0.45  # of the side: from the centre to the border, so that 5 to 20 % of the crop are outside
_QUALITY = 95  # of JPEG
_EXIF_ORIENTATION = 0x0112
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright photo is turned before it is saved with that EXIF orientation."""


@dataclass(frozen=True)
class Pasted:
    """A face crop in a photo: its labels, centre and side in pixels of the upright photo, and rotation in degrees.

    `patch` is the same crop alone, upright, at the same size and JPEG quality.
    """

    photo: Path
    patch: Path
    labels: dict[str, str]
    x: float
    y: float
    side: int
    rotation: float


def compose(
    examples: Sequence[Example],
    backgrounds: Sequence[Image.Image],
    folder: Path,
    *,
    rotations: Sequence[float],
    seed: int,
    at_border: bool = False,
) -> Iterator[Pasted]:
    """Paste every example into a photo, FACES_PER_PHOTO to a photo, and yield where it is.

    Each rotation is drawn from `rotations`, plus up to 8 degrees to either side. Backgrounds are plain, noisy and real
    in turn, EXIF orientations 1 to 8. With `at_border`, each crop is cut off at one border of the photo.
    """
    generator = random.Random(seed)  # noqa: S311 (not for cryptography)
    shuffled = generator.sample(list(examples), len(examples))
    for number in range(0, len(shuffled), FACES_PER_PHOTO):
        photo = background(backgrounds, number // FACES_PER_PHOTO, generator)
        path = folder / f"{number:05}.jpg"
        for column, example in enumerate(shuffled[number : number + FACES_PER_PHOTO]):
            side = generator.choice(SIZES)
            rotation = generator.choice(rotations) + generator.uniform(-8, 8)
            x, y = _place_inside(column, side, generator)
            if at_border:
                x, y = _move_to_border(x, y, column, side, generator)
            with Image.open(example.path) as image:
                crop = image.convert("RGB")
            paste(photo, crop, side, x, y, rotation)
            patch_path = folder / f"{number:05}-{column}.jpg"
            crop.resize((side, side), Image.Resampling.LANCZOS).save(patch_path, quality=_QUALITY)
            yield Pasted(path, patch_path, dict(example.labels), x, y, side, rotation)
        _save(photo, path, orientation=1 + number // FACES_PER_PHOTO % 8)


def _place_inside(column: int, side: int, generator: random.Random) -> tuple[float, float]:
    """Return the centre of a crop in a column of the photo, x and y; the whole crop is in the photo."""
    reach = math.ceil(side * 0.72)
    width = PHOTO[0] // FACES_PER_PHOTO
    x = column * width + generator.uniform(min(reach, width / 2), max(width - reach, width / 2))
    return x, generator.uniform(reach, PHOTO[1] - reach)


def _move_to_border(x: float, y: float, column: int, side: int, generator: random.Random) -> tuple[float, float]:
    """Return a centre at which a part of the crop is outside: in the outer columns to the side, else above or below."""
    distance = side * generator.uniform(*_BORDER)
    if column == 0:
        return distance, y
    if column == FACES_PER_PHOTO - 1:
        return PHOTO[0] - distance, y
    return x, generator.choice((distance, PHOTO[1] - distance))


def background(real: Sequence[Image.Image], number: int, generator: random.Random) -> Image.Image:
    """Return a background of PHOTO's size: plain, noisy, or a part of a real photo."""
    kind = number % 3
    if kind == 2 and real:
        return _part(real[number // 3 % len(real)], generator)
    colour = np.array([generator.randrange(40, 220) for _ in range(3)])
    noise = np.random.default_rng(number).normal(0, 25 * kind, (PHOTO[1], PHOTO[0], 3))
    return Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8))


def paste(photo: Image.Image, crop: Image.Image, side: int, x: float, y: float, rotation: float) -> None:
    """Paste a face crop with a side of `side` pixels and its centre at (x, y), turned clockwise.

    Around the crop, its own mirrored edge fades into the background, because a face in a photo has no frame around it.
    It is turned at twice its size and then reduced, so that turning does not blur it.
    """
    double, margin = 2 * side, round(2 * side * _MARGIN)
    pixels = np.asarray(crop.resize((double, double), Image.Resampling.LANCZOS))
    enlarged = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), "symmetric"))
    mask = Image.new("L", enlarged.size, 0)
    mask.paste(255, (margin // 2, margin // 2, enlarged.width - margin // 2, enlarged.height - margin // 2))
    mask = mask.filter(ImageFilter.GaussianBlur(margin / 6))
    reach = math.ceil(side * (0.5 + _MARGIN) * math.sqrt(2)) + 2
    left, top = round(x) - reach, round(y) - reach
    angle = math.radians(rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    centre, centre_x, centre_y = enlarged.width / 2, 2 * (x - left), 2 * (y - top)
    matrix = (cos, sin, centre - cos * centre_x - sin * centre_y, -sin, cos, centre + sin * centre_x - cos * centre_y)
    turned, turned_mask = (
        each.transform((4 * reach, 4 * reach), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC).reduce(2)
        for each in (enlarged, mask)
    )
    photo.paste(turned, (left, top), turned_mask)


def _part(photo: Image.Image, generator: random.Random) -> Image.Image:
    scale = max(PHOTO[0] / photo.width, PHOTO[1] / photo.height) * generator.uniform(1, 1.3)
    resized = photo.resize((math.ceil(photo.width * scale), math.ceil(photo.height * scale)))
    left = generator.randint(0, resized.width - PHOTO[0])
    top = generator.randint(0, resized.height - PHOTO[1])
    return resized.crop((left, top, left + PHOTO[0], top + PHOTO[1]))


def _save(photo: Image.Image, path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    stored = photo if orientation == 1 else photo.transpose(_STORED[orientation])
    stored.save(path, quality=_QUALITY, exif=exif)
