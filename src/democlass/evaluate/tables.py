"""The texts and table rows of an evaluation, which the terminal, the HTML page and the Markdown file share."""

from __future__ import annotations

import math
from typing import Any

GROUP_COLUMNS = ("images", "accuracy", "95 % interval")
"""Headings of the columns after the group's name."""

FACE_COLUMNS = ("images", "no face", "too small", "missed", "95 % interval")
"""Headings of the columns of the table of missed faces, after the group's name."""

CONFUSION_HEADING = "annotators' label (row), predicted label (column)"


def format_accuracy(task: dict[str, Any]) -> str:
    """Return the accuracy with its interval and the number of images."""
    share = task["accuracy"]
    return (
        f"accuracy {share['share']:.1%} (95 % interval {share['low']:.1%} to {share['high']:.1%}), {task['n']:,} images"
    )


def format_metrics(task: dict[str, Any]) -> str:
    """Return the other metrics that are one number for all images."""
    calibration = task["calibration"]
    note = describe_present_labels(task)
    return (
        f"macro F1 {task['macro_f1']:.3f}, macro recall {task['macro_recall']:.1%}{f' ({note})' if note else ''}, "
        f"ECE {calibration['ece']:.3f}, NLL {calibration['nll']:.3f}, Brier {calibration['brier']:.3f}"
    )


def describe_present_labels(task: dict[str, Any]) -> str | None:
    """Return which labels the macro means are over, or None if the data has all labels."""
    present, total = len(present_labels(task)), len(task["labels"])
    return None if present == total else f"over the {present} of {total} labels that the data has"


def present_labels(task: dict[str, Any]) -> list[int]:
    """Return the indices of the labels that at least one image has."""
    return [index for index, row in enumerate(task["confusion"]) if any(row)]


def explain_metrics(task: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the name, the value and the meaning of each metric that is one number for all images."""
    calibration, labels = task["calibration"], len(task["labels"])
    mean = f"Mean {describe_present_labels(task) or 'over the labels'}"
    share = task["accuracy"]
    return [
        ("Accuracy", f"{share['share']:.1%}", "Share of the images for which the most probable label is the "
         f"annotators' label. 95 % interval: {share['low']:.1%} to {share['high']:.1%}."),
        ("Macro recall", f"{task['macro_recall']:.1%}", f"{mean} of the recall, the share of a label's images that "
         "are predicted correctly. Every label has the same weight, however many images it has."),
        ("Macro F1", f"{task['macro_f1']:.3f}", f"{mean} of F1, the harmonic mean of precision and recall. 1 is best."),
        ("ECE", f"{calibration['ece']:.3f}", "Expected calibration error: the mean difference between confidence and "
         "accuracy, in 15 equal bins of confidence. 0 is best."),
        ("NLL", f"{calibration['nll']:.3f}", "Negative log-likelihood: the mean of the negative natural logarithm of "
         "the probability of the annotators' label. 0 is best; equal probabilities for all "
         f"{labels} labels give {math.log(labels):.3f}."),
        ("Brier score", f"{calibration['brier']:.3f}", "Mean squared distance between the probabilities and the "
         "annotators' label (1 for that label, 0 for the others), summed over the labels. 0 is best, 2 is worst; "
         f"equal probabilities give {1 - 1 / labels:.3f}."),
    ]  # fmt: skip


def group_rows(grouping: dict[str, Any]) -> list[list[str]]:
    """Return a row for each group: its name, then the GROUP_COLUMNS."""
    return [
        [
            f"{name} (worst)" if name == grouping["worst"] and grouping["gap"] > 0 else name,
            f"{cell['n']:,}",
            f"{cell['share']:.1%}",
            f"{cell['low']:.1%} to {cell['high']:.1%}",
        ]
        for name, cell in grouping["cells"].items()
    ]


def format_gap(grouping: dict[str, Any]) -> str:
    """Return the difference between the best and the worst group."""
    if len(grouping["cells"]) < 2:
        return "Only one group: there is no gap"
    if grouping["gap"] == 0:
        return "Largest gap: 0.0 percentage points, all groups have the same accuracy"
    gap = 100 * grouping["gap"]
    return f"Largest gap: {gap:.1f} percentage points, from {grouping['worst']} to {grouping['best']}"


def format_missed(faces: dict[str, Any]) -> str:
    """Return how many images have no face that can be evaluated."""
    share, missed = faces["all"], faces["all"]["without_face"] + faces["all"]["too_small"]
    return (
        f"missed in {missed:,} of {share['n']:,} images ({share['share']:.1%}, 95 % interval {share['low']:.1%} to "
        f"{share['high']:.1%}): {share['without_face']:,} without a face, {share['too_small']:,} with a face that is "
        "too small"
    )


def describe_detection(faces: dict[str, Any]) -> str:
    """Return sentences that say which faces are evaluated. The settings of detection can be unknown."""
    sentences = ["The largest face of each image is evaluated."]
    if faces["face_size"] is not None:
        sentences.append(f"Faces were searched in images reduced to {faces['face_size']} pixels.")
    if faces["min_face"] is not None:
        sentences.append(f"Faces smaller than {faces['min_face']} pixels are too small.")
    return " ".join(sentences)


def face_groupings(faces: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the groupings that people read: by one task. Those by two have many small groups."""
    return [grouping for name, grouping in faces["groups"].items() if " x " not in name]


def face_rows(grouping: dict[str, Any]) -> list[list[str]]:
    """Return a row for each group: its name, then the FACE_COLUMNS."""
    return [
        [
            name,
            f"{cell['n']:,}",
            f"{cell['without_face']:,}",
            f"{cell['too_small']:,}",
            f"{cell['share']:.1%}",
            f"{cell['low']:.1%} to {cell['high']:.1%}",
        ]
        for name, cell in grouping["cells"].items()
    ]


def format_difference(grouping: dict[str, Any]) -> str:
    """Return the largest significant difference between the shares of missed faces of two groups."""
    if len(grouping["cells"]) < 2:
        return "Only one group: there is no difference"
    found = grouping["significant"]
    if found is None:
        return "No difference between groups is significant"
    more, less = (f"{found[key]} ({grouping['cells'][found[key]]['share']:.1%})" for key in ("more", "less"))
    adjusted = f", adjusted for {found['pairs']} pairs of groups" if found["pairs"] > 1 else ""
    return (
        f"Significant difference: faces are missed more often for {more} than for {less}, by "
        f"{100 * found['difference']:.1f} percentage points (95 % interval {100 * found['low']:.1f} to "
        f"{100 * found['high']:.1f}{adjusted})"
    )


def confusion_rows(task: dict[str, Any]) -> list[list[str]]:
    """Return a row for each label that the data has: its name, and how many of its images got each label."""
    return [[task["labels"][index], *map(str, task["confusion"][index])] for index in present_labels(task)]


def describe_origin(evaluation: dict[str, Any]) -> list[str]:
    """Return sentences that say when and with which versions the evaluation and the predictions were made."""
    sentences = [f"Evaluated on {_day(evaluation['date'])} with democlass {evaluation['version']}."]
    if evaluation["predictions"] is None:
        return sentences
    run = evaluation["classified"]
    parts = [f"on {_day(run['date'])}"] if run["date"] else []
    parts += [f"with democlass {run['version']}"] if run["version"] else []
    parts += [f"in {run['precision']}"] if run["precision"] else []
    origin = f"made {' '.join(parts)}" if parts else "without a run record, so that their origin is unknown"
    return [*sentences, f"Predictions: {evaluation['predictions']}, {origin}."]


def checkpoint_rows(evaluation: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the task, the file and the SHA-256 of each checkpoint."""
    return [
        (name, checkpoint["path"] or "unknown", checkpoint["sha256"] or "unknown")
        for name, checkpoint in evaluation["checkpoints"].items()
    ]


def unused_lines(evaluation: dict[str, Any]) -> list[str]:
    """Return how many rows of the labels file and how many predictions are not used, and why."""
    lines = [f"{count:,} rows of the labels file: {reason}" for reason, count in evaluation["lacking"].items()]
    return lines + [f"{count:,} predictions {reason}" for reason, count in evaluation["unused"].items()]


def spell_out(text: str) -> str:
    """Return names of labels and groupings for people: spaces for underscores, and "gender and race"."""
    return text.replace("_", " ").replace(" x ", " and ")


def _day(date: str) -> str:
    return date.partition("T")[0]
