"""The recall of face detection by size and perceived race as a picture, for `faces.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Recall = Mapping[str, Mapping[str, tuple[float, int]]]
"""By perceived race, then by the side of the crops in pixels: the share that was found (0 to 1), and their number."""

_MARKERS = "osD^vP"


def draw_chart(recall: Recall, file: Path) -> None:
    """Draw one line for each perceived race, as SVG. The same recall gives the same file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "democlass"
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for number, (race, by_size) in enumerate(recall.items()):
        sizes = list(by_size)
        shares = [100 * share for share, _ in by_size.values()]
        axes.plot(sizes, shares, marker=_MARKERS[number % len(_MARKERS)], label=race, linewidth=1.5, markersize=5)
    axes.set_xlabel("side of the face crop in a photo of 1200x900 pixels")
    axes.set_ylabel("faces found, %")
    axes.set_ylim(0, 103)
    axes.grid(axis="y", color="#dddddd")
    axes.legend(title="perceived race", loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
