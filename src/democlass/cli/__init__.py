"""The command line: the only place that knows Typer and Rich.

    classify PATH...           cli/classify.py
    classify batch SOURCE...   cli/batch.py
    classify weights           cli/weights.py
    classify train TASK LABELS cli/train.py
    classify evaluate LABELS   cli/evaluate.py
    classify serve             cli/serve.py

Each command stands alone; `main` finds out which one is meant. A first word that is a command's name is the command;
every other word is a path of the default command, which therefore needs no name.
"""

# First, and before __future__ too: what is imported after it does not come from the current folder.
import democlass.cli.search_path  # noqa: F401

# isort: split

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from democlass.cli import console
from democlass.cli.interrupt import Interrupted, exit_at_once, exit_in_time, handle_signals, tell
from democlass.cli.stdio import flush_output, secure_streams
from democlass.errors import DemoclassError, UsageError

COMMANDS = {name: name for name in ("batch", "weights", "train", "evaluate", "serve")}
DEFAULT = "classify"
_END_IN_ORDER = ("train", "serve")
"""Commands that have something to finish when they are interrupted, and that tell of it themselves."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    secure_streams()
    handle_signals()
    try:
        name, rest = route(words)
        if name in _END_IN_ORDER:
            code = _run(name, rest)
        else:
            exit_in_time()
            with tell("interrupted"):
                code = _run(name, rest)
    except Interrupted as signal:
        flush_output()
        exit_at_once(signal.exit_code)
    sys.exit(code)


def _run(name: str, rest: list[str]) -> int:
    program = Path(sys.argv[0]).name.replace("__main__.py", "classify")
    try:
        code = _call(name, rest, program if name == DEFAULT else f"{program} {name}")
        sys.stdout.flush()  # here, where a failure still has its line and its exit code
    except DemoclassError as error:
        console.complain(f"{program}: {error}")
        flush_output()
        code = error.exit_code
    if code == UsageError.exit_code and name != DEFAULT and os.path.isdir(name):
        console.complain(f"{program}: there is a folder {name} here: to classify what is in it, write ./{name}")
    return code


def _call(name: str, words: list[str], program: str) -> int:
    """Call a command and return its exit code. Raises DemoclassError, and Interrupted."""
    try:
        command(name).main(words, prog_name=program)
    except SystemExit as exit_:  # how Typer always ends
        return exit_.code if isinstance(exit_.code, int) else 0
    return 0


def route(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command that is meant, and the words without its name. Options may come first."""
    takes_value = {
        option for parameter in command(DEFAULT).params if not _is_flag(parameter) for option in parameter.opts
    }
    rest = iter(enumerate(words))
    for place, word in rest:
        if word == "--":
            break
        if word.startswith("-") and word != "-":
            if word in takes_value:
                next(rest, None)
        elif word in COMMANDS:
            return word, [*words[:place], *words[place + 1 :]]
        else:
            break
    return DEFAULT, list(words)


def command(name: str) -> Any:
    """Return a command, as Typer builds it."""
    import typer

    app: typer.Typer = import_module(f"democlass.cli.{name}").app
    built = typer.main.get_command(app)
    built.context_settings["help_option_names"] = ["--help", "-h"]
    return built


def _is_flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False)) or parameter.name == "help"
