"""Collections to measure with, made from the two portraits in examples/."""

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


def make(folder: Path, counts: dict[str, int]) -> dict[str, list[Path]]:
    """Write JPEG collections of one size each, and a mixed one; return their paths by name."""
    portraits = [Image.open(EXAMPLES / name).convert("RGB") for name in ("astronaut.png", "grace_hopper.jpg")]
    chance = random.Random(0)  # noqa: S311 (pictures, not secrets)
    found = {}
    for name, size in SIZES.items():
        found[name] = [_save(folder / f"{name}-{n}.jpg", portraits, size, chance) for n in range(counts.get(name, 0))]
    suffixes = ("jpg", "jpg", "jpg", "png", "webp")
    sizes = ((224, 224), (640, 480), (1920, 1080), (1080, 1920))
    found["mixed"] = [
        _save(folder / f"mixed-{n}.{suffixes[n % 5]}", portraits, sizes[n % 4], chance)
        for n in range(counts.get("mixed", 0))
    ]
    return found


def _save(path: Path, portraits: list[Image.Image], size: tuple[int, int], chance: random.Random) -> Path:
    portrait = chance.choice(portraits)
    left, top = chance.randrange(120), chance.randrange(120)
    image = portrait.crop((left, top, left + 380, top + 380)).resize(size, Image.Resampling.BICUBIC)
    # An enlarged picture is smoother, and quicker to decode, than a camera's: some grain makes up for it.
    grain = np.random.default_rng(left).normal(0, 4, (size[1], size[0], 1))
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path
