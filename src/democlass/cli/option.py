"""One helper that declares a command-line option, and the headings that `--help` lists options under."""

from __future__ import annotations

from typing import Any

import typer

NETWORKS, RUN, FACES, IMAGES = "Networks", "Run", "Faces", "Images"
OUTPUT, FOLDERS = "Output", "Folders"


def option(*names: str, panel: str, env: str | None = None, **settings: Any) -> Any:
    """Return a Typer option.

    `panel` is its heading in `--help`. `env` is its environment variable without the prefix `DEMOCLASS_`. All other
    keywords go to `typer.Option`.
    """
    envvar = f"DEMOCLASS_{env}" if env else None
    return typer.Option(*names, rich_help_panel=panel, envvar=envvar, **settings)
