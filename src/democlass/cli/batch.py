"""`classify batch SOURCE...`: a whole collection, with progress, a summary, and resuming."""

from __future__ import annotations

from typing import Annotated

import typer

from democlass.cli.expand import expand
from democlass.cli.options import OutputFormat, RunOptions
from democlass.cli.run import Job, execute
from democlass.errors import UsageError
from democlass.inputs.local import STANDARD_INPUT
from democlass.inputs.patterns import exists

app = typer.Typer(add_completion=False)


@app.command()
@expand
def batch(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Folders, images, patterns, or - for names on standard input."),
    ],
    options: RunOptions,
) -> int:
    """Classify a collection by perceived gender and perceived race, one row an image, in order, nothing lost.

    Rows go to --out (csv, json, jsonl or parquet), else as CSV to standard output. Whatever ends the run, what is
    written is whole, and --resume completes it. For describing lawfully held collections; never for deciding
    anything about one person, for identification or surveillance.
    """
    if not any(source == STANDARD_INPUT or exists(source) for source in sources):
        raise UsageError(f"no such file or folder: {', '.join(sources)}")
    return execute(Job(context, sources, options, narrate=True), OutputFormat.CSV)
