"""The command line: the only package that knows Typer and Rich.

    classify [paths] PATH...   cli/paths.py, the default command
    classify batch SOURCE...   cli/batch.py
    classify report RESULTS    cli/report.py
    classify compare A B       cli/compare.py
    classify sample RESULTS    cli/sample.py
    classify evaluate LABELS   cli/evaluate.py
    classify train TASK LABELS cli/train.py
    classify serve             cli/serve.py
    classify weights           cli/weights.py

cli/routing.py lists the commands and finds the one that a command line means; cli/group.py loads it.
"""

# This import comes first: it keeps modules from being imported from the current folder.
import democlass.cli.search_path  # noqa: F401

# isort: split

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from democlass.cli import console
from democlass.cli.interrupt import Interrupted, exit_at_once, exit_in_time, handle_signals, report_interruption
from democlass.cli.stdio import flush_output, secure_streams
from democlass.errors import DemoclassError, UsageError

_SAVE_ON_INTERRUPT = ("train", "serve")
"""Commands that finish or save something when they are interrupted, and that report the interruption themselves."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command in this process and exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    secure_streams()
    handle_signals()
    try:
        code = run_command(words)
    except Interrupted as signal:
        flush_output()
        exit_at_once(signal.exit_code)
    sys.exit(code)


def run_command(words: list[str], *, guard: bool = True) -> int:
    """Run a command and return its exit code. Raises Interrupted.

    With `guard` the process ends a few seconds after an interruption, even if the main thread does not respond.
    """
    from democlass.cli.group import find_route

    name = find_route(words).command
    if name in _SAVE_ON_INTERRUPT:
        code = _report_errors(words)
    else:
        if guard:
            exit_in_time()
        with report_interruption("interrupted"):
            code = _report_errors(words)
    if code == UsageError.exit_code and name is not None and name in words and os.path.isdir(name):
        console.error(f"there is a folder {name} here: to classify what is in it, write ./{name}")
    return code


def _report_errors(words: list[str]) -> int:
    """Run a command, write the error it raises as one line, and return its exit code. Raises Interrupted."""
    try:
        code = _invoke(words)
        sys.stdout.flush()  # here, so that a failure is reported and changes the exit code
    except DemoclassError as error:
        console.error(str(error))
        flush_output()
        code = error.exit_code
    return code


def _invoke(words: list[str]) -> int:
    """Run a command and return its exit code. Raises DemoclassError and Interrupted."""
    from democlass.cli.group import build_group
    from democlass.cli.usage import TyperError, describe

    try:
        code = build_group().main(words, prog_name=console.program_name(), standalone_mode=False)
    except TyperError as error:
        raise UsageError(describe(error)) from None
    except SystemExit as exit_:  # after shell completion
        code = exit_.code
    return code if isinstance(code, int) else 0
