"""How one run of the command made rows of a file: when, where, from what, and with which versions."""

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
"""What probabilities may depend on in their last digits, besides Python and democlass itself."""

_SECRET_OPTION = re.compile(r"^--?[\w-]*(key|token|secret|passw|credential)[\w-]*", re.IGNORECASE)
_URL = re.compile(r"^([a-z][a-z0-9+.-]*://)([^/?#]*@)?([^?#]*)(\?[^#]*)?", re.IGNORECASE)
_MASK = "***"


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunInfo:
    """One run of the command, the first or one that resumed.

    Its rows are those from number `rows_before` on, counted from 0, up to the next run's; error rows that it repeated
    stay in their places. `folder` is where it was started: relative names in its rows are relative to it. `out` is
    the output's absolute path then. Both are None, and `command` and `sources` are empty, where version 0.1.0 wrote
    the record.
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
        """Return what there is to say of a run that begins now. Secrets in its command line are left out."""
        return cls(
            command=without_secrets(command),
            sources=without_secrets(sources),
            folder=current_folder(),
            threads=threads,
            versions=_versions(),
        )

    def names_relative_to(self, out: Path) -> str:
        """Return the folder that relative names in this run's rows are relative to now, its output being `out`.

        That is `folder`. Where the output and the images were moved or mounted elsewhere together, it is the folder
        that has the same place beside `out`.
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
        """Return which versions are others in `other`, as "torch 2.6.0 then, 2.7.1 now"."""
        return [
            f"{name} {mine} then, {other.versions[name]} now"
            for name, mine in self.versions.items()
            if name in other.versions and other.versions[name] != mine
        ]


def without_secrets(words: Sequence[str]) -> list[str]:
    """Return words of a command line with what may be secret masked.

    That is the value of options named like a key, token, secret, password or credential, and in URLs the user, the
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
