"""The report on a collection: its composition as a whole and by group, with all estimates of the shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from democlass.errors import UsageError
from democlass.report.composition import Composition, Photos, Question, photos_of, questions, whole_photos
from democlass.report.confusions import Checkpoint, find_checkpoints
from democlass.report.correction import corrected
from democlass.report.estimates import Shares, counted, mean_probability
from democlass.report.grouping import Grouping
from democlass.report.labelled import LabelledSample, read_labelled
from democlass.report.reading import read_pieces
from democlass.report.target import Comparison, compare, read_targets
from democlass.tasks import TASKS, Task

MAX_GROUPS = 1000
SCHEMA = 1
"""Version of the JSON document."""

COUNTED, MEAN_PROBABILITY, CORRECTED, LABELLED = "counted", "mean_probability", "corrected", "labelled"


@dataclass(frozen=True)
class Estimates:
    """The estimates for one question, by name. `left_out` says why others are missing, `warnings` what to know."""

    shares: dict[str, Shares]
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def best(self) -> str:
        """The name of the estimate that relies least on the networks."""
        return next(name for name in (LABELLED, CORRECTED, COUNTED) if name in self.shares)


@dataclass(frozen=True)
class Report:
    """A report: `whole` is the composition of all files, `groups` those of the groups, by their values.

    `labelled` is the labelled sample of all files, if there is one. `targets` are target shares, float64 K, by the name
    of the question.
    """

    files: Sequence[Path]
    unit: str
    group_names: Sequence[str]
    whole: Composition
    groups: dict[tuple[str, ...], Composition]
    checkpoints: dict[str, Checkpoint]
    tasks: Sequence[Task] = TASKS
    labelled: LabelledSample | None = None
    targets: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    _estimates: dict[tuple[int, str], Estimates | None] = field(default_factory=dict, repr=False, compare=False)

    def shares(self, question: Question, estimate: str) -> Shares:
        """Return one estimate of the shares of all files. Raises KeyError if it is missing."""
        estimates = self.estimate(self.whole, question)
        if estimates is None:
            raise KeyError(question.name)
        return estimates.shares[estimate]

    def compare_with_target(self, estimates: Estimates, question: Question) -> Comparison | None:
        """Return the comparison of the best estimate with its target, None without a target for the question."""
        target = self.targets.get(question.name)
        return None if target is None else compare(estimates.shares[estimates.best], target)

    def estimate(self, composition: Composition, question: Question) -> Estimates | None:
        """Return the estimates for the composition, or None if it has no face with a label. They are computed once."""
        key = (id(composition), question.name)
        if key not in self._estimates:
            self._estimates[key] = self._compute(composition, question)
        return self._estimates[key]

    def _compute(self, composition: Composition, question: Question) -> Estimates | None:
        sums = composition.counted.get(question.name)
        if sums is None or sums.faces == 0:
            return None
        shares = {COUNTED: counted(sums), MEAN_PROBABILITY: mean_probability(composition.probabilities[question.name])}
        checkpoints = [self.checkpoints[task.name] for task in question.tasks]
        matrices = [each.confusion for each in checkpoints if each.confusion is not None]
        left_out, warnings = dict[str, str](), list[str]()
        if len(matrices) < len(checkpoints):
            left_out[CORRECTED] = "; ".join(dict.fromkeys(each.reason for each in checkpoints if each.reason))
        else:
            correction = corrected(sums, *matrices)
            shares[CORRECTED] = correction.shares
            if correction.is_nearly_singular:
                warnings.append(
                    f"the network confuses labels of {question.title} so often that the corrected shares are uncertain"
                )
        if self.labelled is not None and composition is self.whole:
            powered = self.labelled.estimate(question)
            if powered is None:
                left_out[LABELLED] = "fewer than two faces have labels"
            else:
                shares[LABELLED] = powered
        return Estimates(shares, left_out, warnings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, as docs/report.md describes them."""
        return {
            "schema": SCHEMA,
            "files": [str(file) for file in self.files],
            "unit": self.unit,
            "checkpoints": {
                name: {"sha256": each.sha256, "confusion_from": each.data or None}
                for name, each in self.checkpoints.items()
            },
            **self._describe(self.whole),
            "groups": [
                {"by": dict(zip(self.group_names, values, strict=True)), **self._describe(composition)}
                for values, composition in self.groups.items()
            ],
        }

    def _describe(self, composition: Composition) -> dict[str, Any]:
        shares: dict[str, Any] = {}
        left_out: dict[str, Any] = {}
        targets: dict[str, Any] = {}
        for question in questions(self.tasks):
            estimates = self.estimate(composition, question)
            if estimates is None:
                continue
            left_out |= {question.name: estimates.left_out} if estimates.left_out else {}
            shares[question.name] = {
                label: {name: _describe_share(each, index) for name, each in estimates.shares.items()}
                for index, label in enumerate(question.labels)
            }
            if (comparison := self.compare_with_target(estimates, question)) is not None:
                targets[question.name] = _describe_comparison(comparison, question, estimates.best)
        return {
            "images": {"total": composition.images.total(), **dict(composition.images)},
            "faces": {
                "classified": composition.faces,
                "too_small": composition.too_small,
                "uncertain": dict(composition.uncertain),
            },
            "shares": shares,
            "left_out": left_out,
            **({"target": targets} if targets else {}),
        }


def make_report(
    files: Sequence[Path],
    *,
    unit: str = "face",
    grouping: Grouping | None = None,
    labelled: Path | None = None,
    target: str | None = None,
    tasks: Sequence[Task] = TASKS,
) -> Report:
    """Read results in pieces and return the report.

    `unit` is `face` or `image`: what counts the same. `labelled` is a filled-in sample, for faces only. `target`
    is `uniform` or the path of a CSV of target shares. Raises UsageError, MissingExtraError.
    """
    sample = None if labelled is None else LabelledSample(read_labelled(labelled, tasks), tasks)
    if sample is not None and unit != "face":
        raise UsageError("--labelled needs --unit face: a sample consists of faces")
    targets = {} if target is None else read_targets(target, tasks)
    whole, groups = Composition(), dict[tuple[str, ...], Composition]()
    for file in files:
        for piece in whole_photos(read_pieces(file, tasks)):
            photos = photos_of(piece, tasks, by_image=unit == "image")
            whole.add(photos)
            if sample is not None:
                sample.add(piece, photos)
            if grouping is not None:
                _add_to_groups(groups, grouping, photos)
    if not whole.images:
        raise UsageError(f"no row in {', '.join(map(str, files))}")
    if sample is not None:
        sample.check()
    names = [] if grouping is None else grouping.names
    ordered = dict(sorted(groups.items()))
    return Report(files, unit, names, whole, ordered, find_checkpoints(files, tasks), tasks, sample, targets)


def _add_to_groups(groups: dict[tuple[str, ...], Composition], grouping: Grouping, photos: Photos) -> None:
    values = grouping.values(photos.paths)
    numbers: dict[tuple[str, ...], int] = {}
    index = np.array([numbers.setdefault(each, len(numbers)) for each in values])
    for each, number in numbers.items():
        if each not in groups and len(groups) == MAX_GROUPS:
            raise UsageError(f"--by makes more than {MAX_GROUPS:,} groups: use a smaller depth, or another column")
        groups.setdefault(each, Composition()).add(photos, index == number)


def _describe_share(shares: Shares, index: int) -> dict[str, float | int]:
    values = {"share": shares.share[index], "low": shares.low[index], "high": shares.high[index]}
    return {**{name: round(float(value), 6) for name, value in values.items()}, "n": shares.n}


def _describe_comparison(comparison: Comparison, question: Question, estimate: str) -> dict[str, Any]:
    labels = {
        label: {
            "target": round(float(comparison.target[index]), 6),
            "difference": round(float(comparison.difference[index]), 6),
            "missing": int(comparison.missing[index]),
        }
        for index, label in enumerate(question.labels)
    }
    test = {"chi_square": comparison.chi_square, "p": comparison.p, "cramers_v": comparison.cramers_v}
    return {"estimate": estimate, "labels": labels, **{name: round(value, 6) for name, value in test.items()}}
