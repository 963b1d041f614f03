"""How images are decoded: the settings that every decoding process of one classifier shares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from democlass.images.decode import Pixels, allow_pixels, prepare, read
from democlass.images.photo import LocalPhoto
from democlass.inputs.item import Source
from democlass.settings import FACE_SIZE, MAX_PIXELS, Settings
from democlass.tasks import Geometry, Task


@dataclass(frozen=True)
class Decoding:
    """How images are decoded, and for which geometries.

    `face_size` is the longest side in pixels of the previews of photos. `fast` has no effect on photos.
    """

    geometries: tuple[Geometry, ...]
    ignore_exif: bool = False
    max_pixels: int = MAX_PIXELS
    fast: bool = False
    face_size: int = FACE_SIZE

    def __post_init__(self) -> None:
        """Raise Pillow's limit in this process, so that it reads images of up to `max_pixels`."""
        allow_pixels(self.max_pixels)

    def __call__(self, source: Source) -> list[Pixels]:
        """Decode an image in this process and return the pixels of each face. Raises ImageError."""
        return prepare(
            source, self.geometries, ignore_exif=self.ignore_exif, max_pixels=self.max_pixels, fast=self.fast
        )

    def open(self, source: Source) -> LocalPhoto:
        """Decode an image in this process at full size and return it as a photo. Raises ImageError."""
        image = read(source, ignore_exif=self.ignore_exif, max_pixels=self.max_pixels)
        return LocalPhoto(image, self.geometries, preview_side=self.face_size, max_pixels=self.max_pixels)

    @classmethod
    def of(cls, tasks: Sequence[Task], settings: Settings) -> Decoding:
        """Return how images are decoded for these tasks and settings."""
        geometries = tuple(dict.fromkeys(task.geometry for task in tasks))
        return cls(geometries, settings.ignore_exif, settings.max_pixels, settings.fast, settings.face_size)

    def to_json(self) -> str:
        """Return this object as JSON, for `from_json` in another process."""
        return json.dumps(asdict(self), default=lambda geometry: geometry.name)

    @classmethod
    def from_json(cls, text: str) -> Decoding:
        """Return the object that `to_json` wrote."""
        values = json.loads(text)
        return cls(**values | {"geometries": tuple(Geometry[name] for name in values["geometries"])})
