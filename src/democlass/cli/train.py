"""`classify train TASK LABELS`: train a network on labelled images and write a checkpoint."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.augmentation import AugmentationOptions
from democlass.cli.expand import expand
from democlass.cli.interrupt import Interrupted
from democlass.cli.labels import LabelsOptions
from democlass.cli.recipe import NetworkOptions, RecipeOptions
from democlass.cli.steps import StepProgress
from democlass.errors import UsageError
from democlass.settings import DECODE_TIMEOUT
from democlass.tasks import TASKS
from democlass.train.paths import TrainPaths, named_inputs

app = typer.Typer(add_completion=False)
TaskName = Enum("TaskName", {task.name: task.name for task in TASKS}, type=str)  # type: ignore[misc]


def _data_option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Data", **settings)


def _run_option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Run", **settings)


@dataclass(frozen=True)
class DataOptions:
    """The validation data, and what to do with images that can't be read."""

    validation: Annotated[
        Path | None,
        _data_option(
            metavar="FILE",
            help="Labels file of other images, which select the best epoch and fit the temperature. Images that are "
            "in both files are counted in a warning. Required.",
        ),
    ] = None
    choose: Annotated[Path | None, typer.Option(metavar="FILE", hidden=True, help="Old name of --validation.")] = None
    skip_unreadable: Annotated[
        bool,
        _data_option(
            "--skip-unreadable",
            help="Skip images that can't be read and list them in FILE.skipped.csv. Default: name them and stop "
            "before the first step.",
        ),
    ] = False
    decode_timeout: Annotated[
        float,
        _data_option(
            metavar="SECONDS",
            envvar="DEMOCLASS_DECODE_TIMEOUT",
            help="Time limit for decoding one image. An image that takes longer can't be read.",
        ),
    ] = DECODE_TIMEOUT

    def validation_file(self) -> Path:
        """Return the value of --validation or of its old name. Raises UsageError."""
        if self.validation is not None and self.choose is not None:
            raise UsageError("--choose is the old name of --validation: give only one of them")
        file = self.validation or self.choose
        if file is None:
            raise UsageError("missing option --validation FILE: a labels file of images that are not trained on")
        return file

    def job_fields(self) -> dict[str, Any]:
        """Return the fields of a TrainJob that these options set."""
        return {"skip_unreadable": self.skip_unreadable, "decode_timeout": self.decode_timeout}


@dataclass(frozen=True)
class RunOptions:
    """How the training runs, and how its files are written."""

    device: Annotated[str, _run_option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto"
    compiled: Annotated[
        bool, _run_option("--compile", help="Compile the network first. Worth it for long trainings.")
    ] = False
    cache: Annotated[
        float,
        _run_option(
            min=0,
            metavar="GIB",
            help="Memory for decoded images, which are then decoded only once: 147 KiB each. Worth it with a GPU.",
        ),
    ] = 0.0
    save_every: Annotated[float, _run_option(min=0, metavar="MINUTES", help="Time between two saves of the state.")] = (
        5.0
    )
    float16: Annotated[
        bool, _run_option("--float16", help="Store kernels in half precision, which halves the file size.")
    ] = False
    resume: Annotated[bool, _run_option("--resume", help="Continue from FILE.state.")] = False
    overwrite: Annotated[bool, _run_option("--overwrite", help="Start again and replace existing files.")] = False
    quiet: Annotated[bool, _run_option("--quiet", "-q", help="Show no progress.")] = False

    def check(self) -> None:
        """Raise UsageError if options contradict each other."""
        if self.resume and self.overwrite:
            raise UsageError("--overwrite starts again, --resume continues: give only one of them")

    def job_fields(self) -> dict[str, Any]:
        """Return the fields of a TrainJob that these options set."""
        names = ("device", "compiled", "float16", "resume", "overwrite")
        fields = {name: getattr(self, name) for name in names}
        return {**fields, "save_minutes": self.save_every, "cache_bytes": int(self.cache * 2**30)}


@app.command()
@expand
def train(
    task: Annotated[TaskName, typer.Argument(help="The task whose network is trained.")],
    labels: Annotated[Path, typer.Argument(help="CSV or Parquet file with the path and the labels of each image.")],
    out: Annotated[
        Path,
        _run_option("--out", "-o", metavar="FILE", help="Checkpoint to write. FILE.state beside it is for --resume."),
    ],
    data: DataOptions,
    label_options: LabelsOptions,
    network: NetworkOptions,
    recipe: RecipeOptions,
    augmentation: AugmentationOptions,
    run: RunOptions,
) -> int:
    """Train the network for perceived gender or perceived race on labelled images, and write a checkpoint.

    The network learns how annotators perceived faces, nothing else. Resuming reproduces the same result; Ctrl-C and
    SIGTERM save the state first. Under torchrun it trains on several GPUs.
    """
    run.check()
    if out == Path("-"):
        raise UsageError("--out - is not supported: give the name of a file")
    validation = data.validation_file()
    job_recipe = recipe.recipe(augmentation)
    main = next(each for each in TASKS if each.name == task.value)
    tasks = (main, *network.also_tasks())
    paths = TrainPaths.resolve(out, tuple(each.name for each in tasks[1:] if each in TASKS))
    inputs = named_inputs(labels, validation, network.teacher or (), network.init)
    paths.check(inputs, resume=run.resume, overwrite=run.overwrite)
    try:
        label_set, validation_set = (label_options.read(file, tasks) for file in (labels, validation))
        from democlass.train.job import TrainJob
        from democlass.train.memory import keep_freed_memory
        from democlass.train.run import train as run_job  # imports torch, which takes seconds
    except Interrupted:
        console.write_line(paths.interruption_message(resume=run.resume))
        raise
    keep_freed_memory()
    job = TrainJob(
        main,
        label_set,
        validation_set,
        job_recipe,
        out,
        command=_card_command(sys.argv[1:]),
        **network.job_fields(),
        **data.job_fields(),
        **run.job_fields(),
    )
    with StepProgress(shown=not run.quiet) as progress:
        metrics = run_job(job, progress.advance, progress.notify, progress.log)
    if metrics and not run.quiet:
        for file, each in zip(paths.checkpoints, metrics.values(), strict=True):
            _summarise(file, each)
    return 0


def _summarise(out: Path, metrics: Mapping[str, Any]) -> None:
    recalls = ", ".join(f"{label} {recall:.1%}" for label, recall in metrics["recall"].items())
    console.write_line(f"checkpoint  {out}, temperature {metrics['temperature']}")
    console.write_line(f"validation  accuracy {metrics['accuracy']:.1%} of {metrics['n']:,} images; recall {recalls}")


def _card_command(arguments: Sequence[str]) -> str:
    """Return the command for the card. Paths are shortened to file names: cards are published, private folders not."""
    return shlex.join(["classify", *(re.sub(r"^(--[a-z-]+=)?.*/", r"\1", each) for each in arguments)])
