"""Charts of an evaluation as SVG: reliability, confusion, groups, coverage."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from democlass.evaluate.tables import present_labels

_BLUE, _ORANGE, _GREY = "#3b6ea5", "#d0812a", "#8a8a8a"
_INK, _GRID, _PAPER = "#222222", "#e4e4e4", "#ffffff"
_CELL, _LIGHT_INK = "#3b6ea4", "#fdfdfd"
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
"""Share from which a cell of the confusion matrix is so dark that it needs light text."""

_CSS_VARIABLES = {
    _BLUE: "var(--blue)",
    _ORANGE: "var(--orange)",
    _GREY: "var(--grey)",
    _CELL: "var(--cell)",
    _INK: "var(--ink)",
    _GRID: "var(--lines)",
    _PAPER: "none",
}


def use_css_variables(svg: str) -> str:
    """Return a chart for a page that defines its colours: --ink, --lines, --grey, --blue, --orange and --cell."""
    for colour, variable in _CSS_VARIABLES.items():
        svg = svg.replace(f": {colour}", f": {variable}")
    return svg


def draw_reliability(task: dict[str, Any]) -> str:
    """Draw accuracy against confidence, in bins; on the diagonal they are equal."""

    def draw(axes: Axes) -> None:
        bins = task["calibration"]["bins"]
        confidence, accuracy = ([each[key] for each in bins] for key in ("confidence", "share"))
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
        axes.errorbar(confidence, accuracy, yerr=_error_bars(bins), color=_BLUE, marker="o", markersize=4, linewidth=1)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))

    return _draw_svg(draw, (4, 3.6))


def draw_coverage(task: dict[str, Any]) -> str:
    """Draw accuracy, and the share of images that keep a label, against `--min-confidence`."""

    def draw(axes: Axes) -> None:
        points = task["coverage"]
        threshold = [each["min_confidence"] for each in points]
        axes.plot(threshold, [each["accuracy"] for each in points], color=_BLUE, label="accuracy of labelled images")
        axes.plot(threshold, [each["coverage"] for each in points], color=_ORANGE, label="share of labelled images")
        axes.set(xlabel="--min-confidence", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(frameon=False, loc="lower left")

    return _draw_svg(draw, (4, 3.6))


def draw_confusion(task: dict[str, Any]) -> str:
    """Draw the confusion matrix: a row for each label that the data has, a column for each predicted label.

    A cell shows its share of the row and its number of images.
    """
    rows = present_labels(task)

    def draw(axes: Axes) -> None:
        counts = np.array(task["confusion"])[rows]
        shares = counts / counts.sum(1, keepdims=True)
        labels = [label.replace("_", "\n") for label in task["labels"]]
        axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(rows) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(rows)), [labels[row] for row in rows])
        axes.set(xlabel="predicted label", ylabel="annotators' label")
        for (row, column), count in np.ndenumerate(counts):
            share = float(shares[row, column])
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_CELL, alpha=share, linewidth=0))
            colour = _LIGHT_INK if share > _DARK_CELL else _INK
            axes.text(column, row, f"{share:.0%}\n{count}", ha="center", va="center", fontsize=7, color=colour)

    return _draw_svg(draw, (1.6 + 0.72 * len(task["labels"]), 1.6 + 0.72 * len(rows)), has_frame=True)


def draw_groups(cells: dict[str, dict[str, float]]) -> str:
    """Draw the accuracy of each group with its 95 % interval, the worst group first."""
    ordered = sorted(cells.items(), key=lambda item: item[1]["share"])

    def draw(axes: Axes) -> None:
        rows = range(len(ordered))
        shares = [cell for _, cell in ordered]
        accuracy = [cell["share"] for cell in shares]
        axes.errorbar(accuracy, rows, xerr=_error_bars(shares), fmt="o", color=_BLUE, markersize=5, linewidth=1.2)
        axes.set_yticks(rows, [f"{name}  ({int(cell['n'])})" for name, cell in ordered])
        axes.set(xlabel="accuracy, 95 % interval", ylim=(-0.6, len(ordered) - 0.4))
        axes.set_xlim(right=1)
        axes.grid(axis="x", color=_GRID)
        axes.set_axisbelow(True)
        axes.invert_yaxis()

    return _draw_svg(draw, (6, 0.8 + 0.3 * len(ordered)))


def _error_bars(shares: list[dict[str, float]]) -> Any:
    """Return the lengths of the error bars, 2 x N: below and above each share."""
    bars = [[each["share"] - each["low"] for each in shares], [each["high"] - each["share"] for each in shares]]
    return np.clip(bars, 0, None)  # rounding can make one slightly negative, which matplotlib refuses


def _draw_svg(draw: Callable[[Axes], None], size: tuple[float, float], *, has_frame: bool = False) -> str:
    """Return the SVG element of a figure; `size` is in inches."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        if not has_frame:
            axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
