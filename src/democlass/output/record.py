"""The run's record, `OUT.run.json`: what made the rows, and what came of it. Resuming compares against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from democlass.errors import OutputError
from democlass.files import replace_file
from democlass.output.run_info import RunInfo, now
from democlass.settings import Settings

if TYPE_CHECKING:
    from democlass.networks.networks import Networks

RUNNING, FINISHED = "running", "finished"

RECORD_FORMAT = 2
"""Number of the record's format. A reader refuses a higher one. Version 0.1.0 wrote none: that is format 1."""

_MOST_THREADS = 4096


@dataclass(frozen=True)
class RunRecord:
    """What made a file of results.

    `state` says where the rows are: while it is `running`, in `OUT.partial`; once it is `finished`, in OUT.
    `options` and `checkpoints` are what the numbers depend on. `tallies` count all rows of the file. `runs` has an
    entry for each run that made rows, in order.

    For a record that says `running`: `log_bytes` is how many bytes of `OUT.partial` were on disk when it was
    written, and `replaces` the size in bytes and the time of last change in nanoseconds of a file OUT that was there
    to be overwritten. Both are None where they are not known or do not apply.
    """

    format: str
    checkpoints: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    runs: Sequence[RunInfo]
    state: str = RUNNING
    started: str = field(default_factory=now)
    finished: str | None = None
    tallies: Mapping[str, Any] = field(default_factory=dict)
    log_bytes: int | None = None
    replaces: Sequence[int] | None = None
    record_format: int = RECORD_FORMAT

    @classmethod
    def of(
        cls,
        networks: Networks,
        settings: Settings,
        format_name: str,
        *,
        command: Sequence[str] = (),
        sources: Sequence[str] = (),
    ) -> RunRecord:
        """Return the record of a run that begins; `command` and `sources` are the command line that started it."""
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
                for name, checkpoint in networks.checkpoints.items()
            },
            options=asdict(settings) | {"precision": networks.precision.value},
            runs=[RunInfo.of(torch.get_num_threads(), command, sources)],
        )

    @property
    def threads(self) -> int:
        """The number of threads that the networks run in, the same in every run."""
        return self.runs[0].threads

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions that the last run was made with."""
        return self.runs[-1].versions

    def refuse_other(self, new: RunRecord) -> None:
        """Raise OutputError, saying which differ, where `new` would make other numbers than this record's run.

        An option that this record does not have, since an older version wrote it, had its default then.
        """
        before_options = asdict(Settings()) | dict(self.options)
        differences = [
            f"{name}: {before_options.get(name)} then, {value} now"
            for name, value in new.options.items()
            if before_options.get(name) != value
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

    def resumed_by(self, new: RunRecord, rows_before: int) -> RunRecord:
        """Return the record of this file when the run of `new` goes on with it after so many rows."""
        added = replace(new.runs[-1], rows_before=rows_before)
        return replace(new, started=self.started, runs=[*self.runs, added], replaces=self.replaces)

    def write(self, path: Path) -> None:
        """Write the record, replacing the one before in one step. Raises OSError."""
        document = {"record_format": self.record_format} | asdict(self)
        replace_file(path, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> RunRecord | None:
        """Return the record, or None where there is none. Raises OutputError where it can't be read."""
        try:
            if path.exists() and not path.is_file():
                raise _DamagedError("it is no regular file")
            return _parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"can't read the record {path}: {error.strerror or error}") from None
        except _NewerError as error:
            raise OutputError(
                f"the record {path} was written by a newer version of democlass (record format {error}, this version "
                f"reads up to {RECORD_FORMAT}): use that version, or --overwrite begins again"
            ) from None
        except _DamagedError as error:
            raise OutputError(
                f"can't read the record {path}: {error}. Put back a copy of it, or --overwrite begins again"
            ) from None


class _DamagedError(Exception):
    """The record is none; the text says why."""


class _NewerError(Exception):
    """The record's format is a later one; the text is its number."""


def _parse(content: bytes) -> RunRecord:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        raise _DamagedError("it is not JSON") from None
    if not isinstance(said, dict):
        raise _DamagedError("it is not a record of a run")
    number = said.get("record_format", 1)
    if not _is_count(number):
        raise _DamagedError("record_format is not a number")
    if number > RECORD_FORMAT:
        raise _NewerError(str(number))
    if number == 1:
        said = _from_format_1(said)
    said = _checked(said, _RECORD_FIELDS, "")
    said["record_format"] = RECORD_FORMAT
    said["runs"] = [RunInfo(**_checked(run, _RUN_FIELDS, f"runs[{i}].")) for i, run in enumerate(said["runs"])]
    return RunRecord(**said)


def _from_format_1(said: dict[str, Any]) -> dict[str, Any]:
    """Return a record of version 0.1.0 in today's format: its one run is not told apart from those that resumed."""
    run = {name: said[name] for name in ("started", "threads", "versions") if name in said}
    return {name: value for name, value in said.items() if name not in ("threads", "versions")} | {"runs": [run]}


def _checked(said: Any, checks: Mapping[str, Callable[[Any], bool]], where: str) -> dict[str, Any]:
    """Return those entries that have a check, once it holds; others are of no use to this version."""
    if not isinstance(said, dict):
        raise _DamagedError(f"{where.rstrip('.')} is not an object")
    for name, holds in checks.items():
        if name not in said and name in _NEEDED:
            raise _DamagedError(f"{where}{name} is missing")
        if name in said and not holds(said[name]):
            raise _DamagedError(f"{where}{name} is not what a run writes")
    return {name: value for name, value in said.items() if name in checks}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_absolute_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.startswith("/"))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


_RECORD_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "format": _is_text,
    "checkpoints": lambda value: _is_object(value) and all(map(_is_object, value.values())),
    "options": lambda value: _is_object(value) and _is_count(value.get("batch_size")) and value["batch_size"] > 0,
    "runs": lambda value: isinstance(value, list) and value != [],
    "state": lambda value: value in (RUNNING, FINISHED),
    "started": _is_text,
    "finished": _is_text_or_none,
    "tallies": _is_object,
    "log_bytes": lambda value: value is None or _is_count(value),
    "replaces": lambda value: value is None or (isinstance(value, list) and len(value) == 2),
}
_RUN_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "started": _is_text,
    "command": _is_texts,
    "sources": _is_texts,
    "folder": _is_absolute_or_none,
    "out": _is_absolute_or_none,
    "threads": lambda value: _is_count(value) and 0 < value <= _MOST_THREADS,
    "versions": lambda value: _is_object(value) and all(map(_is_text, value.values())),
    "rows_before": _is_count,
}
_NEEDED = frozenset({"format", "checkpoints", "options", "runs", "state", "started", "threads", "versions"})


def _short(value: Any) -> Any:
    return f"{value[:12]}…" if isinstance(value, str) else value
