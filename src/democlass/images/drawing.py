"""Pictures of a photo's faces, encoded as files: each face alone, and the photo with all faces marked."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from democlass.boxes import Box
from democlass.images.label_places import Area, place_labels
from democlass.images.regions import cut_region

CAPTION = "Labels: perceived gender and perceived race, estimated by democlass"

_JPEG_QUALITY = 90
_BLUR_REACH = 1.3
"""Side of the blurred area, in sides of the face: it covers hair and chin."""
_BLUR_BLOCKS = 6
"""Blocks of one colour along each side of a blurred face: too few to recognise anyone."""

_FACE_COLOUR, _SMALL_COLOUR, _TEXT_COLOUR, _BACKGROUND = "#00d0ff", "#b0b0b0", "#ffffff", "#000000"
_CHARACTERS_PER_SIDE = 60
_MIN_FONT = 11  # pixels


@dataclass(frozen=True)
class Mark:
    """A face to draw: its region, and lines of text. A face that is too small to classify `is_small`."""

    box: Box
    lines: Sequence[str] = ()
    is_small: bool = False


@dataclass(frozen=True)
class Pictures:
    """What to draw: a PNG for each box of `crops`, None being the whole image; then a JPEG with `marks`, unless None.

    With `blur`, the faces of the JPEG cannot be recognised.
    """

    crops: Sequence[Box | None] = ()
    marks: Sequence[Mark] | None = None
    blur: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Pictures:
        """Return the object whose `dataclasses.asdict` was written as JSON."""
        crops = [None if box is None else Box(*box) for box in document["crops"]]
        marks = document["marks"]
        if marks is not None:
            marks = [Mark(Box(*mark["box"]), mark["lines"], mark["is_small"]) for mark in marks]
        return cls(crops, marks, document["blur"])


def draw(image: Image.Image, pictures: Pictures) -> list[bytes]:
    """Return the files that `pictures` names, in order, without any metadata of the image."""
    files = [_encode(image if box is None else cut_region(image, box), "PNG") for box in pictures.crops]
    if pictures.marks is not None:
        files.append(_encode(_annotate(image, pictures.marks, pictures.blur), "JPEG", quality=_JPEG_QUALITY))
    return files


def _annotate(image: Image.Image, marks: Sequence[Mark], blur: bool) -> Image.Image:
    marked = image.copy()
    if blur:
        for mark in marks:
            _blur(marked, mark.box)
    canvas = ImageDraw.Draw(marked)
    font = ImageFont.load_default(max(_MIN_FONT, max(image.size) // _CHARACTERS_PER_SIDE))
    line_width = max(2, max(image.size) // 400)
    for mark in marks:
        _draw_box(canvas, mark, line_width)
    if marks:
        _write_labels(canvas, marks, font, image.size, gap=line_width)
    return marked


def _blur(image: Image.Image, box: Box) -> None:
    x, y = box.centre
    reach_x, reach_y = box.width * _BLUR_REACH / 2, box.height * _BLUR_REACH / 2
    left, top = max(0, math.floor(x - reach_x)), max(0, math.floor(y - reach_y))
    right, bottom = min(image.width, math.ceil(x + reach_x)), min(image.height, math.ceil(y + reach_y))
    if right <= left or bottom <= top:
        return
    area = image.crop((left, top, right, bottom))
    blocks = area.resize((_BLUR_BLOCKS, _BLUR_BLOCKS), Image.Resampling.BOX)
    image.paste(blocks.resize(area.size, Image.Resampling.NEAREST), (left, top))


def _draw_box(canvas: ImageDraw.ImageDraw, mark: Mark, line_width: int) -> None:
    colour = _SMALL_COLOUR if mark.is_small else _FACE_COLOUR
    corners = _corners(mark.box)
    canvas.line([*corners, corners[0]], fill=colour, width=1 if mark.is_small else line_width, joint="curve")


def _write_labels(
    canvas: ImageDraw.ImageDraw, marks: Sequence[Mark], font: Any, size: tuple[int, int], *, gap: int
) -> None:
    """Write the lines of each mark and the caption where they cover no other face. `gap` is their distance to faces.

    Where there is no place for all lines, only the first one is written.
    """

    def measure(text: str) -> tuple[float, float]:
        left, top, right, bottom = canvas.multiline_textbbox((0, 0), text, font=font)
        return right - left, bottom - top

    def write(text: str, area: Area) -> None:
        left, top, _, _ = canvas.multiline_textbbox((0, 0), text, font=font)
        canvas.rectangle(area, fill=_BACKGROUND)
        canvas.multiline_text((area.left - left, area.top - top), text, font=font, fill=_TEXT_COLOUR)

    labels = [["\n".join(mark.lines), mark.lines[0]] if mark.lines else [] for mark in marks]
    faces = [_bounds(mark.box).grown(gap, gap) for mark in marks]
    sizes = [[measure(text) for text in versions] for versions in labels]
    places, caption_area = place_labels(size, faces, sizes, measure(CAPTION))
    write(CAPTION, caption_area)
    for versions, place in zip(labels, places, strict=True):
        if place is not None:
            write(versions[place.version], place.area)


def _bounds(box: Box) -> Area:
    """Return the smallest upright rectangle around a rotated box."""
    xs, ys = zip(*_corners(box), strict=True)
    return Area(min(xs), min(ys), max(xs), max(ys))


def _corners(box: Box) -> list[tuple[float, float]]:
    """Return the corners of a rotated box, clockwise from its left top."""
    angle = math.radians(box.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = box.centre
    half_width, half_height = box.width / 2, box.height / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    offsets = [(horizontal * half_width, vertical * half_height) for horizontal, vertical in signs]
    return [(x + cos * right - sin * down, y + sin * right + cos * down) for right, down in offsets]


def _encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.info = {}  # no colour profile, no comment
    image.save(stream, format_, **options)
    return stream.getvalue()
