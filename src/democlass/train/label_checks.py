"""Checks of labelled data before a training: enough labels, and validation images that are not trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from democlass.errors import UsageError
from democlass.inputs.labels import Example, LabelSet
from democlass.tasks import Task
from democlass.train.fingerprints import stat_files
from democlass.train.heads import Heads

MAX_COMPARED_BYTES = 2**30
"""Files of equal size are compared by content only if no more than this has to be read."""

_MAX_LISTED = 20


def check_label_sets(train: LabelSet, validation: LabelSet, heads: Heads, warn: Callable[[str], object]) -> None:
    """Check the labels, and that the two files name different images. Decodes no image. Raises UsageError."""
    for task in heads.tasks:
        check_labels(train.of(task), task, train.file, warn, consequence="the network can't learn them")
    for task in heads.exported:
        check_labels(
            validation.of(task), task, validation.file, warn, consequence="the accuracy for them will not be known"
        )
    train_examples, validation_examples = train.of(heads.main), validation.of(heads.main)
    shared = count_shared_images(train_examples, validation_examples)
    if shared == len(validation_examples) == len(train_examples):
        raise UsageError(
            f"--validation {validation.file} has the same images as {train.file}: "
            "validation needs images that are not trained on"
        )
    if shared:
        warn(
            f"{shared:,} of {len(validation_examples):,} images of --validation {validation.file} are also in "
            f"{train.file}: the accuracy will be too high and the temperature wrong"
        )


def check_labels(
    examples: Sequence[Example], task: Task, file: Path, warn: Callable[[str], object], *, consequence: str
) -> None:
    """Warn of labels that no example has; the warning ends with `consequence`.

    Raises UsageError if the examples have fewer than two different labels.
    """
    counts = Counter(example.labels[task.name] for example in examples)
    if len(counts) < 2:
        only = next(iter(counts), None)
        found = f"only {only}" if only else "no readable image"
        raise UsageError(f"{file} has {found} for {task.title}: training needs at least two different labels")
    if missing := [label for label in task.labels if label not in counts]:
        warn(f"{file} has no image labelled {', '.join(missing)}: {consequence}")


def count_shared_images(train: Sequence[Example], validation: Sequence[Example]) -> int:
    """Return how many validation images are also in `train`, as the same file or as a copy with the same content."""
    train_stats, validation_stats = stat_files(train), stat_files(validation)
    train_ids = {(each.device, each.inode) for each in train_stats if each}
    is_same = [each is not None and (each.device, each.inode) in train_ids for each in validation_stats]
    others = [
        each for each, same in zip(zip(validation, validation_stats, strict=True), is_same, strict=True) if not same
    ]
    # Only files of equal size can be copies.
    sizes = {each.size for _, each in others if each} & {each.size for each in train_stats if each}
    others = [(example, each) for example, each in others if each and each.size in sizes]
    candidates = [
        (example, each) for example, each in zip(train, train_stats, strict=True) if each and each.size in sizes
    ]
    if sum(each.size for _, each in (*candidates, *others) if each) > MAX_COMPARED_BYTES:
        return sum(is_same)
    contents = {_hash_content(example) for example, _ in candidates} - {None}
    return sum(is_same) + sum(_hash_content(example) in contents for example, _ in others)


def format_faults(faults: Iterable[tuple[str, str]], count: int) -> str:
    """Return the first of `count` paths with their errors, and the number of the others."""
    listed = [f"{path} ({fault})" for (path, fault), _ in zip(faults, range(_MAX_LISTED), strict=False)]
    return ", ".join(listed) + (f" and {count - len(listed):,} more" if count > len(listed) else "")


def _hash_content(example: Example) -> bytes | None:
    try:
        return hashlib.sha256(Path(example.path).read_bytes()).digest()
    except OSError:
        return None
