"""Finds the command in the words of a command line.

The first word that is neither an option nor the value of one decides: a command's name is the command, any other word
is the first path of the default command. Options may come before the command's name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from democlass.errors import UsageError

COMMANDS = {
    "paths": "Classify images, folders or patterns. This is the default: its name can be left out.",
    "batch": "Classify a whole collection, with progress, a summary, and resuming.",
    "report": "Report the composition of a collection, with intervals.",
    "compare": "Compare the composition of two collections, with intervals.",
    "sample": "Draw a random sample of classified faces, for people to label.",
    "evaluate": "Compare predictions with labels: accuracy overall and by group.",
    "train": "Train a network on labelled images and write a checkpoint.",
    "serve": "Run an HTTP service that classifies images.",
    "weights": "Show which checkpoints are used, and why.",
}
"""The name of each command, which is also the name of its module, with its line in `classify --help`."""

DEFAULT = "paths"
GROUP_OPTIONS = ("--version", "--install-completion", "--show-completion")
_HELP = ("--help", "-h")
_SIMILARITY = 0.75
"""Words at least this similar to a command's name count as a typing error (difflib's ratio, 0 to 1)."""


class Route(NamedTuple):
    """Where a command line leads."""

    command: str | None
    """The command to run; None for options of the group alone, as in `classify --help`."""

    words: list[str]
    """The command line with the command's name written out, and with options of the group before it."""

    first_path: str | None = None
    """The word that was taken to be the first path because it is not a command's name."""


def route(words: Sequence[str], options_with_value: Callable[[], Collection[str]]) -> Route:
    """Find the command. `options_with_value` returns the default command's options that the next word belongs to."""
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] not in ("-", "--"):
        position += 2 if words[position] in options_with_value() else 1
    before, word = list(words[:position]), words[position] if position < len(words) else None
    if word is not None and _is_command(word):
        of_group = [each for each in before if each in GROUP_OPTIONS]
        of_command = [each for each in before if each not in GROUP_OPTIONS]
        return Route(word, [*of_group, word, *of_command, *words[position + 1 :]])
    if word is None and words and all(each in GROUP_OPTIONS or each in _HELP for each in words):
        return Route(None, list(words))
    return Route(DEFAULT, [DEFAULT, *words], None if word == "--" else word)


def refuse_mistyped_command(word: str) -> None:
    """Raise UsageError if a word looks like a mistyped command, which is letters only, and no file has that name."""
    if not word.isalpha() or os.path.lexists(word):
        return
    for match in get_close_matches(word.lower(), COMMANDS, n=1, cutoff=_SIMILARITY):
        raise UsageError(f"no such command '{word[:60]}'; did you mean '{match}'?")


def _is_command(word: str) -> bool:
    """Tell whether a word names a command. A file or folder named like the default command is a path, as ever."""
    return word in COMMANDS and not (word == DEFAULT and os.path.lexists(word))
