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
from democlass.inputs.labels import Truth
from democlass.output.run_info import now
from democlass.results import Prediction
from democlass.tasks import TASKS, Task


def evaluate(
    truth: Truth,
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
        matched = match(truth, read_results(source, tasks))
        made_by = {"predictions": str(source), **described(read_record(source), tasks)}
    else:
        matched = match(truth, _watched(source, truth, watch))
        made_by = {"predictions": None, **_made_by(source, date)}
    return {
        "date": date,
        "version": __version__,
        "labels": str(truth.file),
        "images": len(truth.examples),
        "lacking": dict(truth.lacking),
        **made_by,
        "unused": dict(matched.unused),
        "tasks": {name: figures(each) for name, each in judge(truth, matched, tasks).items()},
    }


def _watched(classifier: Classifier, truth: Truth, watch: Callable[[Prediction], object]) -> Iterator[Prediction]:
    for prediction in classifier.classify([example.path for example in truth.examples]):
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
