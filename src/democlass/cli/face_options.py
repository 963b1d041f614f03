"""The options of face detection, shared by the commands that classify."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from democlass.cli.option import FACES, option
from democlass.errors import UsageError
from democlass.settings import FACE_SIZE, MAX_FACE_SIZE, MIN_FACE, MIN_FACE_SIZE, Settings

FaceSize = Annotated[
    int | None,
    option("--face-size", panel=FACES, env="FACE_SIZE", metavar="PX", min=MIN_FACE_SIZE, max=MAX_FACE_SIZE,
           help="Longest side in pixels of the reduced image in which faces are searched. 960 finds smaller faces "
           f"and takes longer. Default: {FACE_SIZE}."),
]  # fmt: skip
"""The option --face-size of every command that classifies."""


@dataclass(frozen=True)
class FaceOptions:
    """Whether and how faces are found in each image."""

    faces: Annotated[
        bool,
        option("--faces", panel=FACES, env="FACES",
               help="Find the faces in each image and classify each of them: one row per face. Use it for whole "
               "photos. Default: each image is one tight face crop."),
    ] = False  # fmt: skip
    face_size: FaceSize = None
    min_face: Annotated[
        int | None,
        option("--min-face", panel=FACES, env="MIN_FACE", metavar="PX", min=1,
               help="Smallest side of a face to classify, in pixels of the image. Smaller faces get a row with the "
               f"status too_small and no probabilities. Default: {MIN_FACE}."),
    ] = None  # fmt: skip
    largest: Annotated[
        bool, option("--largest", panel=FACES, env="LARGEST", help="Keep only the largest face of each image.")
    ] = False

    save_crops: Annotated[
        Path | None,
        option("--save-crops", panel=FACES, metavar="DIR",
               help="Folder, new or empty, for a picture of each classified face: DIR/PATH.face0.png. Default: none."),
    ] = None  # fmt: skip
    annotate: Annotated[
        Path | None,
        option("--annotate", panel=FACES, metavar="DIR",
               help="Folder, new or empty, for a copy of each image with its faces and labels marked: "
               "DIR/PATH.faces.jpg. Default: none."),
    ] = None  # fmt: skip
    blur: Annotated[
        bool,
        option("--blur", panel=FACES, help="Make the faces in the pictures of --annotate unrecognisable."),
    ] = False  # fmt: skip

    def with_faces(self, settings: Settings) -> Settings:
        """Return the settings with these options. Raises UsageError if they are given without --faces."""
        given = {"--face-size": self.face_size is not None, "--min-face": self.min_face is not None,
                 "--largest": self.largest, "--save-crops": self.save_crops is not None,
                 "--annotate": self.annotate is not None, "--blur": self.blur}  # fmt: skip
        if not self.faces and any(given.values()):
            raise UsageError(f"{', '.join(name for name in given if given[name])}: only with --faces")
        if self.blur and self.annotate is None:
            raise UsageError("--blur changes the pictures of --annotate: give --annotate DIR too")
        return replace(
            settings,
            faces=self.faces,
            face_size=FACE_SIZE if self.face_size is None else self.face_size,
            min_face=MIN_FACE if self.min_face is None else self.min_face,
            largest=self.largest,
        )
