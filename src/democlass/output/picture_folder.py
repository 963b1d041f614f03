"""A folder of pictures: one or more for each image, in subfolders as the images'.

The folder is new or empty when a run begins. A file in it, `MARKER`, says that everything in it was made by democlass;
only such a folder is continued or overwritten, so no other file is ever replaced.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from democlass.errors import OutputError, WriteError
from democlass.files import atomic_write
from democlass.names import raw_bytes

MARKER = ".democlass-pictures"
_MARKER_TEXT = b"The pictures in this folder were made by democlass. --overwrite and --resume replace them.\n"

_MAX_COMPONENT = 200
"""Bytes of a folder or file name. Longer ones are shortened; 255 is the limit of file systems, with suffixes."""

_DIGEST = 16  # characters


class PictureFolder:
    """Writes pictures below `path`. `option` is the option that named it, for messages.

    `has_pictures` is whether the folder had pictures of an earlier run when this one began.

    Raises OutputError if the folder has other files, unless it was made by democlass and `may_replace`, or if it is
    inside one of `sources`, whose next run would take the pictures for images.
    """

    def __init__(self, path: Path, option: str, *, sources: Iterable[str | Path], may_replace: bool) -> None:
        self.path = Path(os.path.realpath(path))
        for source in sources:
            folder = Path(os.path.realpath(source))
            if folder.is_dir() and self.path.is_relative_to(folder):
                raise OutputError(f"{option} {path} is inside {source}, which is classified: use another folder")
        try:
            self._begin(option, may_replace)
        except OSError as error:
            raise OutputError(f"can't write into {option} {path}: {error.strerror or error}") from None

    def write(self, name: str, suffix: str, content: bytes) -> None:
        """Write a picture of the image with that name; `suffix` ends the file name. Raises WriteError."""
        target = self.path_of(name, suffix)
        if not self.path.is_dir():  # otherwise a new folder would have the pictures of the later images only
            raise WriteError(f"{self.path} was moved or deleted during the run: --resume continues in a new folder")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not Path(os.path.realpath(target.parent)).is_relative_to(self.path):
                raise WriteError(f"{target.parent} is a link that leads out of {self.path}")
            with atomic_write(target, durable=False) as stream:
                stream.write(content)
        except OSError as error:
            raise WriteError(f"can't write {target}: {error.strerror or error}") from None

    def path_of(self, name: str, suffix: str) -> Path:
        """Return the path of a picture. Different images have different paths, all inside the folder."""
        raw = raw_bytes(name)
        parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
        if raw.startswith(b"/"):
            parts = [b"/", *parts]
        *folders, file = [_component(part) for part in parts] or [_component(b"")]
        return self.path.joinpath(*map(os.fsdecode, folders), os.fsdecode(file) + suffix)

    def _begin(self, option: str, may_replace: bool) -> None:
        """Create or check the folder, and mark it. Raises OSError, OutputError."""
        self.path.mkdir(parents=True, exist_ok=True)
        marker = self.path / MARKER
        is_own = marker.is_file() and not marker.is_symlink()
        self.has_pictures = any(path.name != MARKER for path in self.path.iterdir())
        if any(self.path.iterdir()) and not (is_own and may_replace):
            advice = "--resume or --overwrite, or another folder" if is_own else "a new or empty folder"
            raise OutputError(f"{option} {self.path} is not empty: use {advice}")
        marker.write_bytes(_MARKER_TEXT)


def _component(part: bytes) -> bytes:
    """Return one part of a path as a file name that is not special. Different parts have different results."""
    if part in (b"", b"/", b"..") or part.startswith(b"%"):
        return b"%" + part.replace(b"/", b"root").replace(b"..", b"up")
    part = part.replace(b"\0", b"%00")
    if len(part) > _MAX_COMPONENT:
        return part[: _MAX_COMPONENT - _DIGEST] + hashlib.sha256(part).hexdigest()[:_DIGEST].encode()
    return part
