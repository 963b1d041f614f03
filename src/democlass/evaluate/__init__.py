"""Evaluation: compares predictions with the labels that annotators gave."""

from __future__ import annotations

import os
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import matplotlib from the root folder, because it reads a file `matplotlibrc` in the current folder.

    torchmetrics imports matplotlib too, so this must run before other imports.
    """
    current = os.open(os.curdir, getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir(os.sep)
        with suppress(ImportError):  # an optional package; a command that needs it raises MissingExtraError
            import matplotlib  # noqa: F401
    finally:
        os.fchdir(current)
        os.close(current)


_import_matplotlib()
