"""Images for the benchmarks, made from the two portraits in examples/."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZES = {
    "224x224": (224, 224),
    "640x480": (640, 480),
    "12 megapixels": (4032, 3024),
    "12 megapixels, upright": (3024, 4032),
}


def make_image_sets(folder: Path, counts: dict[str, int]) -> dict[str, list[Path]]:
    """Write one set of JPEGs per size, and a mixed set. Return the paths by the name of the set."""
    portraits = [Image.open(EXAMPLES / name).convert("RGB") for name in ("astronaut.png", "grace_hopper.jpg")]
    generator = random.Random(0)  # noqa: S311 (not for cryptography)
    paths = {}
    for name, size in SIZES.items():
        count = counts.get(name, 0)
        paths[name] = [_save(folder / f"{name}-{n}.jpg", portraits, size, generator) for n in range(count)]
    suffixes = ("jpg", "jpg", "jpg", "png", "webp")
    sizes = ((224, 224), (640, 480), (1920, 1080), (1080, 1920))
    paths["mixed"] = [
        _save(folder / f"mixed-{n}.{suffixes[n % 5]}", portraits, sizes[n % 4], generator)
        for n in range(counts.get("mixed", 0))
    ]
    return paths


def make_photos(folder: Path, count: int) -> list[Path]:
    """Write photos of 1 to 3 megapixels, each with one face of about a quarter of its height, and return the paths."""
    backgrounds = [Image.open(EXAMPLES / "coffee.jpg").convert("RGB")]
    portraits = [Image.open(EXAMPLES / name).convert("RGB") for name in ("astronaut.png", "grace_hopper.jpg")]
    faces = [portraits[0].crop((124, 18, 324, 218)), portraits[1].crop((110, 60, 430, 380))]
    sizes = ((1200, 900), (1600, 1200), (2000, 1500))
    generator = random.Random(0)  # noqa: S311 (not for cryptography)
    paths = []
    for number in range(count):
        size = sizes[number % len(sizes)]
        photo = backgrounds[0].resize(size, Image.Resampling.BICUBIC)
        side = round(size[1] * generator.uniform(0.3, 0.5))
        face = faces[number % len(faces)].resize((side, side), Image.Resampling.LANCZOS)
        photo.paste(face, (generator.randrange(size[0] - side), generator.randrange(size[1] - side)))
        noise = np.random.default_rng(number).normal(0, 4, (size[1], size[0], 1))
        paths.append(folder / f"photo-{number}.jpg")
        Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def _save(path: Path, portraits: list[Image.Image], size: tuple[int, int], generator: random.Random) -> Path:
    portrait = generator.choice(portraits)
    left, top = generator.randrange(120), generator.randrange(120)
    image = portrait.crop((left, top, left + 380, top + 380)).resize(size, Image.Resampling.BICUBIC)
    # An enlarged image is smoother than a photo and decodes faster. Noise compensates for that.
    noise = np.random.default_rng(left).normal(0, 4, (size[1], size[0], 1))
    pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path
