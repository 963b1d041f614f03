"""FacePictures: the pictures of the faces of each image, for --save-crops and --annotate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from democlass.errors import ImageError
from democlass.images.drawing import Mark, Pictures
from democlass.images.photo import Photo
from democlass.inputs.item import Item, Source
from democlass.output.picture_folder import PictureFolder
from democlass.results import Face, Prediction

CROP_SUFFIX, ANNOTATED_SUFFIX = ".face{}.png", ".faces.jpg"

Draw = Callable[[Source, Callable[[Photo], "list[bytes]"]], "list[bytes]"]
"""Opens a photo and returns what the function returns for it. Raises ImageError."""


class FacePictures:
    """Writes the pictures of the faces of each image.

    `crops` gets each classified face as a PNG, `annotated` each photo as a JPEG with its faces marked; with `blur`
    nobody can be recognised in it. `warn` is called if an image cannot be decoded once more.
    """

    def __init__(
        self,
        *,
        crops: PictureFolder | None,
        annotated: PictureFolder | None,
        blur: bool,
        warn: Callable[[str], object],
    ) -> None:
        self._crops = crops
        self._annotated = annotated
        self._blur = blur
        self._warn = warn
        self._sources: deque[Source] = deque()

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and remember their sources until `write` gets their predictions, in the same order."""
        for item in items:
            self._sources.append(item.source)
            yield item

    def write(self, prediction: Prediction, draw: Draw) -> None:
        """Write the pictures of a prediction, before its rows, so that a row has its pictures. Raises WriteError."""
        source = self._sources.popleft()
        if prediction.error is None and prediction.path is not None:
            self._write_pictures(prediction, prediction.path, source, draw)

    def _write_pictures(self, prediction: Prediction, name: str, source: Source, draw: Draw) -> None:
        classified = [(number, face) for number, face in enumerate(prediction.faces) if face.outcomes]
        crops = [face.box for _, face in classified] if self._crops is not None else []
        marks = [_mark(number, face) for number, face in enumerate(prediction.faces)]
        pictures = Pictures(crops, None if self._annotated is None else marks, self._blur)
        if not crops and pictures.marks is None:
            return
        try:
            files = draw(source, lambda photo: photo.draw(pictures))
        except ImageError as error:
            self._warn(f"no pictures of {name}: {error}")
            return
        if self._crops is not None:
            for (number, _), content in zip(classified, files, strict=False):
                self._crops.write(name, CROP_SUFFIX.format(number), content)
        if self._annotated is not None:
            self._annotated.write(name, ANNOTATED_SUFFIX, files[-1])


def _mark(number: int, face: Face) -> Mark:
    assert face.box is not None
    if not face.outcomes:
        return Mark(face.box, [], is_small=True)
    labels = [f"{outcome.label} {outcome.confidence:.0%}" for outcome in face.outcomes.values()]
    return Mark(face.box, [f"face {number}", *labels])
