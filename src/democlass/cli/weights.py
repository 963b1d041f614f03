"""`classify weights`: which checkpoints are in use and why, and what is known of them."""

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
_SHORT = 12
"""Characters of a SHA-256 that tell checkpoints apart."""

_LONGEST = 120
"""Characters of a line that is taken from a card, which may hold any text."""

_OPENS = (Mapping, list, tuple)


class ShownAs(str, Enum):
    """How the command answers."""

    TABLE = "table"
    JSON = "json"


@app.command()
@expand
def weights(
    context: typer.Context,
    networks: NetworkOptions,
    shown_as: Annotated[ShownAs, typer.Option("--format", "-f", help="What the answer is written as.")] = ShownAs.TABLE,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the whole SHA-256 and the whole card, as JSON always does.")
    ] = False,
) -> int:
    """Show which checkpoints are in use and why: file, SHA-256, labels in output order, temperature, accuracy.

    The accuracy is what the checkpoint's card says: agreement with annotators, as `classify evaluate` measured it.
    """
    described = _describe(context, networks)
    if shown_as is ShownAs.JSON:
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
    return described


def _print(described: dict[str, Any], verbose: bool) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from democlass.names import to_printable

    out = Console(highlight=False, markup=False, emoji=False)
    for number, checkpoint in enumerate(described.values()):
        if number:
            out.print()
        out.print(Text(checkpoint["title"], style="bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in _summary(checkpoint, verbose):
            grid.add_row(name, Text(to_printable(text)))
        out.print(grid)
        if verbose and checkpoint["card"]:
            for depth, line in _lines("card", checkpoint["card"]):
                out.print(Padding(Text(to_printable(line), overflow="fold"), (0, 0, 0, 2 * depth)))
    if not verbose:
        out.print()
        out.print(Text("--verbose shows the whole card of each checkpoint.", style="dim"))


def _summary(checkpoint: dict[str, Any], verbose: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines about one checkpoint, each with its name."""
    digest = checkpoint["sha256"]
    yield "path", checkpoint["path"]
    yield "why", checkpoint["why"]
    yield "sha256", digest if verbose else f"{digest[:_SHORT]}…"
    yield "temperature", str(checkpoint["temperature"])
    assumed = "" if checkpoint["labels_named"] else " (assumed: the checkpoint names none)"
    yield "labels", ", ".join(checkpoint["labels"]) + assumed
    if not checkpoint["card"]:
        yield "card", "none in the file"
    elif not verbose:
        yield "accuracy", _accuracy(checkpoint["card"])


def _accuracy(card: Mapping[str, Any]) -> str:
    """Return the accuracy of an evaluation, else that of the training's own check, with the data it was found on."""
    evaluation, choose = card.get("evaluation"), card.get("choose")
    if isinstance(evaluation, Mapping) and _is_share(evaluation.get("accuracy")):
        images = "image" if evaluation["accuracy"]["n"] == 1 else "images"
        return _cut(f"{_said(evaluation['accuracy'])} {images} of {evaluation.get('data', 'data that is not named')}")
    if isinstance(choose, Mapping) and _is_number(choose.get("accuracy")):
        return _cut(f"{choose['accuracy']:.1%} of {card.get('chosen on', 'data that is not named')}, after training")
    return "not in the card"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _lines(name: str, value: Any, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Lay a card out as lines, each with how deep it lies: what holds more than plain values opens a level."""
    if isinstance(value, Mapping) and not _is_share(value) and any(isinstance(each, _OPENS) for each in value.values()):
        yield depth, name
        for inner, each in value.items():
            yield from _lines(str(inner), each, depth + 1)
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        yield depth, name
        yield from ((depth + 1, _said(each)) for each in value)
    else:
        yield depth, f"{name}: {_said(value)}"


def _said(value: Any) -> str:
    if _is_share(value):
        return f"{value['share']:.1%} ({value['low']:.1%} to {value['high']:.1%}) of {value['n']:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items()) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_number(value.get(name)) for name in ("share", "low", "high", "n"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
