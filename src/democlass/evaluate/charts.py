"""The pictures: reliability, confusion, groups, coverage; each an SVG of its own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from democlass.evaluate.tables import present

_BLUE, _ORANGE, _GREY = "#3b6ea5", "#d0812a", "#8a8a8a"
_INK, _LINES, _PAPER = "#222222", "#e4e4e4", "#ffffff"
_CELL, _ON_CELL = "#3b6ea4", "#fdfdfd"
_STYLE: Any = {
    "svg.hashsalt": "democlass",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.facecolor": _PAPER,
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}
_DARK_CELL = 0.8
"""Share from which a cell of the confusion is so dark that its text is light."""
_THEME = {
    _BLUE: "var(--blue)",
    _ORANGE: "var(--orange)",
    _GREY: "var(--grey)",
    _CELL: "var(--cell)",
    _INK: "var(--ink)",
    _LINES: "var(--lines)",
    _PAPER: "none",
}


def themed(svg: str) -> str:
    """Return a chart for a page that defines its colours: --ink, --lines, --grey, --blue, --orange and --cell."""
    for colour, variable in _THEME.items():
        svg = svg.replace(f": {colour}", f": {variable}")
    return svg


def reliability(task: dict[str, Any]) -> str:
    """Draw how often labels of a confidence are right; on the diagonal they are right as often as they say."""

    def draw(axes: Axes) -> None:
        bins = task["calibration"]["bins"]
        at = [each["confidence"] for each in bins]
        accuracy = [each["share"] for each in bins]
        spread = [[each["share"] - each["low"] for each in bins], [each["high"] - each["share"] for each in bins]]
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
        axes.errorbar(at, accuracy, yerr=np.clip(spread, 0, None), color=_BLUE, marker="o", markersize=4, linewidth=1)
        axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))

    return _svg(draw, (4, 3.6))


def coverage(task: dict[str, Any]) -> str:
    """Draw how accuracy rises, and how many images keep a label, with --min-confidence."""

    def draw(axes: Axes) -> None:
        at = [each["min_confidence"] for each in task["coverage"]]
        axes.plot(at, [each["accuracy"] for each in task["coverage"]], color=_BLUE, label="right, of those labelled")
        axes.plot(at, [each["coverage"] for each in task["coverage"]], color=_ORANGE, label="labelled, of all")
        axes.set(xlabel="--min-confidence", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(frameon=False, loc="lower left")

    return _svg(draw, (4, 3.6))


def confusion(task: dict[str, Any]) -> str:
    """Draw the share of each true label (a row) that was given each label (a column), with counts.

    Labels that the data does not have get no row.
    """
    rows = present(task)

    def draw(axes: Axes) -> None:
        counts = np.array(task["confusion"])[rows]
        shares = counts / counts.sum(1, keepdims=True)
        labels = [label.replace("_", "\n") for label in task["labels"]]
        axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(rows) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(rows)), [labels[row] for row in rows])
        axes.set(xlabel="label given", ylabel="label that people gave")
        for (row, column), value in np.ndenumerate(counts):
            share = float(shares[row, column])
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_CELL, alpha=share, linewidth=0))
            colour = _ON_CELL if share > _DARK_CELL else _INK
            axes.text(column, row, f"{share:.0%}\n{value}", ha="center", va="center", fontsize=7, color=colour)

    return _svg(draw, (1.6 + 0.72 * len(task["labels"]), 1.6 + 0.72 * len(rows)), spines=True)


def groups(cells: dict[str, dict[str, float]]) -> str:
    """Draw each group's accuracy with its 95 % interval, worst first."""
    ordered = sorted(cells.items(), key=lambda item: item[1]["share"])

    def draw(axes: Axes) -> None:
        places = range(len(ordered))
        at = [cell["share"] for _, cell in ordered]
        spread = [[c["share"] - c["low"] for _, c in ordered], [c["high"] - c["share"] for _, c in ordered]]
        axes.errorbar(at, places, xerr=np.clip(spread, 0, None), fmt="o", color=_BLUE, markersize=5, linewidth=1.2)
        axes.set_yticks(places, [f"{name}  ({int(cell['n'])})" for name, cell in ordered])
        axes.set(xlabel="accuracy, 95 % interval", ylim=(-0.6, len(ordered) - 0.4))
        axes.set_xlim(right=1)
        axes.grid(axis="x", color=_LINES)
        axes.set_axisbelow(True)
        axes.invert_yaxis()

    return _svg(draw, (6, 0.8 + 0.3 * len(ordered)))


def _svg(draw: Callable[[Axes], None], size: tuple[float, float], *, spines: bool = False) -> str:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        if not spines:
            axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
