"""`classify evaluate LABELS`: compares predictions with annotators' labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.interrupt import ReaderGone
from democlass.cli.labels import DATA, LabelsOptions
from democlass.cli.loading import load_classifier
from democlass.cli.option import OUTPUT, option
from democlass.cli.options import NetworkOptions, SettingsOptions
from democlass.cli.progress import Progress
from democlass.errors import UsageError, WriteError
from democlass.files import is_same_file

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.evaluate.reports import Reports
    from democlass.inputs.labels import LabelSet

app = typer.Typer(add_completion=False)
_STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True)
class PredictionOptions:
    """Which predictions are evaluated."""

    predictions: Annotated[
        Path | None,
        option(
            "--predictions",
            metavar="FILE",
            panel=DATA,
            help="Existing results to evaluate. Default: the images are classified now.",
        ),
    ] = None

    def check(self, labels: Path) -> None:
        """Raise UsageError if the predictions are the labels."""
        if self.predictions is not None and is_same_file(self.predictions, labels):
            raise UsageError(f"{labels} is given both as labels and as predictions: give two different files")

    def inputs(self) -> Iterator[tuple[str, Path]]:
        """Yield the files that are read, each with a description."""
        if self.predictions is not None:
            from democlass.evaluate.run_records import record_path

            yield "the predictions", self.predictions
            yield "the run record of the predictions", record_path(self.predictions)


@dataclass(frozen=True)
class ReportOptions:
    """Where the metrics are written."""

    out: Annotated[
        Path | None,
        option(
            "--out",
            "-o",
            metavar="FILE",
            panel=OUTPUT,
            help="File for all metrics as JSON; - writes JSON to standard output instead of tables. Default: none.",
        ),
    ] = None
    card: Annotated[
        bool,
        option(
            "--card",
            panel=OUTPUT,
            help="Write the metrics to the cards of the evaluated checkpoints. This changes those files.",
        ),
    ] = False
    markdown: Annotated[
        Path | None,
        option(
            "--markdown",
            metavar="FILE",
            panel=OUTPUT,
            help="File for the tables as Markdown, with a folder of charts beside it. Default: none.",
        ),
    ] = None
    html: Annotated[
        Path | None,
        option(
            "--html",
            metavar="FILE",
            panel=OUTPUT,
            help="File for all metrics as one HTML page with charts. Default: none.",
        ),
    ] = None
    overwrite: Annotated[bool, option("--overwrite", panel=OUTPUT, help="Replace existing output files.")] = False

    @property
    def prints_json(self) -> bool:
        """Whether JSON goes to standard output."""
        return self.out == _STANDARD_OUTPUT

    def reports(self) -> Reports:
        """Return the files to write. Raises UsageError if one is unsuitable."""
        from democlass.evaluate.reports import Reports

        if self.html == _STANDARD_OUTPUT:
            raise UsageError("--html - is not supported: give the name of a file, or use --out - for JSON")
        return Reports(out=None if self.prints_json else self.out, html=self.html, markdown=self.markdown)


@app.command()
@expand
def evaluate(
    context: typer.Context,
    labels: Annotated[Path, typer.Argument(help="CSV or Parquet file with the path and the labels of each image.")],
    networks: NetworkOptions,
    settings: SettingsOptions,
    labels_options: LabelsOptions,
    prediction_options: PredictionOptions,
    report_options: ReportOptions,
) -> int:
    """Compare predictions of perceived gender and perceived race with annotators' labels, also for each group.

    Accuracy is agreement with the annotators. It is computed for each label and each pair of labels, because networks
    that are accurate on average can be less accurate for some groups.
    """
    predictions = prediction_options.predictions
    if report_options.card and predictions is not None:
        raise UsageError("--card needs checkpoints that are evaluated now: remove --predictions")
    prediction_options.check(labels)
    reports = report_options.reports()
    checkpoints = _checkpoint_files(context, networks) if predictions is None else {}
    inputs = [("the labels file", labels), *_describe(checkpoints), *prediction_options.inputs()]
    reports.check(inputs, overwrite=report_options.overwrite)
    if report_options.card:
        from democlass.evaluate.cards import check_cards

        check_cards(checkpoints)
    label_set = labels_options.read(labels)
    reports.check_images(example.path for example in label_set.examples)
    source = predictions if predictions is not None else load_classifier(context, networks, settings)
    evaluation = _evaluate(label_set, source, shows_progress=predictions is None and not settings.quiet)
    _warn(evaluation)
    _write(evaluation, reports, report_options)
    return 0


def _checkpoint_files(context: typer.Context, networks: NetworkOptions) -> dict[str, Path]:
    return {name: location.path for name, location in networks.locations(context).items()}


def _describe(checkpoints: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, path in checkpoints.items():
        yield f"the checkpoint for {name}", path


def _evaluate(label_set: LabelSet, source: Classifier | Path, *, shows_progress: bool) -> dict[str, Any]:
    from democlass.evaluate.evaluation import evaluate

    with Progress(len(label_set.examples), shown=shows_progress) as progress:
        return evaluate(label_set, source, progress.advance)


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
