"""An evaluation's figures as the words that the terminal, the page and the Markdown file all show."""

from __future__ import annotations

import math
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
    over = "" if (said := absent(task)) is None else f" ({said})"
    return (
        f"macro F1 {task['macro_f1']:.3f}, macro recall {task['macro_recall']:.1%}{over}, "
        f"ECE {calibration['ece']:.3f}, NLL {calibration['nll']:.3f}, Brier {calibration['brier']:.3f}"
    )


def absent(task: dict[str, Any]) -> str | None:
    """Say over how many labels the macro means are, or None where the data has them all."""
    count, whole = len(present(task)), len(task["labels"])
    return None if count == whole else f"over the {count} of {whole} labels that the data has"


def present(task: dict[str, Any]) -> list[int]:
    """Return the places of the labels that people gave to at least one image."""
    return [place for place, row in enumerate(task["confusion"]) if any(row)]


def explained(task: dict[str, Any]) -> list[list[str]]:
    """Return a row for each figure that is one number for all images: its name, its value, what it means."""
    calibration, labels = task["calibration"], len(task["labels"])
    over = absent(task) or "over the labels"
    share = task["accuracy"]
    return [
        ["Accuracy", f"{share['share']:.1%}", "Share of the images for which the most probable label is the one that "
         f"people gave. 95 % interval: {share['low']:.1%} to {share['high']:.1%}."],
        ["Macro recall", f"{task['macro_recall']:.1%}", f"Mean {over} of the share that is right; each label counts "
         "the same, however frequent it is."],
        ["Macro F1", f"{task['macro_f1']:.3f}", f"Mean {over} of F1, the harmonic mean of precision and recall. "
         "1 is best."],
        ["ECE", f"{calibration['ece']:.3f}", "Expected calibration error: how far confidence and the share that is "
         "right are apart, on average, in 15 equal bins of confidence. 0 is best."],
        ["NLL", f"{calibration['nll']:.3f}", "Negative log-likelihood: mean of the negative natural logarithm of "
         "the probability of the label that people gave. 0 is best; equal "
         f"probabilities for all {labels} labels give {math.log(labels):.3f}."],
        ["Brier score", f"{calibration['brier']:.3f}", "Mean squared distance between the probabilities and the label "
         "that people gave (1 for it, 0 for the others), summed over the labels. 0 is best, 2 is worst; equal "
         f"probabilities give {1 - 1 / labels:.3f}."],
    ]  # fmt: skip


def cells(group: dict[str, Any]) -> list[list[str]]:
    """Return a row for each cell of a grouping: its name, then what CELL_HEADS say."""
    return [
        [
            f"{name} (worst)" if name == group["worst"] and group["gap"] > 0 else name,
            f"{cell['n']:,}",
            f"{cell['share']:.1%}",
            f"{cell['low']:.1%} to {cell['high']:.1%}",
        ]
        for name, cell in group["cells"].items()
    ]


def gap(group: dict[str, Any]) -> str:
    """Say how far the best and the worst cell of a grouping are apart."""
    if len(group["cells"]) < 2:
        return "Only one group, so that there is no gap"
    if group["gap"] == 0:
        return "Largest gap 0.0 points: all groups are alike"
    return f"Largest gap {100 * group['gap']:.1f} points: {group['best']} to {group['worst']}"


def confusion(task: dict[str, Any]) -> list[list[str]]:
    """Return a row for each label that the data has: its name, and how many images were given each label."""
    return [[task["labels"][place], *map(str, task["confusion"][place])] for place in present(task)]


def made_by(evaluation: dict[str, Any]) -> list[str]:
    """Say when and with what the evaluation was made, and what made the predictions; one sentence each."""
    said = [f"Evaluated on {_day(evaluation['date'])} with democlass {evaluation['version']}."]
    if evaluation["predictions"] is None:
        return said
    classified = evaluation["classified"]
    by = [f"with democlass {classified['version']}"] if classified["version"] else []
    by += [f"in {classified['precision']}"] if classified["precision"] else []
    when = f" on {_day(classified['date'])}" if classified["date"] else ""
    how = f"made{when} {' '.join(by)}".rstrip() if when or by else "no record beside it says what made it"
    return [*said, f"Predictions: {evaluation['predictions']}, {how}."]


def checkpoints(evaluation: dict[str, Any]) -> list[list[str]]:
    """Return a row for each checkpoint: the task, its file and its SHA-256."""
    return [
        [name, made["path"] or "not known", made["sha256"] or "not known"]
        for name, made in evaluation["checkpoints"].items()
    ]


def left_out(evaluation: dict[str, Any]) -> list[str]:
    """Say what of the labels file and of the predictions is not used, and why."""
    rows = [f"{count:,} rows of the labels file: {reason}" for reason, count in evaluation["lacking"].items()]
    return rows + [f"{count:,} predictions {reason}" for reason, count in evaluation["unused"].items()]


def spoken(text: str) -> str:
    """Return labels and groupings as people write them: without underscores, and "gender and race"."""
    return text.replace("_", " ").replace(" x ", " and ")


def _day(date: str) -> str:
    return date.partition("T")[0]
