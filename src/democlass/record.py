"""The run's record, `OUT.run.json`: what made the rows, and what came of it. Resuming compares against it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from democlass.errors import OutputError

if TYPE_CHECKING:
    from democlass.classifier import Classifier

RUNNING, FINISHED = "running", "finished"


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunRecord:
    """What made a file of results.

    `state` says where the truth lies: while it is `running`, in `OUT.partial`; once it is `finished`, in OUT.
    `options` and `checkpoints` are what the numbers depend on. `tallies` count all rows of the file.
    """

    format: str
    checkpoints: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    threads: int
    versions: Mapping[str, str]
    state: str = RUNNING
    started: str = field(default_factory=now)
    finished: str | None = None
    tallies: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, classifier: Classifier, format_name: str) -> RunRecord:
        """Return the record of a run that begins."""
        import torch

        return cls(
            format=format_name,
            checkpoints={
                name: {
                    "path": str(checkpoint.location.path),
                    "sha256": checkpoint.sha256,
                    "labels": list(checkpoint.labels),
                    "temperature": checkpoint.temperature,
                }
                for name, checkpoint in classifier.networks.checkpoints.items()
            },
            options=asdict(classifier.settings) | {"precision": classifier.networks.precision.value},
            threads=torch.get_num_threads(),
            versions=_versions(),
        )

    def refuse_other(self, new: RunRecord) -> None:
        """Raise OutputError, saying which differ, where `new` would make other numbers than this record's run."""
        differences = [
            f"{name}: {self.options.get(name)} then, {value} now"
            for name, value in new.options.items()
            if self.options.get(name) != value
        ]
        for task, made_by in new.checkpoints.items():
            before = self.checkpoints.get(task, {})
            differences += [
                f"{task} checkpoint's {what}: {_short(before.get(what))} then, {_short(made_by[what])} now"
                for what in ("sha256", "labels", "temperature")
                if before.get(what) != made_by[what]
            ]
        if differences:
            raise OutputError(
                f"can't resume, these differ: {'; '.join(differences)}. Use what made the first rows, or --overwrite"
            )

    def write(self, path: Path) -> None:
        """Write the record, replacing the one before in one step."""
        replace_file(path, (json.dumps(asdict(self), indent=2) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> RunRecord | None:
        """Return the record, or None where there is none. Raises OutputError where it can't be read."""
        try:
            said = json.loads(path.read_bytes())
            record = cls(**said)
            if record.state not in (RUNNING, FINISHED):
                raise ValueError(record.state)
        except FileNotFoundError:
            return None
        except (OSError, TypeError, ValueError) as error:
            raise OutputError(f"can't read the record {path} ({error}): --overwrite begins again") from None
        return record


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that under its name there is always either the old content or the new, even after a crash."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _versions() -> dict[str, str]:
    packages = ("torch", "torchvision", "pillow")
    from democlass import __version__

    return {"democlass": __version__, "python": platform.python_version()} | {name: version(name) for name in packages}


def _short(value: Any) -> Any:
    return f"{value[:12]}…" if isinstance(value, str) else value
