"""An evaluation from beginning to end: predictions made or read, put beside the labels, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from democlass import __version__
from democlass.classifier import Classifier
from democlass.errors import MissingExtraError
from democlass.evaluate.judged import judge, match
from democlass.evaluate.predictions import described, read_record, read_results
from democlass.inputs.labels import LabelSet
from democlass.output.run_info import now
from democlass.results import Prediction
from democlass.tasks import TASKS, Task


def evaluate(
    label_set: LabelSet,
    source: Classifier | Path,
    watch: Callable[[Prediction], object] = lambda _: None,
    tasks: Sequence[Task] = TASKS,
) -> dict[str, Any]:
    """Return all figures, as plain values, of a classifier's predictions or of those in a file of results.

    `date` is in UTC. `lacking` counts rows of the labels file and `unused` predictions, by reason. `checkpoints` and
    `classified` (date, version, precision) say what made the predictions; for a file of results they are what its
    record says, and empty without one. Raises UsageError; MissingExtraError where the libraries that know the
    formulas are not there.
    """
    try:
        from democlass.evaluate.figures import figures
    except ImportError:
        raise MissingExtraError("judging predictions", "evaluate") from None
    date = now()
    if isinstance(source, Path):
        matched = match(label_set, read_results(source, tasks))
        made_by = {"predictions": str(source), **described(read_record(source), tasks)}
    else:
        matched = match(label_set, _watched(source, label_set, watch))
        made_by = {"predictions": None, **_made_by(source, date)}
    return {
        "date": date,
        "version": __version__,
        "labels": str(label_set.file),
        "images": len(label_set.examples),
        "lacking": dict(label_set.lacking),
        **made_by,
        "unused": dict(matched.unused),
        "tasks": {name: figures(each) for name, each in judge(label_set, matched, tasks).items()},
    }


def _watched(
    classifier: Classifier, label_set: LabelSet, watch: Callable[[Prediction], object]
) -> Iterator[Prediction]:
    for prediction in classifier.classify([example.path for example in label_set.examples]):
        watch(prediction)
        yield prediction


def _made_by(classifier: Classifier, date: str) -> dict[str, Any]:
    checkpoints = {
        name: {
            "path": str(checkpoint.location.path),
            "sha256": checkpoint.sha256,
            "temperature": checkpoint.temperature,
        }
        for name, checkpoint in classifier.networks.checkpoints.items()
    }
    classified = {"date": date, "version": __version__, "precision": classifier.networks.precision.value}
    return {"checkpoints": checkpoints, "classified": classified}
