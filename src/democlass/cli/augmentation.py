"""The options of `classify train` that change the training images at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer


def _option(help_text: str) -> Any:
    return typer.Option(help=help_text, metavar="NUMBER", rich_help_panel="Augmentation")


@dataclass(frozen=True)
class AugmentationOptions:
    """How much the training images are changed. Each number is 0 for "off"."""

    crop: Annotated[float, _option("Largest share of the side that a crop removes.")] = 0.15
    zoom_out: Annotated[
        float,
        _option("Largest share of the side added around the image: its own edge pixels, or a part of another image."),
    ] = 0.1
    shift: Annotated[float, _option("Largest shift, as a share of the side.")] = 0.04
    rotation: Annotated[float, _option("Largest rotation, in degrees.")] = 5.0
    colour: Annotated[float, _option("Largest change of brightness, contrast and saturation, as a share.")] = 0.2
    blur: Annotated[float, _option("Probability that an image is blurred.")] = 0.1
    jpeg: Annotated[float, _option("Probability that an image gets JPEG artefacts.")] = 0.1
    erase: Annotated[float, _option("Probability that a rectangle of an image is erased.")] = 0.0
    mixup: Annotated[float, _option("Mix pairs of images and labels (mixup): the parameter of its distribution.")] = 0.0
    cutmix: Annotated[
        float, _option("Paste a rectangle of another image and mix the labels (CutMix): the parameter.")
    ] = 0.0
