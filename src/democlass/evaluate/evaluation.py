"""An evaluation from beginning to end: predictions found or read, put beside the labels, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from democlass.classifier import Classifier
from democlass.errors import MissingExtraError, UsageError
from democlass.evaluate.judged import judge
from democlass.results import Prediction
from democlass.tasks import TASKS, Task
from democlass.truth import Truth
from democlass.writers import format_of, require


def evaluate(
    truth: Truth,
    source: Classifier | Path,
    watch: Callable[[Prediction], object] = lambda _: None,
    tasks: Sequence[Task] = TASKS,
) -> dict[str, Any]:
    """Return all figures, as plain values, of a classifier's predictions or of those in a file of results.

    Raises UsageError; MissingExtraError where the libraries that know the formulas are not there.
    """
    try:
        from democlass.evaluate.figures import figures
    except ImportError:
        raise MissingExtraError("judging predictions", "evaluate") from None
    if isinstance(source, Path):
        judged = judge(truth, _read(source, tasks), tasks)
    else:
        judged = judge(truth, _watched(source, truth, watch), tasks)
    return {
        "labels": str(truth.file),
        "images": len(truth.examples),
        "lacking": dict(truth.lacking),
        "predictions": str(source) if isinstance(source, Path) else None,
        "checkpoints": {} if isinstance(source, Path) else _checkpoints(source),
        "tasks": {name: figures(each) for name, each in judged.items()},
    }


def _watched(classifier: Classifier, truth: Truth, watch: Callable[[Prediction], object]) -> Iterator[Prediction]:
    for prediction in classifier.classify([example.path for example in truth.examples]):
        watch(prediction)
        yield prediction


def _checkpoints(classifier: Classifier) -> dict[str, Any]:
    return {
        name: {
            "path": str(checkpoint.location.path),
            "sha256": checkpoint.sha256,
            "temperature": checkpoint.temperature,
        }
        for name, checkpoint in classifier.networks.checkpoints.items()
    }


def _read(file: Path, tasks: Sequence[Task]) -> list[Prediction]:
    try:
        with file.open("rb") as stream:
            return list(require(format_of(file)).read(stream, tasks))
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror}") from None
    except (ValueError, KeyError) as error:
        raise UsageError(f"{file} is no file of results ({error})") from None
