"""`classify evaluate LABELS`: how right the networks are, for whom, and how sure."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.labels import LabelsOptions
from democlass.cli.options import NetworkOptions, SettingsOptions
from democlass.cli.progress import Progress
from democlass.errors import UsageError, WriteError

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
) -> int:
    """Judge perceived gender and perceived race against labels that people gave: everyone, and each group.

    Accuracy means agreement with annotators. It is counted for each label and each pair of labels, because networks
    that are right on average can be wrong for some.
    """
    if card and predictions is not None:
        raise UsageError("--card is for checkpoints that are judged now: leave --predictions out")
    truth = data.read(labels)
    source: Any = predictions
    if predictions is None:
        from democlass.classifier import Classifier

        source = Classifier.build(
            networks.locations(context),
            settings.settings(),
            labels=networks.labels(),
            workers=settings.workers,
            decode_timeout=settings.decode_timeout,
            warn=console.warn,
        )
    from democlass.evaluate.evaluation import evaluate

    with Progress(len(truth.examples), shown=predictions is None and not settings.quiet) as progress:
        found = evaluate(truth, source, progress.advance)
    for task in found["tasks"].values():
        for reason, count in task["lacking"].items():
            console.warn(f"{task['title']}: {count:,} images {reason} are not judged")
    if out is not None:
        with _writing(out):
            out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8", errors="backslashreplace")
    if html is not None:
        from democlass.evaluate.page import page

        with _writing(html):
            html.write_text(page(found), encoding="utf-8", errors="backslashreplace")
    if markdown is not None:
        from democlass.evaluate.markdown import write

        with _writing(markdown):
            write(found, markdown)
    _print(found)
    if card:
        _write_on_cards(found)
    return 0


def _write_on_cards(found: dict[str, Any]) -> None:
    from democlass.checkpoint_files import write_on_card

    for name, checkpoint in found["checkpoints"].items():
        if name in found["tasks"]:
            said = {key: value for key, value in found["tasks"][name].items() if key not in ("title", "coverage")}
            said["calibration"] = {key: said["calibration"][key] for key in ("ece", "nll", "brier")}
            write_on_card(Path(checkpoint["path"]), "evaluation", {"data": Path(found["labels"]).name, **said})
            console.complain(f"card        {checkpoint['path']}")


@contextmanager
def _writing(file: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"can't write {file}: {error.strerror}") from None


def _print(found: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from democlass.evaluate import tables

    out = Console(highlight=False, markup=False, emoji=False)
    for task in found["tasks"].values():
        out.print(f"{task['title']}: {tables.accuracy(task)}", style="bold")
        out.print(tables.means(task))
        for grouping, group in task["groups"].items():
            table = Table(f"by {grouping}", box=box.SIMPLE_HEAD, pad_edge=False)
            for heading in tables.CELL_HEADS:
                table.add_column(heading, justify="right", no_wrap=True)
            for row in tables.cells(group):
                table.add_row(*row)
            out.print(table)
            out.print(f"{tables.gap(group)}\n")
        table = Table(tables.GIVEN, box=box.SIMPLE_HEAD, pad_edge=False)
        for label in task["labels"]:
            table.add_column(label.replace("_", " "), justify="right")
        for row in tables.confusion(task):
            table.add_row(*row)
        out.print(table)
