"""Augmentation: random framing, colours, blur, erased rectangles and mixed images; a seed determines all of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from democlass.errors import UsageError
from democlass.train.framing import frame
from democlass.train.mixing import Mix, mix
from democlass.train.pixel_changes import blur, erase, jitter_colours

_LIMITS = {
    "crop": 0.9,
    "zoom_out": 2.0,
    "shift": 0.5,
    "rotation": 45.0,
    "colour": 1.0,
    "blur": 1.0,
    "jpeg": 1.0,
    "erase": 1.0,
    "mixup": 8.0,
    "cutmix": 8.0,
}


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random. Every number is 0 for "off".

    `crop` is the largest share of the side that a crop removes, `zoom_out` the largest share of the side that is added
    around the image, `shift` the largest shift in sides, `rotation` the largest angle in degrees. `colour` is the
    largest change of brightness, contrast and saturation. `blur`, `jpeg` and `erase` are the probabilities of a
    Gaussian blur, of a lossy JPEG copy, and of an erased rectangle. `mixup` and `cutmix` are the parameter of the beta
    distribution of the share of the second image; with both, each batch uses one of them.
    """

    crop: float = 0.15
    zoom_out: float = 0.1
    shift: float = 0.04
    rotation: float = 5.0
    colour: float = 0.2
    blur: float = 0.1
    jpeg: float = 0.1
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError if a number is out of its range or NaN."""
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:  # also true for NaN
                raise UsageError(f"--{name.replace('_', '-')} {value}: it must be 0 to {limit:g}")


def augment(images: torch.Tensor, size: int, settings: Augmentation, seed: int) -> tuple[torch.Tensor, Mix | None]:
    """Augment normalised images, float32 N x 3 x H x W, on their device; return images of size x size pixels.

    The second result says which images are mixed; it is None if none are. All random numbers are drawn on the CPU, so
    that they are the same for each device.
    """
    random = torch.Generator().manual_seed(seed)
    images = frame(images, size, settings, random)
    images = jitter_colours(images, settings.colour, random)
    images = blur(images, settings.blur, random)
    images = erase(images, settings.erase, random)
    if not (settings.mixup or settings.cutmix):
        return images, None
    return mix(images, settings.mixup, settings.cutmix, random)
