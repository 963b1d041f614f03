"""Judging predictions against what people said: how right, for whom, and how sure."""

from __future__ import annotations

import os
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import matplotlib from the root folder: it reads a file `matplotlibrc` in the current folder when imported.

    torchmetrics imports it as well, so this comes first of all.
    """
    here = os.open(os.curdir, getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir(os.sep)
        with suppress(ImportError):  # it is an extra; those who need it say so
            import matplotlib  # noqa: F401
    finally:
        os.fchdir(here)
        os.close(here)


_import_matplotlib()
