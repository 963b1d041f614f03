"""Where checkpoints lie: named by the user, or built in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from democlass.errors import CheckpointError
from democlass.tasks import Task


@dataclass(frozen=True)
class Location:
    """Where a task's checkpoint lies, and why that one is in use: an option or argument, the environment, built in."""

    path: Path
    why: str = "built in"


def built_in_folder() -> Path:
    """Return the folder of the built-in checkpoints: inside an installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parents[1] / "weights"


def locate(task: Task, *, file: Location | None = None, folder: Location | None = None) -> Location:
    """Return where the task's checkpoint lies: `file`, else the task's name in `folder`, else the built-in one.

    Raises CheckpointError where it is not there.
    """
    location = file
    if location is None:
        parent = folder or Location(built_in_folder())
        if not parent.path.is_dir():
            raise CheckpointError(f"there is no folder of weights at {parent.path} ({parent.why})")
        location = Location(parent.path / task.checkpoint, parent.why)
    if not location.path.is_file():
        raise CheckpointError(
            f"no checkpoint for {task.title} at {location.path} ({location.why}): "
            f"give a {task.name} checkpoint, or a folder of weights with a {task.checkpoint} in it"
        )
    return location
