"""`classify evaluate LABELS`: how right the networks are, for whom, and how sure."""

from __future__ import annotations

import json
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
            isolated=True,
            warn=console.warn,
        )
    from democlass.evaluate.evaluation import evaluate

    with Progress(len(truth.examples), shown=predictions is None and not settings.quiet) as progress:
        found = evaluate(truth, source, progress.advance)
    for task in found["tasks"].values():
        for reason, count in task["lacking"].items():
            console.warn(f"{task['title']}: {count:,} images {reason} are not judged")
    if out is not None:
        _write(out, json.dumps(found, indent=2) + "\n")
    if html is not None:
        from democlass.evaluate.page import page

        _write(html, page(found))
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


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise WriteError(f"can't write {file}: {error.strerror}") from None


def _print(found: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False, markup=False, emoji=False)
    for task in found["tasks"].values():
        accuracy, calibration = task["accuracy"], task["calibration"]
        out.print(f"{task['title']}: {_interval(accuracy)} of {task['n']:,} images right", style="bold")
        out.print(
            f"macro F1 {task['macro_f1']:.3f}, macro recall {task['macro_recall']:.1%}, ECE {calibration['ece']:.3f}, "
            f"NLL {calibration['nll']:.3f}, Brier {calibration['brier']:.3f}"
        )
        for grouping, group in task["groups"].items():
            table = Table(f"by {grouping}", box=box.SIMPLE_HEAD, pad_edge=False)
            for heading in ("n", "right", "95 % interval"):
                table.add_column(heading, justify="right", no_wrap=True)
            for name, cell in group["cells"].items():
                mark = " (worst)" if name == group["worst"] else ""
                table.add_row(name + mark, f"{cell['n']:,}", f"{cell['share']:.1%}",
                              f"{cell['low']:.1%} to {cell['high']:.1%}")  # fmt: skip
            out.print(table)
            out.print(f"largest gap {100 * group['gap']:.1f} points: {group['best']} to {group['worst']}\n")
        out.print(_confusion(task))


def _confusion(task: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table("given, of those that people called", box=box.SIMPLE_HEAD, pad_edge=False)
    for label in task["labels"]:
        table.add_column(label.replace("_", " "), justify="right")
    for label, row in zip(task["labels"], task["confusion"], strict=True):
        table.add_row(label, *map(str, row))
    return table


def _interval(share: dict[str, float]) -> str:
    return f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
