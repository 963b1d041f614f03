"""Where checkpoints are: named by the user, in a folder, or built in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from democlass.errors import CheckpointError
from democlass.tasks import Task

BUILT_IN = "built in"


@dataclass(frozen=True)
class Location:
    """The path of a checkpoint or of a folder of checkpoints, and where that path comes from.

    `origin` is a text for the user: the option, argument or environment variable, or "built in".
    """

    path: Path
    origin: str = BUILT_IN


def built_in_folder() -> Path:
    """Return the folder of the built-in checkpoints: inside an installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parents[1] / "weights"


def locate(task: Task, *, file: Location | None = None, folder: Location | None = None) -> Location:
    """Return the location of a task's checkpoint: `file` if given, else in `folder` if given, else the built-in one.

    In a folder, the checkpoint has the name `task.checkpoint`. Raises CheckpointError if there is no such file.
    """
    location = file
    if location is None:
        parent = folder or Location(built_in_folder())
        if not parent.path.is_dir():
            raise CheckpointError(f"no folder of checkpoints at {parent.path} ({parent.origin})")
        location = Location(parent.path / task.checkpoint, parent.origin)
    if not location.path.is_file():
        raise CheckpointError(
            f"no checkpoint for {task.title} at {location.path} ({location.origin}): "
            f"give a {task.name} checkpoint, or a folder that contains {task.checkpoint}"
        )
    return location
