"""Helpers of the tests of decoding: encoded images, and the reason why an image can't be read."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from democlass.errors import ImageError
from democlass.images.decode import read
from democlass.images.geometry import apply_geometry
from democlass.tasks import Geometry


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def reason(source: Any, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        apply_geometry(read(source, **options), Geometry.CENTRE_CROP, **options)
    assert "\n" not in str(caught.value) and ": " in str(caught.value)
    return caught.value.reason
