"""The options that several commands share, each written once.

A command takes a dataclass of them as a parameter; `expand` shows Typer its fields as options of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from democlass.cli.expand import PerTask, option_name, parameter_name
from democlass.errors import CheckpointError, UsageError
from democlass.inputs.local import Walk
from democlass.networks.locations import Location, locate
from democlass.output.single import WriteMode
from democlass.settings import DECODE_TIMEOUT, MAX_BATCH, MAX_PIXELS, MAX_WORKERS, Precision, Settings
from democlass.tasks import TASKS, Task

_NETWORKS, _RUN, _IMAGES, _OUTPUT, _FOLDERS = "Networks", "Run", "Images", "Output", "Folders"


def _option(*names: str, panel: str, env: str | None = None, **more: Any) -> Any:
    envvar = f"DEMOCLASS_{env}" if env else None
    return typer.Option(*names, rich_help_panel=panel, envvar=envvar, **more)


class OutputFormat(str, Enum):
    """What rows are written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


def _checkpoint_option(task: Task) -> Any:
    return _option(option_name(task.name, "checkpoint"), panel=_NETWORKS,
                   env=parameter_name(task.name, "checkpoint").upper(), metavar="FILE",
                   help=f"Checkpoint for {task.title}. Default: the one in --weights.")  # fmt: skip


def _labels_option(task: Task) -> Any:
    return _option(option_name(task.name, "labels"), panel=_NETWORKS,
                   env=parameter_name(task.name, "labels").upper(), metavar="A,B" + ",…" * (len(task.labels) > 2),
                   help=f"Labels of the {task.name} network's outputs, in order, with commas between. "
                   "Default: what the checkpoint says.")  # fmt: skip


@dataclass(frozen=True)
class NetworkOptions:
    """Which checkpoints are used."""

    weights: Annotated[
        Path | None,
        _option("--weights", panel=_NETWORKS, env="WEIGHTS", metavar="DIR",
                help=f"Folder with {', '.join(f'{task.checkpoint} ({task.name})' for task in TASKS)}. "
                "Default: built in."),
    ] = None  # fmt: skip
    checkpoints: Annotated[dict[str, Path], PerTask("checkpoint", Path, _checkpoint_option)] = field(
        default_factory=dict
    )
    label_orders: Annotated[dict[str, str], PerTask("labels", str, _labels_option)] = field(default_factory=dict)

    def locations(self, context: typer.Context) -> dict[str, Location]:
        """Return where each task's checkpoint is, and why that one is in use. Raises CheckpointError."""
        files = {
            name: Location(file, _origin(context, parameter_name(name, "checkpoint")))
            for name, file in self.checkpoints.items()
        }
        folder = None if self.weights is None else Location(self.weights, _origin(context, "weights"))
        return {task.name: _locate(task, files.get(task.name), folder) for task in TASKS}

    def labels(self) -> dict[str, list[str]]:
        """Return the labels given, by task."""
        return {name: text.split(",") for name, text in self.label_orders.items()}


@dataclass(frozen=True)
class SettingsOptions:
    """How the networks run, and how images are read."""

    device: Annotated[
        str,
        _option("--device", panel=_RUN, env="DEVICE", metavar="auto|cpu|cuda|cuda:N|mps",
                help="Where the networks run. auto: cuda where there is one, else cpu."),
    ] = "auto"  # fmt: skip
    batch_size: Annotated[
        str,
        _option("--batch-size", panel=_RUN, env="BATCH_SIZE", metavar="auto|N",
                help="Images that go through the networks at once. auto: 8 on a processor, 64 on a GPU; "
                "serve: 2 and 64."),
    ] = "auto"  # fmt: skip
    workers: Annotated[
        int | None,
        _option("--workers", panel=_RUN, env="WORKERS", min=0, max=MAX_WORKERS, metavar="N",
                help="Images decoded at once, ahead of the networks; 0 decodes between batches. "
                "Default: one a processor, at most 8."),
    ] = None  # fmt: skip
    precision: Annotated[
        Precision | None,
        _option("--precision", panel=_RUN, env="PRECISION",
                help="Number format the networks compute in. Default: float32; with --fast, the quickest here."),
    ] = None  # fmt: skip
    fast: Annotated[
        bool,
        _option("--fast", panel=_RUN, env="FAST",
                help="Trade a little exactness for speed: bfloat16 where it is native, large JPEGs decoded smaller."),
    ] = False  # fmt: skip
    compiled: Annotated[
        bool,
        _option("--compile", panel=_RUN, env="COMPILE",
                help="Compile the networks for this machine first: takes a minute; for long runs on a GPU."),
    ] = False  # fmt: skip
    quiet: Annotated[
        bool, _option("--quiet", "-q", panel=_RUN, env="QUIET", help="No progress and no summary on standard error.")
    ] = False
    ignore_exif: Annotated[
        bool,
        _option("--ignore-exif", panel=_IMAGES, env="IGNORE_EXIF", help="Do not turn images as their EXIF data says."),
    ] = False
    max_pixels: Annotated[
        int,
        _option("--max-pixels", panel=_IMAGES, env="MAX_PIXELS", min=1, metavar="N",
                help="Largest image read, width times height in pixels."),
    ] = MAX_PIXELS  # fmt: skip
    decode_timeout: Annotated[
        float,
        _option("--decode-timeout", panel=_IMAGES, env="DECODE_TIMEOUT", metavar="SECONDS",
                help="Time limit for decoding one image; one that takes longer is an error row."),
    ] = DECODE_TIMEOUT  # fmt: skip

    def settings(self) -> Settings:
        """Return what of this changes numbers or rows."""
        return Settings(
            device=self.device,
            precision=self.precision,
            batch_size=self._batch_size(),
            fast=self.fast,
            compile=self.compiled,
            ignore_exif=self.ignore_exif,
            max_pixels=self.max_pixels,
        )

    def _batch_size(self) -> int | None:
        if self.batch_size == "auto":
            return None
        try:
            number = int(self.batch_size)
        except ValueError:
            number = 0
        if not 1 <= number <= MAX_BATCH:
            raise UsageError(f"--batch-size {self.batch_size[:60]}: it is auto, or 1 or more, at most {MAX_BATCH}")
        return number


@dataclass(frozen=True)
class FolderOptions:
    """How sources are searched."""

    null: Annotated[
        bool,
        _option("--null", "-0", panel=_FOLDERS, help="Names on standard input end in a NUL byte, not a line feed."),
    ] = False
    no_recursive: Annotated[
        bool,
        _option("--no-recursive", panel=_FOLDERS, env="NO_RECURSIVE", help="Do not search folders within folders."),
    ] = False
    hidden: Annotated[
        bool, _option("--hidden", panel=_FOLDERS, env="HIDDEN", help="Search hidden files and folders too (.name).")
    ] = False
    include: Annotated[
        list[str] | None,
        _option("--include", panel=_FOLDERS, metavar="GLOB",
                help="In folders, take only names that match, whatever their suffix. Repeatable."),
    ] = None  # fmt: skip
    exclude: Annotated[
        list[str] | None,
        _option("--exclude", panel=_FOLDERS, metavar="GLOB", help="In folders, leave out what matches. Repeatable."),
    ] = None  # fmt: skip

    def walk(self) -> Walk:
        """Return how folders are searched."""
        return Walk(not self.no_recursive, self.hidden, tuple(self.include or ()), tuple(self.exclude or ()))


@dataclass(frozen=True)
class OutputOptions:
    """Where rows go, and what may be done with what is there."""

    format: Annotated[
        OutputFormat | None,
        _option("--format", "-f", panel=_OUTPUT, env="FORMAT",
                help="What rows are written as. Default: by the suffix of --out; without it a table on a terminal and "
                "JSON Lines in a pipe; for batch, CSV."),
    ] = None  # fmt: skip
    out: Annotated[
        Path | None,
        _option("--out", "-o", panel=_OUTPUT, metavar="FILE",
                help="File for the rows, beside it FILE.run.json on how they were made. Default: standard output."),
    ] = None  # fmt: skip
    resume: Annotated[
        bool,
        _option("--resume", panel=_OUTPUT, help="Go on with --out: classify what has no row there yet."),
    ] = False
    retry_errors: Annotated[
        bool,
        _option("--retry-errors", panel=_OUTPUT, help="As --resume, and repeat its error rows."),
    ] = False
    overwrite: Annotated[
        bool, _option("--overwrite", panel=_OUTPUT, help="Begin again where --out exists; replace --errors.")
    ] = False
    errors: Annotated[
        Path | None,
        _option("--errors", panel=_OUTPUT, metavar="FILE",
                help="File for a list of the images that could not be read, as CSV: path, error. Made when the run is "
                "complete, of all rows of --out."),
    ] = None  # fmt: skip

    def check(self) -> None:
        """Raise UsageError where the options contradict each other."""
        if self.overwrite and (self.resume or self.retry_errors):
            raise UsageError("--overwrite begins again, --resume and --retry-errors go on: give one")
        if self.out is None and (self.resume or self.retry_errors):
            raise UsageError("--resume and --retry-errors go on with an --out FILE: give one")
        if self.out is None and self.errors is None and self.overwrite:
            raise UsageError("--overwrite is for an --out FILE or an --errors FILE that exists: give one")

    def write_mode(self) -> WriteMode:
        """Return what may be done with an output that is there."""
        return WriteMode(self.resume or self.retry_errors, self.overwrite, self.retry_errors)


@dataclass(frozen=True)
class RunOptions(NetworkOptions, SettingsOptions, FolderOptions, OutputOptions):
    """All options of a command that classifies."""

    min_confidence: Annotated[
        float,
        _option("--min-confidence", panel=_IMAGES, env="MIN_CONFIDENCE", min=0.0, max=1.0, metavar="P",
                help="Below this probability, 0 to 1, the label reads 'uncertain'; probabilities stay."),
    ] = 0.0  # fmt: skip

    def settings(self) -> Settings:
        """Return what of this changes numbers or rows."""
        return replace(super().settings(), min_confidence=self.min_confidence)


def _locate(task: Task, file: Location | None, folder: Location | None) -> Location:
    try:
        return locate(task, file=file, folder=folder)
    except CheckpointError as error:
        options = f"{option_name(task.name, 'checkpoint')} FILE, --weights DIR"
        raise CheckpointError(f"{error} ({options})") from None


def _origin(context: typer.Context, parameter: str) -> str:
    source = context.get_parameter_source(parameter)
    if source is not None and source.name == "ENVIRONMENT":
        return f"environment DEMOCLASS_{parameter.upper()}"
    return f"option --{parameter.replace('_', '-')}"
