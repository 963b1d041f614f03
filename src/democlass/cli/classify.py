"""`classify PATH...`: the command that needs no name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from democlass.cli.expand import expand, flowing
from democlass.cli.options import OutputFormat, RunOptions
from democlass.cli.run import Job, execute

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
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Images, folders, patterns, or - for names on standard input."),
    ],
    options: RunOptions,
    version: Annotated[
        bool | None,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = None,
) -> int:
    """Say how images are composed by perceived gender and perceived race: every probability, one row an image.

    On a terminal the rows are a table, in a pipe JSON Lines. The networks repeat how annotators perceived faces; they
    know nothing of anyone's identity or ancestry.
    """
    on_terminal = OutputFormat.TABLE if sys.stdout.isatty() else OutputFormat.JSONL
    return execute(Job(context, paths, options, narrate=False), on_terminal)
