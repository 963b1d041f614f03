"""The options shared by all commands that load networks.

A command takes one of these dataclasses as a parameter, and `expand` makes each field an option of the command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from democlass.cli.expand import PerTask, option_name, parameter_name
from democlass.cli.option import IMAGES, NETWORKS, RUN, option
from democlass.errors import CheckpointError, UsageError
from democlass.networks.locations import Location, locate
from democlass.settings import DECODE_TIMEOUT, MAX_BATCH, MAX_PIXELS, MAX_WORKERS, Precision, Settings
from democlass.tasks import TASKS, Task


def _checkpoint_option(task: Task) -> Any:
    return option(option_name(task.name, "checkpoint"), panel=NETWORKS,
                  env=parameter_name(task.name, "checkpoint").upper(), metavar="FILE",
                  help=f"Checkpoint for {task.title}. Default: the one in --weights.")  # fmt: skip


def _labels_option(task: Task) -> Any:
    return option(option_name(task.name, "labels"), panel=NETWORKS,
                  env=parameter_name(task.name, "labels").upper(), metavar="A,B" + ",…" * (len(task.labels) > 2),
                  help=f"Labels of the {task.name} network in output order, separated by commas. "
                  "Default: those in the checkpoint.")  # fmt: skip


@dataclass(frozen=True)
class NetworkOptions:
    """The checkpoints to load."""

    weights: Annotated[
        Path | None,
        option("--weights", panel=NETWORKS, env="WEIGHTS", metavar="DIR",
               help=f"Folder with {', '.join(f'{task.checkpoint} ({task.name})' for task in TASKS)}. "
               "Default: the built-in checkpoints."),
    ] = None  # fmt: skip
    checkpoints: Annotated[dict[str, Path], PerTask("checkpoint", Path, _checkpoint_option)] = field(
        default_factory=dict
    )
    label_lists: Annotated[dict[str, str], PerTask("labels", str, _labels_option)] = field(default_factory=dict)

    def locations(self, context: typer.Context) -> dict[str, Location]:
        """Return where each task's checkpoint is, and why that one is used. Raises CheckpointError."""
        files = {
            name: Location(file, _origin(context, parameter_name(name, "checkpoint")))
            for name, file in self.checkpoints.items()
        }
        folder = None if self.weights is None else Location(self.weights, _origin(context, "weights"))
        return {task.name: _locate(task, files.get(task.name), folder) for task in TASKS}

    def labels(self) -> dict[str, list[str]]:
        """Return the labels given as options, by task."""
        return {name: text.split(",") for name, text in self.label_lists.items()}


@dataclass(frozen=True)
class SettingsOptions:
    """How networks run and images are read."""

    device: Annotated[
        str,
        option("--device", panel=RUN, env="DEVICE", metavar="auto|cpu|cuda|cuda:N|mps",
               help="Device the networks run on. auto: cuda if there is a GPU, otherwise cpu."),
    ] = "auto"  # fmt: skip
    batch_size: Annotated[
        str,
        option("--batch-size", panel=RUN, env="BATCH_SIZE", metavar="auto|N",
               help="Images per batch. auto: 8 on a CPU and 64 on a GPU; for serve, 2 and 64."),
    ] = "auto"  # fmt: skip
    workers: Annotated[
        int | None,
        option("--workers", panel=RUN, env="WORKERS", min=0, max=MAX_WORKERS, metavar="N",
               help="Processes that decode images ahead of the networks. 0: one process, and the networks wait for it. "
               "Default: one per CPU core, at most 8."),
    ] = None  # fmt: skip
    precision: Annotated[
        Precision | None,
        option("--precision", panel=RUN, env="PRECISION",
               help="Number format of the networks. Default: float32; with --fast, the fastest on this device."),
    ] = None  # fmt: skip
    fast: Annotated[
        bool,
        option("--fast", panel=RUN, env="FAST",
               help="Faster, slightly less exact: bfloat16 where the device supports it, and large JPEGs decoded at "
               "reduced size."),
    ] = False  # fmt: skip
    compiled: Annotated[
        bool,
        option("--compile", panel=RUN, env="COMPILE",
               help="Compile the networks first. Takes about a minute; useful for long runs on a GPU."),
    ] = False  # fmt: skip
    quiet: Annotated[bool, option("--quiet", "-q", panel=RUN, env="QUIET", help="Show no progress and no summary.")] = (
        False
    )
    ignore_exif: Annotated[
        bool,
        option("--ignore-exif", panel=IMAGES, env="IGNORE_EXIF", help="Do not rotate images as their EXIF data says."),
    ] = False
    max_pixels: Annotated[
        int,
        option("--max-pixels", panel=IMAGES, env="MAX_PIXELS", min=1, metavar="N",
               help="Largest image to read, in pixels (width times height)."),
    ] = MAX_PIXELS  # fmt: skip
    decode_timeout: Annotated[
        float,
        option("--decode-timeout", panel=IMAGES, env="DECODE_TIMEOUT", metavar="SECONDS",
               help="Time limit for decoding one image, in seconds. An image that takes longer becomes an error row."),
    ] = DECODE_TIMEOUT  # fmt: skip

    def settings(self) -> Settings:
        """Return the options that affect results. Raises UsageError."""
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
            raise UsageError(f"--batch-size {self.batch_size[:60]}: give auto or a number from 1 to {MAX_BATCH}")
        return number


def _locate(task: Task, file: Location | None, folder: Location | None) -> Location:
    try:
        return locate(task, file=file, folder=folder)
    except CheckpointError as error:
        options = f"{option_name(task.name, 'checkpoint')} FILE, --weights DIR"
        raise CheckpointError(f"{error} ({options})") from None


def _origin(context: typer.Context, parameter: str) -> str:
    """Return where a parameter's value came from, for `classify weights`."""
    source = context.get_parameter_source(parameter)
    if source is not None and source.name == "ENVIRONMENT":
        return f"environment DEMOCLASS_{parameter.upper()}"
    return f"option --{parameter.replace('_', '-')}"
