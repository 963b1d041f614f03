"""What was measured, for people: tables, and one picture of where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_PARTS = {"networks": "#3b6ea5", "decoding": "#e0a030", "other": "#888888"}


def tables(results: dict[str, Any]) -> None:
    """Print all results."""
    out = Console()
    for collection, rows in results["collections"].items():
        table = Table("", title=f"{collection}, {results['counts'][collection]} images", title_justify="left")
        for heading in ("images/s", "to reference", "of the ceiling", "networks", "decoding", "waiting"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, row in rows.items():
            ratios = (f"{row[key]:.2f}" if row[key] else "" for key in ("to reference", "to ceiling"))
            processor = (f"{row[part]:.0f} ms" if row[part] else "" for part in ("networks", "decoding"))
            waiting = f"{row['waiting']:.2f} s" if row["waiting"] else ""
            table.add_row(name, f"{row['images/s']:.1f}", *ratios, *processor, waiting)
        out.print(table)
    for name, row in results["processes"].items():
        out.print(f"{name}: {row['s']:.2f} s, peak {row['peak MB']:.0f} MB")
    for name, row in results["linear"].items():
        out.print(f"{name} images: {row['CPU ms an image']:.1f} ms of processor time an image, {row['MB']:.0f} MB")


def picture(results: dict[str, Any], file: Path) -> None:
    """Draw the processor time of an image, by what it is spent on, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "democlass"
    bars = [
        (f"{collection}\n{name}", row)
        for collection, rows in results["collections"].items()
        for name, row in rows.items()
        if name in ("float32", "--fast")
    ]
    figure, axes = pyplot.subplots(figsize=(8, 0.6 * len(bars) + 1.2))
    starts = [0.0] * len(bars)
    for part, colour in _PARTS.items():
        lengths = [row[part] for _, row in bars]
        axes.barh([name for name, _ in bars], lengths, left=starts, color=colour, label=part, height=0.65)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds of processor time an image, all cores together")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
