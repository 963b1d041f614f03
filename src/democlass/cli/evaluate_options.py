"""The options of `classify evaluate` that no other command has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from democlass.cli.face_options import FaceOptions, FaceSize
from democlass.cli.labels import DATA
from democlass.cli.option import FACES, OUTPUT, option
from democlass.cli.options import SettingsOptions
from democlass.errors import UsageError
from democlass.files import is_same_file
from democlass.settings import MIN_FACE, Settings

if TYPE_CHECKING:
    from democlass.evaluate.reports import Reports

_STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True)
class EvaluateOptions(SettingsOptions):
    """How networks run, images are read, and faces are found.

    The options for faces are those of `FaceOptions`, except `--largest`: evaluation always takes the largest face,
    because an image has one label for a task.
    """

    faces: Annotated[
        bool,
        option("--faces", panel=FACES, env="FACES",
               help="Find the faces in each image and evaluate the largest. Use it for whole photos. "
               "Default: each image is one tight face crop."),
    ] = False  # fmt: skip
    face_size: FaceSize = None
    min_face: Annotated[
        int | None,
        option("--min-face", panel=FACES, env="MIN_FACE", metavar="PX", min=1,
               help="Smallest side of a face to evaluate, in pixels of the image. Smaller faces are counted, but not "
               f"evaluated. Default: {MIN_FACE}."),
    ] = None  # fmt: skip

    def settings(self) -> Settings:
        """Return the options that affect results. Raises UsageError."""
        options = FaceOptions(self.faces, self.face_size, self.min_face, largest=self.faces)
        return options.with_faces(super().settings())

    def refuse_faces(self, context: typer.Context) -> None:
        """Raise UsageError if options for faces are on the command line: existing predictions have their own faces."""
        for name in ("faces", "face_size", "min_face"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise UsageError(
                    f"--{name.replace('_', '-')} is only for images that are classified now: remove it or "
                    "--predictions; of results with several faces per image, the largest is evaluated"
                )


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
