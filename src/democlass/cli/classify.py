"""`classify PATH...`: the command that needs no name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from democlass.cli.expand import expand, flowing
from democlass.cli.options import OutputFormat, RunOptions
from democlass.cli.run import Job, execute
from democlass.cli.stdin_image import check_stdin_image
from democlass.errors import UsageError
from democlass.inputs.local import STANDARD_INPUT

_EPILOG = """
classify batch SOURCE… --out FILE: a whole collection, with progress, a summary, and resuming.

classify weights: which checkpoints are in use and why, and what is known of them.

Both have a --help of their own. A path that is named like a command is written ./batch.

Exit codes: 0 all well, 1 the run failed, 2 wrong usage, 3 some images could not be read, 130 interrupted, 141 the
reader of a pipe went away, 143 terminated.

For describing lawfully held collections of images. Not for decisions about one person, identification or
surveillance. EU law (AI Act, Art. 5(1)(g)) forbids categorising individuals biometrically by race outside lawful
data-set work.
"""

app = typer.Typer(add_completion=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        from democlass import __version__

        typer.echo(f"democlass {__version__}")
        raise typer.Exit


@app.command(epilog=flowing(_EPILOG))
@expand
def classify(
    context: typer.Context,
    options: RunOptions,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Images, folders, patterns, or - for names on standard input."),
    ] = None,
    stdin_image: Annotated[
        bool,
        typer.Option(
            "--stdin-image",
            rich_help_panel="Images",
            help="Classify one image, which is read from standard input; its path in rows is -.",
        ),
    ] = False,
    version: Annotated[
        bool | None,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = None,
) -> int:
    """Say how images are composed by perceived gender and perceived race: every probability, one row an image.

    On a terminal the rows are a table, in a pipe JSON Lines. The networks repeat how annotators perceived faces; they
    know nothing of anyone's identity or ancestry.
    """
    if stdin_image:
        check_stdin_image(paths or [], options)
    elif not paths:
        raise UsageError("give a PATH: images, folders, patterns, or - for names on standard input; see --help")
    on_terminal = OutputFormat.TABLE if sys.stdout.isatty() else OutputFormat.JSONL
    sources = paths or [STANDARD_INPUT]
    return execute(Job(context, sources, options, narrate=False, stdin_image=stdin_image), on_terminal)
