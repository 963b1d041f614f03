"""The wording of usage errors that Typer finds, in the style of our own errors: one sentence on one line."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import typer

TyperError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The base class of these errors. It is in the package click or, in newer versions, in Typer itself."""

_SIMILARITY = 0.7
"""Options at least this similar to an unknown one are suggested (difflib's ratio, 0 to 1)."""


def describe(error: Any) -> str:
    """Return what is wrong with a command line, and what to do."""
    if hasattr(error, "possibilities"):  # an unknown option
        text = f"no such option {error.option_name}"
        for match in get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=_SIMILARITY):
            return f"{text}; did you mean {match}?"
    else:
        text = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
        text = text[:1].lower() + text[1:]
    context = getattr(error, "ctx", None)
    return text if context is None else f"{text}; see {context.command_path} --help"
