"""An evaluation's figures as the words that the terminal, the page and the Markdown file all show."""

from __future__ import annotations

from typing import Any

CELL_HEADS = ("n", "right", "95 % interval")
GIVEN = "given, of those that people called"


def accuracy(task: dict[str, Any]) -> str:
    """Say how many images are right, with the interval."""
    share = task["accuracy"]
    return f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%}) of {task['n']:,} images right"


def means(task: dict[str, Any]) -> str:
    """Say the figures that are one number for all images."""
    calibration = task["calibration"]
    return (
        f"macro F1 {task['macro_f1']:.3f}, macro recall {task['macro_recall']:.1%}, ECE {calibration['ece']:.3f}, "
        f"NLL {calibration['nll']:.3f}, Brier {calibration['brier']:.3f}"
    )


def cells(group: dict[str, Any]) -> list[list[str]]:
    """Return a row for each cell of a grouping: its name, then what CELL_HEADS say."""
    return [
        [
            f"{name} (worst)" if name == group["worst"] else name,
            f"{cell['n']:,}",
            f"{cell['share']:.1%}",
            f"{cell['low']:.1%} to {cell['high']:.1%}",
        ]
        for name, cell in group["cells"].items()
    ]


def gap(group: dict[str, Any]) -> str:
    """Say how far the best and the worst cell of a grouping are apart."""
    return f"Largest gap {100 * group['gap']:.1f} points: {group['best']} to {group['worst']}"


def confusion(task: dict[str, Any]) -> list[list[str]]:
    """Return a row for each true label: its name, and how many images were given each label."""
    return [[label, *map(str, row)] for label, row in zip(task["labels"], task["confusion"], strict=True)]


def spoken(text: str) -> str:
    """Return labels and groupings as people write them: without underscores, and "gender and race"."""
    return text.replace("_", " ").replace(" x ", " and ")
