"""How images are decoded: what every process that decodes for one classifier does alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from democlass.images.decode import Input, Pixels, allow_pixels, prepare
from democlass.settings import MAX_PIXELS, Settings
from democlass.tasks import Geometry, Task


@dataclass(frozen=True)
class Decoding:
    """How images are decoded, for which geometries: the arguments of `images.prepare`."""

    geometries: tuple[Geometry, ...]
    ignore_exif: bool = False
    max_pixels: int = MAX_PIXELS
    fast: bool = False

    def __post_init__(self) -> None:
        """Let Pillow read as much, in whichever process this is."""
        allow_pixels(self.max_pixels)

    def __call__(self, source: Input) -> Pixels:
        """Decode in this process. Raises ImageError."""
        return prepare(source, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def of(cls, tasks: Sequence[Task], settings: Settings) -> Decoding:
        """Return how images are decoded for these tasks."""
        geometries = tuple(dict.fromkeys(task.geometry for task in tasks))
        return cls(geometries, settings.ignore_exif, settings.max_pixels, settings.fast)

    def to_json(self) -> str:
        """Return what `from_json` makes an equal object of, in another process."""
        return json.dumps(asdict(self), default=lambda geometry: geometry.name)

    @classmethod
    def from_json(cls, text: str) -> Decoding:
        """Undo `to_json`."""
        values = json.loads(text)
        return cls(**values | {"geometries": tuple(Geometry[name] for name in values["geometries"])})
