"""In float32 on the CPU, every probability is within 1e-4 of the reference, for images of all sizes and modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import oracle
from conftest import EXAMPLES
from democlass.classifier import Classifier
from democlass.results import Prediction

pytestmark = pytest.mark.slow

Convert = Callable[[Image.Image], Image.Image]

SIZES = [(224, 224), (1, 1), (1, 300), (3000, 20), (20, 3000), (4032, 3024), (3024, 4032), (600, 800), (801, 599),
         (223, 500), (2371, 902), (1100, 2400), (3500, 1000)]  # fmt: skip

MODES: dict[str, tuple[Convert, str, dict[str, Any]]] = {
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

PORTRAITS = ["astronaut.png", "grace_hopper.jpg"]

CASES = [*(f"{width}x{height}" for width, height in SIZES), *MODES, *PORTRAITS]


@pytest.fixture(scope="module")
def paths(portrait: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The image file of each case."""
    folder = tmp_path_factory.mktemp("exactness")
    files = {name: EXAMPLES / name for name in PORTRAITS}
    for width, height in SIZES:
        name = f"{width}x{height}"
        files[name] = folder / f"{name}.jpg"
        portrait.resize((width, height)).save(files[name], quality=92)
    for name, (convert, suffix, options) in MODES.items():
        files[name] = folder / f"{name}.{suffix}"
        convert(portrait.resize((300, 401))).save(files[name], **options)
    return files


@pytest.fixture(scope="module")
def predictions(classifier: Classifier, paths: Mapping[str, Path]) -> Mapping[str, Prediction]:
    """The prediction of each case, all from one run."""
    return dict(zip(CASES, classifier.classify([paths[case] for case in CASES]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_probabilities_are_those_of_the_reference(
    case: str, predictions: Mapping[str, Prediction], paths: Mapping[str, Path]
) -> None:
    prediction = predictions[case]
    assert prediction.error is None, prediction.error
    probabilities = [p for outcome in prediction.outcomes.values() for p in outcome.probabilities.values()]
    with Image.open(paths[case]) as image:
        assert probabilities == pytest.approx(oracle.probabilities(image), abs=1e-4)
