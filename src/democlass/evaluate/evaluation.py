"""Runs an evaluation: makes or reads predictions, matches them with labels, and computes metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from democlass import __version__
from democlass.errors import MissingExtraError
from democlass.evaluate.matching import join_labels, match_predictions
from democlass.evaluate.predictions import read_results
from democlass.evaluate.run_records import describe_detection, describe_run, read_record
from democlass.inputs.item import Item
from democlass.inputs.labels import LabelSet
from democlass.output.run_info import now
from democlass.results import Prediction
from democlass.tasks import TASKS, Task

if TYPE_CHECKING:
    from democlass.classifier import Classifier


def evaluate(
    label_set: LabelSet,
    source: Classifier | Path,
    on_prediction: Callable[[Prediction], object] = lambda _: None,
    tasks: Sequence[Task] = TASKS,
    *,
    items: Iterable[Item] | None = None,
) -> dict[str, Any]:
    """Evaluate a classifier, or the predictions in a file of results, and return all metrics as JSON values.

    `on_prediction` is called for each image that the classifier has classified. `items` are these images, by default
    one for each example of the label set, in order. In the returned dict:

    - `date` is in UTC.
    - `lacking` counts rows of the labels file that are not used, and `unused` predictions, by reason.
    - `checkpoints` and `classified` (date, version, precision) describe the run that made the predictions. For a file
      of results they come from its run record; without a record they are empty.
    - `faces` is there only after face detection. It counts the images without a face to evaluate, as
      `faces.count_missed` describes, and has the detection's `face_size` and `min_face`, in pixels; None if unknown.

    The largest face of each image is evaluated.

    Raises UsageError, and MissingExtraError if the packages that compute the metrics are not installed.
    """
    try:
        from democlass.evaluate.faces import count_missed
        from democlass.evaluate.metrics import compute_metrics
    except ImportError:
        raise MissingExtraError("evaluating predictions", "evaluate") from None
    date = now()
    if isinstance(source, Path):
        matched = match_predictions(label_set, read_results(source, tasks))
        record = read_record(source)
        run = {"predictions": str(source), **describe_run(record, tasks)}
        detection = describe_detection((record or {}).get("options"))
    else:
        if items is None:
            items = (Item.of(example.path) for example in label_set.examples)
        matched = match_predictions(label_set, _classify(source, items, on_prediction))
        run = {"predictions": None, **_describe_classifier(source, date)}
        detection = describe_detection(vars(source.settings))
    labelled = join_labels(label_set, matched, tasks)
    missed = count_missed(label_set, matched, tasks)
    return {
        "date": date,
        "version": __version__,
        "labels": str(label_set.file),
        "images": len(label_set.examples),
        "lacking": dict(label_set.excluded),
        **run,
        "unused": dict(matched.unused),
        **({} if missed is None else {"faces": detection | missed}),
        "tasks": {name: compute_metrics(each) for name, each in labelled.items()},
    }


def _classify(
    classifier: Classifier, items: Iterable[Item], on_prediction: Callable[[Prediction], object]
) -> Iterator[Prediction]:
    for prediction in classifier.classify(items):
        on_prediction(prediction)
        yield prediction


def _describe_classifier(classifier: Classifier, date: str) -> dict[str, Any]:
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
