"""Images with more than 8 bits per channel: scaled if their range of values is known, else refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from democlass.classifier import Classifier
from democlass.errors import ImageError
from democlass.images import depth
from democlass.images.decode import read

LITTLE, BIG = "<", ">"
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
RAW, DEFLATE = 1, 8

RAMP = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
RAMP_8_BIT = [round(255 * step / 11) for step in range(12)]


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def tiff(
    values: NDArray[Any] | bytes,
    size: tuple[int, int],
    bits: int,
    kind: int,
    *,
    photometric: int = BLACK_IS_ZERO,
    order: str = LITTLE,
    compression: int = RAW,
    samples: int = 1,
) -> bytes:
    """Return a TIFF with one strip. Pillow can't write all of these."""
    if not isinstance(values, bytes):
        values = (values.byteswap() if order == BIG else values).tobytes()
    data = zlib.compress(values) if compression == DEFLATE else values
    width, height = size
    fields = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: 0, 277: samples,
              278: height, 279: len(data), 339: kind}  # fmt: skip
    fields[273] = 8 + 2 + 12 * len(fields) + 4
    head = (b"II*\0" if order == LITTLE else b"MM\0*") + struct.pack(f"{order}IH", 8, len(fields))
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in fields.items())
    return head + directory + bytes(4) + data


def grey(source: Any) -> list[int]:
    pixels = np.asarray(read(source))
    assert (pixels == pixels[:, :, :1]).all()
    return [int(value) for value in pixels[:, :, 0].ravel()]


def refusal(source: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read(source)
    assert caught.value.reason == "unsupported pixels" and "\n" not in str(caught.value)
    return str(caught.value)


def in_16_bits(**options: Any) -> bytes:
    return tiff(np.array([0, 257, 32896, 65535], np.uint16), (2, 2), 16, UNSIGNED, **options)


@pytest.mark.parametrize("order", [LITTLE, BIG])
@pytest.mark.parametrize("compression", [RAW, DEFLATE])
def test_16_bit_tiff_is_scaled(order: str, compression: int) -> None:
    assert grey(in_16_bits(order=order, compression=compression)) == [0, 1, 128, 255]


@pytest.mark.parametrize("compression", [RAW, DEFLATE])
def test_16_bit_tiff_with_white_as_zero_is_inverted(compression: int) -> None:
    assert grey(in_16_bits(compression=compression, photometric=WHITE_IS_ZERO)) == [255, 254, 127, 0]


@pytest.mark.parametrize("compression", [RAW, DEFLATE])
def test_12_bit_tiff_is_scaled(compression: int) -> None:
    packed = bytes.fromhex("000fff 800008")  # 0, 4095, 2048, 8
    assert grey(tiff(packed, (4, 1), 12, UNSIGNED, compression=compression)) == [0, 255, 128, 0]


@pytest.mark.parametrize("format_", ["PNG", "JPEG2000"])
def test_16_bit_grey_in_other_formats_is_scaled(format_: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert grey(encoded(Image.fromarray(values), format_)) == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P5 4 1 65535\n" + struct.pack(">4H", 0, 257, 32896, 65535), [0, 1, 128, 255]),
        (b"P5 4 1 1023\n" + struct.pack(">4H", 0, 4, 512, 1023), [0, 1, 128, 255]),
        (b"P2 4 1 4095\n0 16 2048 4095\n", [0, 1, 128, 255]),
    ],
)
def test_16_bit_pgm_is_scaled_by_its_maximum(content: bytes, expected: list[int]) -> None:
    assert grey(content) == expected


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bit_pil_image_is_scaled(mode: str) -> None:
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), 65535)
    assert grey(image) == [0, 255]


@pytest.mark.parametrize(
    "source",
    [
        tiff(RAMP, (4, 3), 32, FLOAT),
        tiff(RAMP, (4, 3), 32, FLOAT, order=BIG),
        tiff(RAMP, (4, 3), 32, FLOAT, compression=DEFLATE),
        encoded(Image.fromarray(RAMP), "TIFF"),
        encoded(Image.fromarray(RAMP), "PPM"),
        Image.fromarray(RAMP),
    ],
    ids=["little-endian", "big-endian", "compressed", "as Pillow writes it", "PFM", "PIL image"],
)
def test_floats_from_0_to_1_are_scaled(source: Any) -> None:
    assert grey(source) == RAMP_8_BIT


def test_floats_with_white_as_zero_are_inverted() -> None:
    assert grey(tiff(RAMP, (4, 3), 32, FLOAT, photometric=WHITE_IS_ZERO)) == RAMP_8_BIT[::-1]


@pytest.mark.parametrize("value", [1.01, -0.01, 255.0, 1e30])
def test_floats_outside_0_to_1_are_refused(value: float) -> None:
    values = RAMP.copy()
    values[2, 1] = value
    for source in (tiff(values, (4, 3), 32, FLOAT), Image.fromarray(values)):
        assert "not all from 0 to 1" in refusal(source)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    values = RAMP.copy()
    values[0, 3] = value
    for source in (tiff(values, (4, 3), 32, FLOAT), Image.fromarray(values)):
        assert "not all finite" in refusal(source)


def test_compressed_big_endian_floats_are_refused() -> None:
    assert "big-endian" in refusal(tiff(RAMP, (4, 3), 32, FLOAT, order=BIG, compression=DEFLATE))


@pytest.mark.parametrize(
    "source",
    [
        tiff(np.arange(12, dtype=np.uint32), (4, 3), 32, UNSIGNED),
        tiff(np.arange(12, dtype=np.int32), (4, 3), 32, SIGNED),
        tiff(np.arange(12, dtype=np.int32), (4, 3), 32, SIGNED, order=BIG, compression=DEFLATE),
        tiff(np.arange(-6, 6, dtype=np.int16), (4, 3), 16, SIGNED),
        tiff(np.arange(-6, 6, dtype=np.int16), (4, 3), 16, SIGNED, order=BIG),
        encoded(Image.new("I", (4, 3), 70_000), "TIFF"),
        Image.new("I", (4, 3)),
    ],
    ids=["uint32", "int32", "compressed int32", "int16", "big-endian int16", "as Pillow writes it", "PIL image"],
)
def test_integers_of_unknown_range_are_refused(source: Any) -> None:
    assert "which values are black and white" in refusal(source)


def fits(bits: int, values: NDArray[Any]) -> bytes:
    height, width = values.shape
    cards = [f"SIMPLE  = {'T':>20}", f"BITPIX  = {bits:>20}", f"NAXIS   = {2:>20}", f"NAXIS1  = {width:>20}",
             f"NAXIS2  = {height:>20}", "END"]  # fmt: skip
    return "".join(card.ljust(80) for card in cards).encode().ljust(2880) + values.tobytes().ljust(2880, b"\0")


@pytest.mark.parametrize(
    "source",
    [
        fits(16, np.zeros((3, 4), ">i2")),
        fits(32, np.zeros((3, 4), ">i4")),
        fits(-32, np.zeros((3, 4), ">f4")),
        encoded(Image.new("F", (4, 3)), "SPIDER"),
    ],
    ids=["FITS int16", "FITS int32", "FITS float", "SPIDER"],
)
def test_measurements_are_refused(source: bytes) -> None:
    assert "hold measurements" in refusal(source)


def test_8_bit_fits_is_read() -> None:
    assert grey(fits(8, np.array([[0, 7], [128, 255]], np.uint8))) == [
        128,
        255,
        0,
        7,
    ]  # FITS stores the bottom row first


def test_error_for_a_tiff_of_floats_with_several_channels() -> None:
    with pytest.raises(ImageError, match=r"^unreadable TIFF: .* floats in several channels"):
        read(tiff(np.zeros(36, np.float32), (4, 3), 32, FLOAT, photometric=2, samples=3))


def test_scaling_in_strips_gives_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(0, 7 * 5 * 257, 257, dtype=np.uint16).reshape(7, 5)
    monkeypatch.setattr(depth, "_STRIP", 11)
    assert grey(Image.fromarray(values)) == list(range(35))


def test_refused_image_is_an_error_row(tiny: Callable[..., Classifier], tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("floats.tif", "integers.tif", "ramp.tif")]
    paths[0].write_bytes(tiff(RAMP * 300, (4, 3), 32, FLOAT))
    paths[1].write_bytes(tiff(np.arange(12, dtype=np.int32), (4, 3), 32, SIGNED))
    paths[2].write_bytes(tiff(RAMP, (4, 3), 32, FLOAT))
    floats, integers, ramp = tiny(isolated=True, workers=1).classify(paths)
    assert floats.error is not None and floats.error.startswith(
        "unsupported pixels: its floats are not all from 0 to 1"
    )
    assert integers.error is not None and integers.error.startswith("unsupported pixels: integers of 32 bits")
    assert ramp.error is None
