"""Decode an image to the pixels that the networks read: file formats, EXIF orientation, colour modes, limits.

Every input is treated as hostile. Whatever is wrong with it becomes an `ImageError` that says what a person can do.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from democlass.errors import ImageError
from democlass.images import depth, jpeg
from democlass.images.geometry import apply_geometries
from democlass.inputs.item import Source
from democlass.names import to_printable
from democlass.settings import MAX_PIXELS
from democlass.tasks import SIDE, Geometry

Pixels: TypeAlias = Mapping[Geometry, NDArray[np.uint8]]
"""The pixels of one face: RGB uint8 SIDE x SIDE x 3 for each geometry."""

# EPS would run an untrusted program in Ghostscript; the others have no pixels, or Pillow has no decoder for them.
_REFUSED_FORMATS = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_REVERSE = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}
"""The other transpositions are their own inverse."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
"""All brands that pillow_heif reads. It is registered for the first such file, and must not affect other files."""
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_BYTES_AT_ONCE = 2**28
_MAX_DETAIL = 120
"""Characters of a decoder's message that an error repeats."""

FAST_SIDE = 3 * SIDE // 2
"""With `fast`, JPEGs are decoded at a reduced scale as long as their short side keeps this many pixels."""


def prepare(
    source: Source,
    geometries: Iterable[Geometry],
    *,
    ignore_exif: bool = False,
    max_pixels: int = MAX_PIXELS,
    fast: bool = False,
) -> list[Pixels]:
    """Decode an image and cut it to every geometry. Raises ImageError.

    Returns the pixels of one face: the whole image.
    """
    image = read(source, ignore_exif=ignore_exif, max_pixels=max_pixels, fast=fast)
    return [apply_geometries(image, tuple(geometries), max_pixels=max_pixels)]


def read(source: Source, *, ignore_exif: bool = False, max_pixels: int = MAX_PIXELS, fast: bool = False) -> Image.Image:
    """Return the first frame of an image as a PIL image in RGB, turned as EXIF says unless `ignore_exif`.

    With `fast`, a JPEG may be decoded at a reduced scale, its short side at least FAST_SIDE. Raises ImageError, also if
    the image has more than `max_pixels`; TypeError if `source` is not of the types of `Source`.
    """
    if not isinstance(source, (str, os.PathLike, bytes, Image.Image, np.ndarray)):
        raise TypeError(f"an image must be a path, bytes, a PIL image or an array, not {type(source).__name__}")
    with _as_image_errors():
        if isinstance(source, Image.Image):
            _check_size(*source.size, max_pixels, "max_pixels=")
            return _to_rgb(source, source, ignore_exif)
        if isinstance(source, np.ndarray):
            return _from_array(source, max_pixels)
        with io.BytesIO(source) if isinstance(source, bytes) else _open(source) as stream:
            return _decode(stream, ignore_exif, max_pixels, fast)


def allow_pixels(max_pixels: int) -> None:
    """Raise Pillow's process-wide limit to `max_pixels` if it is lower. It is never lowered."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file. Raises ImageError for anything else, without waiting for the writer of a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if os.path.islink(path):
            raise ImageError("a broken link", "what it leads to is not there, or no longer") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise ImageError("a folder", "name it on the command line to classify what is inside")
        raise ImageError("not a regular file", "only files are read, no pipes, sockets or devices")
    return os.fdopen(descriptor, "rb")


def _decode(stream: BinaryIO, ignore_exif: bool, max_pixels: int, fast: bool) -> Image.Image:
    head = stream.read(16)
    if not head:
        raise ImageError("empty file", "copy it again from where it came")
    stream.seek(0)
    if head.startswith(b"RIFF") or head[4:8] == b"ftyp":
        _check_bytes(stream)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif()
    with _opened(stream, head) as header:
        if header.format in _REFUSED_FORMATS:
            raise ImageError("not an image", f"{header.format} files are not read")
        _check_size(*header.size, max_pixels)
        decoded = jpeg.decode(stream, header, FAST_SIDE if fast else None)
        return _to_rgb(decoded or header, header, ignore_exif)


def _check_bytes(stream: BinaryIO) -> None:
    """Raise ImageError if a file is too large for formats whose decoders read it at once: WebP, AVIF, HEIF."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size > _MAX_BYTES_AT_ONCE:
        raise ImageError("too many bytes", f"{size}; files of this format may have at most {_MAX_BYTES_AT_ONCE}")


def _opened(stream: BinaryIO, head: bytes) -> Image.Image:
    try:
        return Image.open(stream)
    except UnidentifiedImageError:
        if head.startswith(_TIFF_SIGNATURES):
            raise ImageError(
                "unreadable TIFF",
                "it is damaged, or of a kind that Pillow does not read, as floats in several channels",
            ) from None
        raise


def _to_rgb(image: Image.Image, header: Image.Image, ignore_exif: bool) -> Image.Image:
    """Return the image in RGB, turned as the metadata of `header` says unless `ignore_exif`."""
    if ignore_exif:
        # Pillow turns a TIFF while loading it, and deletes the tag.
        turn = _orientation(header) if header.format == "TIFF" else None
        image.load()
        placed = image if turn is None else image.transpose(_REVERSE.get(turn, turn))
    else:
        image.load()
        turn = _orientation(header)  # after load(): in PNG, EXIF may follow the pixels
        placed = image if turn is None else image.transpose(turn)
    shallow = depth.to_8_bit(placed, header)
    if shallow.mode == "RGB":
        return shallow
    try:
        return shallow.convert("RGB")
    except ValueError:
        raise ImageError("unsupported pixels", f"Pillow does not convert {shallow.mode} to RGB") from None


def _orientation(header: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(header.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # hostile metadata raises anything; an unreadable orientation is ignored
        return None


def _from_array(array: NDArray[Any], max_pixels: int) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ImageError("not an image", f"an array must be uint8 H x W x 3, this is {array.dtype} {array.shape}")
    _check_size(array.shape[1], array.shape[0], max_pixels, "max_pixels=")
    return Image.fromarray(array)


def _check_size(width: int, height: int, max_pixels: int, option: str = "--max-pixels ") -> None:
    """Raise ImageError if a size is impossible or too large. `option` is how the caller can raise the limit."""
    if width < 1 or height < 1:
        raise ImageError("damaged image", f"its size is {width}x{height}")
    if width * height > max_pixels:
        raise ImageError(
            "too many pixels",
            f"{width}x{height} is over {max_pixels}; {option}{width * height} reads it",
        )


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError("HEIC", "reading it needs one more package: pip install 'democlass[heic]'") from None
    register_heif_opener()


_SYSTEM_REASONS = {
    errno.ENOENT: ("no such file", "it is not there, or no longer"),
    errno.EACCES: ("no permission", "the user running this may not read it"),
    errno.EPERM: ("no permission", "the user running this may not read it"),
    errno.ELOOP: ("a link in a circle", "it leads to itself"),
    errno.ENOTDIR: ("no such file", "a part of its path is no folder"),
    errno.ENAMETOOLONG: ("no such file", "the name is longer than any file's"),
    errno.ENXIO: ("not a regular file", "only files are read, no pipes, sockets or devices"),
    errno.EIO: ("read error", "the disk or network could not deliver it; try again"),
}


@contextmanager
def _as_image_errors() -> Iterator[None]:
    """Turn every exception of reading into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not an image", "its content is no image format that Pillow reads") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError("too many pixels", "it declares more pixels than are allowed; see --max-pixels") from None
    except MemoryError:
        raise ImageError("out of memory", "decoding it takes more than there is; lower --workers") from None
    except OSError as error:
        if error.errno in _SYSTEM_REASONS:
            raise ImageError(*_SYSTEM_REASONS[error.errno]) from None
        raise _damage_error(error) from None
    except Exception as error:  # on hostile bytes, decoders raise struct.error, KeyError, SyntaxError, …
        raise _damage_error(error) from None


def _damage_error(error: Exception) -> ImageError:
    if "truncated" in str(error).lower():
        return ImageError("truncated", "the file ends before the image does; copy it again from where it came")
    detail = to_printable(str(error) or type(error).__name__)[:_MAX_DETAIL]
    return ImageError("damaged image", detail)
