"""What is checked of labelled data before a training: enough labels, and other images to validate on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from democlass.errors import UsageError
from democlass.inputs.labels import Example
from democlass.tasks import Task
from democlass.train.digests import file_states

MOST_COMPARED = 2**30
"""Bytes: files of equal size are compared by their content where no more has to be read."""

_MOST_NAMED = 20

Say = Callable[[str], object]


def check_labels(examples: Sequence[Example], task: Task, file: Path, warn: Say, *, lack: str) -> None:
    """Warn of labels that no example has; `lack` is what follows from that for them.

    Raises UsageError where there are not two labels to tell apart.
    """
    counts = Counter(example.labels[task.name] for example in examples)
    if len(counts) < 2:
        only = next(iter(counts), None)
        found = f"only {only}" if only else "no image that can be read"
        raise UsageError(f"{file} has {found} for {task.title}: it must have images of two labels or more")
    if absent := [label for label in task.labels if label not in counts]:
        warn(f"{file} has no image labelled {', '.join(absent)}: {lack}")


def count_common(train: Sequence[Example], choose: Sequence[Example]) -> int:
    """Return how many images of `choose` are in `train` too: the same file, or another with the same content."""
    here, there = file_states(train), file_states(choose)
    known = {(state.device, state.inode) for state in here if state}
    same = [state is not None and (state.device, state.inode) in known for state in there]
    rest = [(example, state) for example, state, is_same in zip(choose, there, same, strict=True) if not is_same]
    sizes = {state.size for _, state in rest if state} & {state.size for state in here if state}
    likely = [(e, state) for e, state in zip(train, here, strict=True) if state and state.size in sizes]
    rest = [(e, state) for e, state in rest if state and state.size in sizes]
    if sum(state.size for _, state in (*likely, *rest) if state) > MOST_COMPARED:
        return sum(same)
    contents = {_content(example) for example, _ in likely} - {None}
    return sum(same) + sum(_content(example) in contents for example, _ in rest)


def listed(faults: Iterable[tuple[str, str]], count: int) -> str:
    """Return the first of `count` paths with what is wrong with them, and how many more there are."""
    named = [f"{path} ({fault})" for (path, fault), _ in zip(faults, range(_MOST_NAMED), strict=False)]
    return ", ".join(named) + (f" and {count - len(named):,} more" if count > len(named) else "")


def _content(example: Example) -> bytes | None:
    try:
        return hashlib.sha256(Path(example.path).read_bytes()).digest()
    except OSError:
        return None
