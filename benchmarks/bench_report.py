"""The results of `make bench` as tables and as a chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_WIDTH = 120  # characters: narrower tables hide the names

_COLOURS = {"networks": "#3b6ea5", "decoding": "#e0a030", "other": "#888888"}


def print_tables(results: dict[str, Any]) -> None:
    """Print all results."""
    console = Console(width=_WIDTH)
    for image_set, rows in results["collections"].items():
        table = Table("", title=f"{image_set}, {results['counts'][image_set]} images", title_justify="left")
        for heading in ("images/s", "to reference", "to ceiling", "to no faces", "networks", "decoding", "waiting"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, row in rows.items():
            ratios = (f"{row[key]:.2f}" if row[key] else "" for key in ("to reference", "to ceiling", "to no faces"))
            processor = (f"{row[part]:.0f} ms" if row[part] else "" for part in ("networks", "decoding"))
            waiting = f"{row['waiting']:.2f} s" if row["waiting"] else ""
            table.add_row(name, f"{row['images/s']:.1f}", *ratios, *processor, waiting)
        console.print(table)
    for name, row in results["processes"].items():
        console.print(f"{name}: {row['s']:.2f} s, peak {row['peak MB']:.0f} MB")
    for name, row in results["linear"].items():
        console.print(f"{name} images: {row['CPU ms an image']:.1f} ms of processor time per image, {row['MB']:.0f} MB")


def draw_chart(results: dict[str, Any], file: Path) -> None:
    """Draw the processor time per image, split into its parts, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "democlass"
    bars = [
        (f"{image_set}\n{name}", row)
        for image_set, rows in results["collections"].items()
        for name, row in rows.items()
        if name in ("float32", "--fast")
    ]
    figure, axes = pyplot.subplots(figsize=(8, 0.6 * len(bars) + 1.2))
    starts = [0.0] * len(bars)
    for part, colour in _COLOURS.items():
        lengths = [row[part] for _, row in bars]
        axes.barh([name for name, _ in bars], lengths, left=starts, color=colour, label=part, height=0.65)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds of processor time per image, all cores together")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
