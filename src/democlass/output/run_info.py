"""One run of the command in a record: when, where, from which sources, and with which versions."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from democlass.inputs.identity import current_folder

_PACKAGES = ("torch", "torchvision", "pillow", "simplejpeg")
"""Packages that may change the last digits of probabilities."""

_SECRET_OPTION = re.compile(r"^--?[\w-]*(key|token|secret|passw|credential)[\w-]*", re.IGNORECASE)
_URL = re.compile(r"^([a-z][a-z0-9+.-]*://)([^/?#]*@)?([^?#]*)(\?[^#]*)?", re.IGNORECASE)
_MASK = "***"


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunInfo:
    """One run of the command: the first, or one that resumed.

    Its rows start at number `rows_before`, counted from 0, and end before the next run's. Error rows that it classified
    again keep their places. `folder` is the current folder of the run: relative names in its rows are relative to it.
    `out` is the absolute path of the output at that time. In records of version 0.1.0 both are None, and `command` and
    `sources` are empty.
    """

    started: str = field(default_factory=now)
    command: Sequence[str] = field(default_factory=list)
    sources: Sequence[str] = field(default_factory=list)
    folder: str | None = None
    out: str | None = None
    threads: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    rows_before: int = 0

    @classmethod
    def of(cls, threads: int, command: Sequence[str], sources: Sequence[str]) -> RunInfo:
        """Return the entry for a run that begins now. Secrets in its command line are masked."""
        return cls(
            command=without_secrets(command),
            sources=without_secrets(sources),
            folder=current_folder(),
            threads=threads,
            versions=_versions(),
        )

    def names_relative_to(self, out: Path) -> str:
        """Return the folder that relative names in this run's rows are relative to, if the output is now at `out`.

        It is `folder`. If the output and the images were moved or mounted elsewhere together, it is the folder with
        the same position relative to `out`.
        """
        current = current_folder()
        if self.folder is None or self.folder == current:
            return current
        before = os.path.dirname(self.out) if self.out else self.folder
        moved = os.path.normpath(os.path.join(out.parent, os.path.relpath(self.folder, before)))
        if moved == current or not os.path.isdir(self.folder):
            return moved if os.path.isdir(moved) else current
        return self.folder

    def version_differences(self, other: RunInfo) -> list[str]:
        """Return the versions that differ in `other`, such as "torch 2.6.0 then, 2.7.1 now"."""
        return [
            f"{name} {mine} then, {other.versions[name]} now"
            for name, mine in self.versions.items()
            if name in other.versions and other.versions[name] != mine
        ]


def without_secrets(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with possible secrets masked.

    Masked are the values of options named like a key, token, secret, password or credential, and in URLs the user, the
    password and the query.
    """
    masked: list[str] = []
    for word in words:
        option, equals, _ = word.partition("=")
        if masked and _SECRET_OPTION.fullmatch(masked[-1]):
            masked.append(_MASK)
        elif equals and _SECRET_OPTION.fullmatch(option):
            masked.append(f"{option}={_MASK}")
        else:
            masked.append(_URL.sub(_mask_url, word))
    return masked


def _mask_url(match: re.Match[str]) -> str:
    scheme, user, rest, query = match.groups(default="")
    return scheme + (f"{_MASK}@" if user else "") + rest + (f"?{_MASK}" if query else "")


def _versions() -> dict[str, str]:
    from democlass import __version__

    return {"democlass": __version__, "python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
