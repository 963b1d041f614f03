"""`classify evaluate LABELS`: how right the networks are, for whom, and how sure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.interrupt import ReaderGone
from democlass.cli.labels import LabelsOptions
from democlass.cli.options import NetworkOptions, SettingsOptions
from democlass.cli.progress import Progress
from democlass.errors import UsageError, WriteError

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(add_completion=False)
_DATA, _OUTPUT = "Data", "Output"


@app.command()
@expand
def evaluate(
    context: typer.Context,
    labels: Annotated[Path, typer.Argument(help="CSV or Parquet: a path and the labels of each image.")],
    networks: NetworkOptions,
    settings: SettingsOptions,
    data: LabelsOptions,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_DATA,
            help="Results that are there already: judged as they are, with no second run.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", rich_help_panel=_OUTPUT, help="All figures, as JSON.")
    ] = None,
    card: Annotated[
        bool,
        typer.Option(
            "--card",
            rich_help_panel=_OUTPUT,
            help="Write the figures on the cards of the checkpoints judged, which changes those files.",
        ),
    ] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=_OUTPUT, help="Tables as Markdown, and a folder of pictures beside them."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel=_OUTPUT, help="All figures, as a page with pictures.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=_OUTPUT, help="Replace output files that exist.")
    ] = False,
) -> int:
    """Judge perceived gender and perceived race against labels that people gave: everyone, and each group.

    Accuracy means agreement with annotators. It is counted for each label and each pair of labels, because networks
    that are right on average can be wrong for some.
    """
    if card and predictions is not None:
        raise UsageError("--card is for checkpoints that are judged now: leave --predictions out")
    from democlass.evaluate.outputs import is_same_file
    from democlass.evaluate.reports import Reports

    if predictions is not None and is_same_file(predictions, labels):
        raise UsageError(f"{labels} is given as labels and as predictions: they would all agree")

    reports = Reports(out=out, html=html, markdown=markdown)
    locations = networks.locations(context) if predictions is None else {}
    checkpoints = {name: location.path for name, location in locations.items()}
    reports.check(_inputs(labels, predictions, checkpoints), overwrite=overwrite)
    if card:
        from democlass.evaluate.cards import check_cards

        check_cards(checkpoints)
    label_set = data.read(labels)
    reports.refuse_images(example.path for example in label_set.examples)
    source: Any = predictions
    if predictions is None:
        from democlass.classifier import Classifier

        source = Classifier.build(
            locations,
            settings.settings(),
            labels=networks.labels(),
            workers=settings.workers,
            decode_timeout=settings.decode_timeout,
            warn=console.warn,
        )
    from democlass.evaluate.evaluation import evaluate

    with Progress(len(label_set.examples), shown=predictions is None and not settings.quiet) as progress:
        found = evaluate(label_set, source, progress.advance)
    for reason, count in found["unused"].items():
        console.warn(f"{predictions}: {count:,} predictions {reason} are not used")
    for task in found["tasks"].values():
        for reason, count in task["lacking"].items():
            console.warn(f"{task['title']}: {count:,} images {reason} are not judged")
    try:
        reports.write(found)
    except WriteError:  # a full disk must not cost the figures of a long run
        with suppress(ReaderGone):
            _finish(found, card=card)
        raise
    _finish(found, card=card)
    return 0


def _inputs(labels: Path, predictions: Path | None, checkpoints: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Yield each file that is read, with what it is."""
    yield "the labels file", labels
    for name, path in checkpoints.items():
        yield f"the checkpoint for {name}", path
    if predictions is not None:
        from democlass.evaluate.predictions import record_path

        yield "the predictions", predictions
        yield "the record of the predictions", record_path(predictions)


def _finish(found: dict[str, Any], *, card: bool) -> None:
    if card:
        from democlass.evaluate.cards import write_cards

        for path in write_cards(found):
            console.complain(f"card        {path}")
    _show(found)


def _show(found: dict[str, Any]) -> None:
    """Write the tables to standard output, which cli/stdio.py lets raise ReaderGone or WriteError."""
    for part in _parts(found):
        sys.stdout.write(part)
        sys.stdout.flush()


def _parts(found: dict[str, Any]) -> Iterator[str]:
    """Yield lines and tables as standard output shows them: with styles on a terminal."""
    from rich.console import Console

    out = Console(highlight=False, markup=False, emoji=False)
    for task in found["tasks"].values():
        for part, style in _shown(task):
            with out.capture() as captured:
                out.print(part, style=style)
            yield captured.get()


def _shown(task: dict[str, Any]) -> Iterator[tuple[str | Table, str | None]]:
    """Yield what is shown of a task, each with its style."""
    from rich import box
    from rich.table import Table

    from democlass.evaluate import tables

    yield f"{task['title']}: {tables.accuracy(task)}", "bold"
    yield tables.means(task), None
    for grouping, group in task["groups"].items():
        table = Table(f"by {grouping}", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in tables.CELL_HEADS:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in tables.cells(group):
            table.add_row(*row)
        yield table, None
        yield f"{tables.gap(group)}\n", None
    table = Table(tables.GIVEN, box=box.SIMPLE_HEAD, pad_edge=False)
    for label in task["labels"]:
        table.add_column(label.replace("_", " "), justify="right")
    for row in tables.confusion(task):
        table.add_row(*row)
    yield table, None
