"""Opens the folders of --save-crops and --annotate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from democlass.cli import console
from democlass.cli.face_options import FaceOptions
from democlass.errors import UsageError
from democlass.files import is_same_file

if TYPE_CHECKING:
    from democlass.output.face_pictures import FacePictures


def new_pictures(
    options: FaceOptions, sources: Sequence[str], *, may_replace: bool, overwrite: bool
) -> FacePictures | None:
    """Return the pictures to write, or None if none were asked for. Raises OutputError, UsageError.

    With `overwrite`, a warning says that pictures which are not replaced stay, because they may belong to no row, or
    show faces that --blur would hide.
    """
    if options.save_crops is None and options.annotate is None:
        return None
    from democlass.output.face_pictures import FacePictures
    from democlass.output.picture_folder import PictureFolder

    if options.save_crops and options.annotate and is_same_file(options.save_crops, options.annotate):
        raise UsageError("--save-crops and --annotate are the same folder: use two")

    def begin(path: Path | None, option: str) -> PictureFolder | None:
        if path is None:
            return None
        folder = PictureFolder(path, option, sources=sources, may_replace=may_replace)
        if overwrite and folder.has_pictures:
            console.warn(
                f"{option} {path} has pictures of an earlier run: those of images and faces that are no longer found "
                "stay there unchanged; use a new folder, or delete it first"
            )
        return folder

    return FacePictures(
        crops=begin(options.save_crops, "--save-crops"),
        annotated=begin(options.annotate, "--annotate"),
        blur=options.blur,
        warn=console.warn,
    )
