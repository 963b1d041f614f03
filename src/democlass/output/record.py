"""The record of an output, `OUT.run.json`: how its rows were made, and their counts. Resuming compares with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from democlass.errors import OutputError
from democlass.files import replace_file
from democlass.networks.cards import confusion_of_card
from democlass.output.run_info import RunInfo, now
from democlass.settings import Settings

if TYPE_CHECKING:
    from democlass.networks.networks import Networks

RUNNING, FINISHED = "running", "finished"

RECORD_FORMAT = 2
"""The version of the record's format. Higher versions are refused. Records of 0.1.0 have no number: format 1."""

_MAX_THREADS = 4096
_DETECTOR = "detector_sha256"  # an option, if faces are searched


@dataclass(frozen=True)
class RunRecord:
    """How the rows of an output were made.

    `state` says where the rows are: in `OUT.partial` (`running`) or in OUT (`finished`). The results depend on
    `options` and `checkpoints`. `tallies` counts all rows. `runs` has an entry for each run that made rows, in order.

    If the state is `running`, `log_bytes` is the number of bytes of `OUT.partial` that were on disk when the record was
    written, and `replaces` is the size in bytes and the time of last change in nanoseconds of the file OUT that is to
    be overwritten. Both are None if not known or not applicable.
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
        detector_sha256: str | None = None,
    ) -> RunRecord:
        """Return the record of a run that begins; `command` and `sources` are the command line that started it.

        `detector_sha256` is the hash of the face detector's file, if faces are searched.
        """
        import torch

        detector = {} if detector_sha256 is None else {_DETECTOR: detector_sha256}
        return cls(
            format=format_name,
            checkpoints={
                name: {
                    "path": str(checkpoint.location.path),
                    "sha256": checkpoint.sha256,
                    "labels": list(checkpoint.labels),
                    "temperature": checkpoint.temperature,
                    "confusion": confusion_of_card(checkpoint.card, checkpoint.labels),
                }
                for name, checkpoint in networks.checkpoints.items()
            },
            options=asdict(settings) | {"precision": networks.precision.value} | detector,
            runs=[RunInfo.of(torch.get_num_threads(), command, sources)],
        )

    @property
    def has_faces(self) -> bool:
        """Whether faces are searched in each input."""
        return self.options.get("faces") is True

    @property
    def threads(self) -> int:
        """The number of threads of the networks, which is the same in all runs."""
        return self.runs[0].threads

    @property
    def versions(self) -> Mapping[str, str]:
        """The package versions of the last run."""
        return self.runs[-1].versions

    def refuse_other(self, new: RunRecord) -> None:
        """Raise OutputError if the run of `new` would give other results than this one, with the differences.

        Options that an older version did not write had their defaults.
        """
        before_options = asdict(Settings()) | dict(self.options)
        differences = [
            f"{name}: {before_options.get(name)} then, {value} now"
            for name, value in new.options.items()
            if before_options.get(name) != value and name != _DETECTOR
        ]
        if self.has_faces and new.has_faces and self.options.get(_DETECTOR) != new.options.get(_DETECTOR):
            then, now_ = (_short(each.options.get(_DETECTOR)) for each in (self, new))
            differences.append(f"face detector's sha256: {then} then, {now_} now")
        for task, made_by in new.checkpoints.items():
            before = self.checkpoints.get(task, {})
            differences += [
                f"{task} checkpoint's {what}: {_short(before.get(what))} then, {_short(made_by[what])} now"
                for what in ("sha256", "labels", "temperature")
                if before.get(what) != made_by[what]
            ]
        if differences:
            raise OutputError(
                f"can't resume, these differ: {'; '.join(differences)}. Use the first run's settings, or --overwrite"
            )

    def resumed_by(self, new: RunRecord, rows_before: int) -> RunRecord:
        """Return the record of this output when the run of `new` resumes it after `rows_before` rows."""
        added = replace(new.runs[-1], rows_before=rows_before)
        return replace(new, started=self.started, runs=[*self.runs, added], replaces=self.replaces)

    def write(self, path: Path) -> None:
        """Write the record and replace the old one atomically. Raises OSError."""
        document = {"record_format": self.record_format} | asdict(self)
        replace_file(path, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> RunRecord | None:
        """Return the record, or None if there is none. Raises OutputError if it can't be read."""
        try:
            if path.exists() and not path.is_file():
                raise _DamagedError("it is not a regular file")
            return _parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"can't read the record {path}: {error.strerror or error}") from None
        except _NewerError as error:
            raise OutputError(
                f"the record {path} was written by a newer version of democlass (record format {error}, this version "
                f"reads up to {RECORD_FORMAT}): use that version, or --overwrite starts again"
            ) from None
        except _DamagedError as error:
            raise OutputError(
                f"can't read the record {path}: {error}. Restore a copy of it, or --overwrite starts again"
            ) from None


class _DamagedError(Exception):
    """The file is not a record; the text says why."""


class _NewerError(Exception):
    """The record has a higher format version; the text is its number."""


def _parse(content: bytes) -> RunRecord:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _DamagedError("it is not JSON") from None
    if not isinstance(document, dict):
        raise _DamagedError("it is not a record of a run")
    number = document.get("record_format", 1)
    if not _is_count(number):
        raise _DamagedError("record_format is not a number")
    if number > RECORD_FORMAT:
        raise _NewerError(str(number))
    if number == 1:
        document = _from_format_1(document)
    document = _checked(document, _RECORD_FIELDS, "")
    document["record_format"] = RECORD_FORMAT
    document["runs"] = [RunInfo(**_checked(run, _RUN_FIELDS, f"runs[{i}].")) for i, run in enumerate(document["runs"])]
    return RunRecord(**document)


def _from_format_1(document: dict[str, Any]) -> dict[str, Any]:
    """Return a record of version 0.1.0 in today's format. It has one entry for all its runs."""
    run = {name: document[name] for name in ("started", "threads", "versions") if name in document}
    return {name: value for name, value in document.items() if name not in ("threads", "versions")} | {"runs": [run]}


def _checked(document: Any, checks: Mapping[str, Callable[[Any], bool]], where: str) -> dict[str, Any]:
    """Return the entries that this version knows. Raises _DamagedError if one is missing or fails its check."""
    if not isinstance(document, dict):
        raise _DamagedError(f"{where.rstrip('.')} is not an object")
    for name, holds in checks.items():
        if name not in document and name in _NEEDED:
            raise _DamagedError(f"{where}{name} is missing")
        if name in document and not holds(document[name]):
            raise _DamagedError(f"{where}{name} has a value that no run writes")
    return {name: value for name, value in document.items() if name in checks}


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
    "threads": lambda value: _is_count(value) and 0 < value <= _MAX_THREADS,
    "versions": lambda value: _is_object(value) and all(map(_is_text, value.values())),
    "rows_before": _is_count,
}
_NEEDED = frozenset({"format", "checkpoints", "options", "runs", "state", "started", "threads", "versions"})


def _short(value: Any) -> Any:
    return f"{value[:12]}…" if isinstance(value, str) else value
