"""`classify batch SOURCE...`: classifies a whole collection, with progress, a summary, and resuming."""

from __future__ import annotations

from typing import Annotated

import typer

from democlass.cli.expand import expand
from democlass.cli.job import ClassifyJob
from democlass.cli.run import execute
from democlass.cli.run_options import OutputFormat, RunOptions
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
        typer.Argument(metavar="SOURCE", help="Folders, images or patterns, or - to read names from standard input."),
    ],
    options: RunOptions,
) -> int:
    """Classify a collection by perceived gender and perceived race: one row per image, in order.

    Rows go to --out (CSV, JSON, JSON Lines or Parquet), or as CSV to standard output. If the run is interrupted, the
    rows written so far are complete, and --resume classifies the rest. For describing lawfully held collections; not
    for decisions about one person, identification or surveillance.
    """
    if not any(source == STANDARD_INPUT or exists(source) for source in sources):
        raise UsageError(f"no such file or folder: {', '.join(sources)}")
    return execute(ClassifyJob(context, sources, options, shows_progress=True), OutputFormat.CSV)
