"""In float32 on the processor every probability is within 1e-4 of the reference, whatever the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import oracle
from democlass.classifier import Classifier
from democlass.results import Prediction

Make = Callable[[Image.Image], Image.Image]

SIZES = [(224, 224), (1, 1), (1, 300), (3000, 20), (20, 3000), (4032, 3024), (3024, 4032), (600, 800), (801, 599),
         (223, 500), (2371, 902), (1100, 2400), (3500, 1000)]  # fmt: skip

MODES: dict[str, tuple[Make, str, dict[str, Any]]] = {
    "grey": (lambda image: image.convert("L"), "png", {}),
    "grey with alpha": (lambda image: image.convert("LA"), "png", {}),
    "palette": (lambda image: image.quantize(64), "png", {}),
    "palette with transparency": (lambda image: image.quantize(64), "png", {"transparency": 3}),
    "RGBA": (lambda image: image.convert("RGBA"), "png", {}),
    "CMYK": (lambda image: image.convert("CMYK"), "jpg", {}),
    "1-bit": (lambda image: image.convert("1"), "png", {}),
    "TIFF": (lambda image: image, "tiff", {"compression": "tiff_lzw"}),
    "progressive": (lambda image: image, "jpg", {"progressive": True}),
    "WebP": (lambda image: image, "webp", {}),
    "BMP": (lambda image: image, "bmp", {}),
    "GIF": (lambda image: image, "gif", {}),
    "animated GIF": (lambda image: image, "gif", {"save_all": True, "append_images": [Image.new("RGB", (512, 512))]}),
    "JPEG 2000": (lambda image: image, "jp2", {}),
}


def probabilities(prediction: Prediction) -> list[float]:
    assert prediction.error is None, prediction.error
    return [p for outcome in prediction.outcomes.values() for p in outcome.probabilities.values()]


def assert_as_reference(classifier: Classifier, path: Path) -> None:
    (prediction,) = classifier.classify([path])
    with Image.open(path) as image:
        assert probabilities(prediction) == pytest.approx(oracle.probabilities(image), abs=1e-4)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_size(size: tuple[int, int], classifier: Classifier, portrait: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    portrait.resize(size).save(path, quality=92)
    assert_as_reference(classifier, path)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode: str, classifier: Classifier, portrait: Image.Image, tmp_path: Path) -> None:
    make, suffix, options = MODES[mode]
    path = tmp_path / f"image.{suffix}"
    make(portrait.resize((300, 401))).save(path, **options)
    assert_as_reference(classifier, path)


@pytest.mark.parametrize("name", ["astronaut.png", "grace_hopper.jpg"])
def test_real_portraits(name: str, classifier: Classifier) -> None:
    assert_as_reference(classifier, Path(__file__).parents[1] / "examples" / name)
