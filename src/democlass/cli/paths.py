"""`classify PATH...`, or `classify paths PATH...`: the default command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from democlass.cli.expand import expand
from democlass.cli.group import show_version
from democlass.cli.job import ClassifyJob
from democlass.cli.option import IMAGES
from democlass.cli.run import execute
from democlass.cli.run_options import OutputFormat, RunOptions
from democlass.cli.stdin_image import check_stdin_image
from democlass.errors import UsageError
from democlass.inputs.local import STANDARD_INPUT

app = typer.Typer(add_completion=False)


@app.command()
@expand
def paths(
    context: typer.Context,
    options: RunOptions,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Images, folders or patterns, or - to read names from standard input."),
    ] = None,
    stdin_image: Annotated[
        bool,
        typer.Option(
            "--stdin-image",
            rich_help_panel=IMAGES,
            help="Classify one image that is read from standard input. The path in its row is -.",
        ),
    ] = False,
    version: Annotated[
        bool | None, typer.Option("--version", hidden=True, callback=show_version, is_eager=True)
    ] = None,
) -> int:
    """Classify images by perceived gender and perceived race: one row per image, with all probabilities.

    Rows are a table on a terminal and JSON Lines in a pipe. This is the default command: `classify photo.jpg` is the
    same as `classify paths photo.jpg`.
    """
    if stdin_image:
        check_stdin_image(paths or [], options)
    elif not paths:
        raise UsageError("give a PATH: images, folders, patterns, or - for names on standard input; see --help")
    default_format = OutputFormat.TABLE if sys.stdout.isatty() else OutputFormat.JSONL
    sources = paths or [STANDARD_INPUT]
    return execute(
        ClassifyJob(context, sources, options, shows_progress=False, stdin_image=stdin_image), default_format
    )
