"""`classify evaluate LABELS`: compares predictions with annotators' labels."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.evaluate_options import EvaluateOptions, PredictionOptions, ReportOptions
from democlass.cli.expand import expand
from democlass.cli.interrupt import ReaderGone
from democlass.cli.labels import LabelsOptions
from democlass.cli.loading import load_classifier
from democlass.cli.options import NetworkOptions
from democlass.cli.progress import Progress
from democlass.cli.suggestion import Watch, suggest_faces
from democlass.errors import UsageError, WriteError
from democlass.inputs.item import Item

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.evaluate.reports import Reports
    from democlass.inputs.labels import LabelSet

app = typer.Typer(add_completion=False)


@app.command()
@expand
def evaluate(
    context: typer.Context,
    labels: Annotated[Path, typer.Argument(help="CSV or Parquet file with the path and the labels of each image.")],
    networks: NetworkOptions,
    settings: EvaluateOptions,
    labels_options: LabelsOptions,
    prediction_options: PredictionOptions,
    report_options: ReportOptions,
) -> int:
    """Compare predictions of perceived gender and perceived race with annotators' labels, also for each group.

    Accuracy is agreement with the annotators. It is computed for each label and each pair of labels, because networks
    that are accurate on average can be less accurate for some groups. With --faces, the largest face of each image is
    evaluated, and images without a face are counted for each group.
    """
    predictions = prediction_options.predictions
    if report_options.card and predictions is not None:
        raise UsageError("--card needs checkpoints that are evaluated now: remove --predictions")
    prediction_options.check(labels)
    if predictions is not None:
        settings.refuse_faces(context)
    reports = report_options.reports()
    checkpoints = _checkpoint_files(context, networks) if predictions is None else {}
    inputs = [("the labels file", labels), *_describe(checkpoints), *prediction_options.inputs()]
    reports.check(inputs, overwrite=report_options.overwrite)
    if report_options.card:
        from democlass.evaluate.cards import check_cards

        check_cards(checkpoints)
    label_set = labels_options.read(labels)
    reports.check_images(example.path for example in label_set.examples)
    if predictions is not None:
        evaluation = _evaluate_results(label_set, predictions)
    else:
        evaluation = _evaluate_images(label_set, load_classifier(context, networks, settings), quiet=settings.quiet)
    _warn(evaluation)
    _write(evaluation, reports, report_options)
    return 0


def _checkpoint_files(context: typer.Context, networks: NetworkOptions) -> dict[str, Path]:
    return {name: location.path for name, location in networks.locations(context).items()}


def _describe(checkpoints: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, path in checkpoints.items():
        yield f"the checkpoint for {name}", path


def _evaluate_results(label_set: LabelSet, predictions: Path) -> dict[str, Any]:
    from democlass.evaluate.evaluation import evaluate

    return evaluate(label_set, predictions)


def _evaluate_images(label_set: LabelSet, classifier: Classifier, *, quiet: bool) -> dict[str, Any]:
    """Classify the images and evaluate the predictions. Unless `quiet`, show progress and perhaps suggest --faces."""
    from democlass.evaluate.evaluation import evaluate

    items: Iterable[Item] = (Item.of(example.path) for example in label_set.examples)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(len(label_set.examples), shown=not quiet))
        watch: Watch = progress.advance
        if not quiet:
            items, watch = stack.enter_context(suggest_faces(classifier, items, watch, progress.warn))
        return evaluate(label_set, classifier, watch, items=items)


def _warn(evaluation: dict[str, Any]) -> None:
    """Warn about predictions and images that are not used."""
    for reason, count in evaluation["unused"].items():
        console.warn(f"{evaluation['predictions']}: {count:,} predictions {reason} are not used")
    for task in evaluation["tasks"].values():
        for reason, count in task["lacking"].items():
            console.warn(f"{task['title']}: {count:,} images {reason} are not evaluated")


def _write(evaluation: dict[str, Any], reports: Reports, options: ReportOptions) -> None:
    """Write files, cards and standard output. If a file can't be written, the others still are."""
    try:
        reports.write(evaluation)
    except WriteError:
        with suppress(ReaderGone):
            _write_cards_and_output(evaluation, options)
        raise
    _write_cards_and_output(evaluation, options)


def _write_cards_and_output(evaluation: dict[str, Any], options: ReportOptions) -> None:
    from democlass.cli.metric_tables import format_tables

    if options.card:
        from democlass.evaluate.cards import write_cards

        for path in write_cards(evaluation):
            console.write_line(f"card        {path}")
    for part in _json_parts(evaluation) if options.prints_json else format_tables(evaluation):
        sys.stdout.write(part)  # a stream of cli/stdio.py, which raises ReaderGone and WriteError
        sys.stdout.flush()


def _json_parts(evaluation: dict[str, Any]) -> Iterator[str]:
    from democlass.evaluate.reports import to_json

    yield to_json(evaluation)
