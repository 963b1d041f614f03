"""Photos: their previews, and the regions cut from them, in this process and in a decoding process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from democlass.boxes import Box
from democlass.errors import ImageError
from democlass.images.decoding import Decoding
from democlass.images.geometry import apply_geometries
from democlass.images.isolation import Isolated
from democlass.images.photo import Photo, max_preview_size, pack_preview, unpack_preview
from democlass.images.regions import cut_region
from democlass.tasks import Geometry

BOTH = tuple(Geometry)
DECODING = Decoding(BOTH, face_size=320)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


@pytest.mark.parametrize(
    ("size", "preview"), [((1200, 900), (240, 320)), ((900, 1200), (320, 240)), ((20_000, 30), (1, 320))]
)
def test_a_preview_has_the_longest_side_that_was_asked_for(size: tuple[int, int], preview: tuple[int, int]) -> None:
    photo = DECODING.open(noise(*size))
    assert photo.size == size
    assert photo.preview.shape == (*preview, 3)


def test_a_small_image_is_not_enlarged() -> None:
    image = noise(200, 100)
    assert np.array_equal(DECODING.open(image).preview, np.asarray(image))


def test_a_preview_shows_the_whole_image() -> None:
    image = noise(1280, 640)
    expected = np.asarray(image.resize((320, 160), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(DECODING.open(image).preview.astype(int) - expected).mean() < 5


def test_regions_are_cut_from_the_image_at_full_size() -> None:
    image = noise(1200, 900)
    box = Box(100, 120, 300, 300, 7)
    (region, whole) = DECODING.open(image).cut([box, None])
    assert all(np.array_equal(region[g], apply_geometries(cut_region(image, box), BOTH)[g]) for g in BOTH)
    assert all(np.array_equal(whole[g], apply_geometries(image, BOTH)[g]) for g in BOTH)


def test_a_preview_is_read_back_from_bytes() -> None:
    photo = DECODING.open(noise(1200, 900))
    packed = pack_preview(photo)
    size, preview = unpack_preview(packed)
    assert size == (1200, 900)
    assert np.array_equal(preview, photo.preview)
    assert len(packed) <= max_preview_size(320)


@pytest.mark.parametrize(
    "content", [b"", b"short", bytes(16), bytes(16) + b"x", pack_preview(DECODING.open(noise(8, 8)))[:-1]]
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_preview(content)


@pytest.fixture(scope="module")
def isolated() -> Iterator[Isolated]:
    with closing(Isolated(DECODING)) as decode:
        yield decode


@pytest.mark.slow
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_in_a_process_is_upright_and_equal_to_one_here(
    isolated: Isolated, tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise(640, 400).save(tmp_path / "photo.jpg", exif=exif)
    boxes = [Box(10, 20, 100, 100, -3), None]
    here = DECODING.open(tmp_path / "photo.jpg")

    def compare(there: Photo) -> bool:
        assert there.size == here.size == ((640, 400) if orientation < 5 else (400, 640))
        assert np.array_equal(there.preview, here.preview)
        for one, other in zip(there.cut(boxes), here.cut(boxes), strict=True):
            assert all(np.array_equal(one[g], other[g]) for g in BOTH)
        assert there.cut([]) == []
        return True

    assert isolated.with_photo(tmp_path / "photo.jpg", compare)
    assert isolated.with_photo((tmp_path / "photo.jpg").read_bytes(), compare)


@pytest.mark.slow
def test_what_is_wrong_with_a_photo_is_an_image_error(isolated: Isolated) -> None:
    with pytest.raises(ImageError, match="not an image"):
        isolated.with_photo(b"no image", lambda photo: photo.size)


@pytest.mark.slow
def test_the_errors_of_the_user_of_a_photo_are_passed_on(isolated: Isolated) -> None:
    def fail(_: Photo) -> None:
        raise ImageError("too many faces", "cut it")

    for _ in range(2):  # the process stays usable
        with pytest.raises(ImageError, match="too many faces"):
            isolated.with_photo(noise(40, 40).tobytes() and _png(noise(40, 40)), fail)


@pytest.mark.slow
def test_if_the_process_dies_the_photo_is_opened_in_another(isolated: Isolated) -> None:
    seen = []

    def kill_once(photo: Photo) -> int:
        seen.append(isolated.pids)
        if len(seen) == 1:
            import os
            import signal

            for pid in isolated.pids:
                os.kill(pid, signal.SIGKILL)
        return len(photo.cut([Box(1, 1, 30, 30)]))

    assert isolated.with_photo(_png(noise(64, 64)), kill_once) == 1
    assert len(seen) == 2


def _png(image: Image.Image) -> bytes:
    import io

    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
