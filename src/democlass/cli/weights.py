"""`classify weights`: shows which checkpoints are used and why, and what their cards say."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.options import NetworkOptions
from democlass.tasks import TASKS

app = typer.Typer(add_completion=False)
_SHORT_DIGEST = 12
"""Number of characters of a SHA-256 to show: enough to distinguish checkpoints."""

_MAX_LENGTH = 120
"""Number of characters to show of a line from a card, which may hold any text."""

_NESTED = (Mapping, list, tuple)

_FACE_DETECTOR = "face_detector"
"""Key of the face detector in the JSON, beside the names of the tasks."""


class WeightsFormat(str, Enum):
    """The format of the output."""

    TABLE = "table"
    JSON = "json"


@app.command()
@expand
def weights(
    context: typer.Context,
    networks: NetworkOptions,
    format_: Annotated[
        WeightsFormat, typer.Option("--format", "-f", help="Format of the output.")
    ] = WeightsFormat.TABLE,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show the whole SHA-256 and card. JSON always includes both."),
    ] = False,
) -> int:
    """Show which checkpoints are used and why: file, SHA-256, labels in output order, temperature, accuracy.

    Also the face detector, which --faces uses: file, SHA-256, network and licence. The accuracy is read from the card
    in the checkpoint: agreement with annotators, measured by `classify evaluate`.
    """
    described = _describe(context, networks)
    if format_ is WeightsFormat.JSON:
        from democlass.output.formats import json_line

        sys.stdout.buffer.write(json_line(described) + b"\n")
    else:
        _print(described, verbose)
    return 0


def _describe(context: typer.Context, networks: NetworkOptions) -> dict[str, Any]:
    from democlass.networks.checkpoints import load

    locations = networks.locations(context)
    labels = networks.labels()
    described = {}
    for task in TASKS:
        location = locations[task.name]
        checkpoint = load(location, task, labels=labels.get(task.name))
        checkpoint.build(task)
        for warning in checkpoint.warnings:
            console.warn(warning)
        described[task.name] = {
            "title": task.title,
            "path": str(location.path),
            "why": location.origin,
            "sha256": checkpoint.sha256,
            "labels": list(checkpoint.labels),
            "labels_named": checkpoint.labels_named,
            "temperature": checkpoint.temperature,
            "card": dict(checkpoint.card),
        }
    return {**described, _FACE_DETECTOR: _describe_face_detector()}


def _describe_face_detector() -> dict[str, Any]:
    """Return the file of the built-in face detector. It has no labels and no temperature. Raises CheckpointError."""
    from democlass.faces.detector import CHECKPOINT
    from democlass.networks.cards import plain_card
    from democlass.networks.checkpoint_files import read
    from democlass.networks.locations import BUILT_IN, built_in_folder

    path = built_in_folder() / CHECKPOINT
    contents = read(path)
    card = plain_card(contents.metadata.get("card") or {})
    return {
        "title": "face detector, used with --faces",
        "path": str(path),
        "why": BUILT_IN,
        "sha256": contents.sha256,
        "card": card,
    }


def _print(described: dict[str, Any], verbose: bool) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from democlass.names import to_printable

    out = Console(highlight=False, markup=False, emoji=False)
    for number, (name, checkpoint) in enumerate(described.items()):
        if number:
            out.print()
        out.print(Text(checkpoint["title"], style="bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        lines = _detector_summary if name == _FACE_DETECTOR else _summary
        for heading, text in lines(checkpoint, verbose):
            grid.add_row(heading, Text(to_printable(text)))
        out.print(grid)
        if verbose and checkpoint["card"]:
            for depth, line in _lines("card", checkpoint["card"]):
                out.print(Padding(Text(to_printable(line), overflow="fold"), (0, 0, 0, 2 * depth)))
    if not verbose:
        out.print()
        out.print(Text("--verbose shows the whole card of each checkpoint.", style="dim"))


def _summary(checkpoint: dict[str, Any], verbose: bool) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each line about the checkpoint of a task."""
    yield "path", checkpoint["path"]
    yield "why", checkpoint["why"]
    yield "sha256", _digest(checkpoint, verbose)
    yield "temperature", str(checkpoint["temperature"])
    assumed = "" if checkpoint["labels_named"] else " (assumed: the checkpoint lists no labels)"
    yield "labels", ", ".join(checkpoint["labels"]) + assumed
    if not checkpoint["card"]:
        yield "card", "none"
    elif not verbose:
        yield "accuracy", _accuracy(checkpoint["card"])


def _detector_summary(detector: dict[str, Any], verbose: bool) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each line about the face detector, which is always the built-in one."""
    yield "path", detector["path"]
    yield "sha256", _digest(detector, verbose)
    if not verbose:
        for name in ("network", "licence"):
            yield name, _truncate(str(detector["card"].get(name, "not in the card")))


def _digest(checkpoint: dict[str, Any], verbose: bool) -> str:
    digest: str = checkpoint["sha256"]
    return digest if verbose else f"{digest[:_SHORT_DIGEST]}…"


def _accuracy(card: Mapping[str, Any]) -> str:
    """Return the accuracy in a card, and the data it was measured on: of an evaluation, or else of the training."""
    evaluation, choose = card.get("evaluation"), card.get("choose")
    if isinstance(evaluation, Mapping) and _is_share(evaluation.get("accuracy")):
        images = "image" if evaluation["accuracy"]["n"] == 1 else "images"
        return _truncate(
            f"{_format_value(evaluation['accuracy'])} {images} of {evaluation.get('data', 'unnamed data')}"
        )
    if isinstance(choose, Mapping) and _is_number(choose.get("accuracy")):
        return _truncate(f"{choose['accuracy']:.1%} of {card.get('chosen on', 'unnamed data')}, after training")
    return "not in the card"


def _truncate(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"


def _lines(name: str, value: Any, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Yield the lines of a card, each with its depth. A value that holds nested values starts a new level."""
    if _is_nested(value):
        yield depth, name
        for inner, each in value.items():
            yield from _lines(str(inner), each, depth + 1)
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        yield depth, name
        yield from ((depth + 1, _format_value(each)) for each in value)
    else:
        yield depth, f"{name}: {_format_value(value)}"


def _is_nested(value: Any) -> bool:
    if not isinstance(value, Mapping) or _is_share(value):
        return False
    return any(isinstance(each, _NESTED) for each in value.values())


def _format_value(value: Any) -> str:
    if _is_share(value):
        return f"{value['share']:.1%} ({value['low']:.1%} to {value['high']:.1%}) of {value['n']:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_format_value(each)}" for name, each in value.items()) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_number(value.get(name)) for name in ("share", "low", "high", "n"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
