"""`classify train TASK LABELS`: make a checkpoint from labelled images."""

from __future__ import annotations

import re
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.interrupt import Interrupted
from democlass.cli.labels import LabelsOptions
from democlass.cli.recipe import RecipeOptions
from democlass.cli.steps import Steps
from democlass.errors import UsageError
from democlass.tasks import TASKS
from democlass.train.places import Places

app = typer.Typer(add_completion=False)
TaskName = Enum("TaskName", {task.name: task.name for task in TASKS}, type=str)  # type: ignore[misc]

_DATA, _RECIPE, _RUN = "Data", "Recipe", "Run"


@app.command()
@expand
def train(
    task: Annotated[TaskName, typer.Argument(help="Whose network is trained.")],
    labels: Annotated[Path, typer.Argument(help="CSV or Parquet: a path and the labels of each image.")],
    choose: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_DATA,
            help="Labels file of other images, to choose the best pass and fit the temperature. Images that "
            "are in both files are counted in a warning. Required.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            rich_help_panel=_RUN,
            help="The checkpoint; FILE.state beside it is what --resume needs. Required.",
        ),
    ],
    data: LabelsOptions,
    asked: RecipeOptions,
    init: Annotated[
        str,
        typer.Option(
            metavar="imagenet|none|FILE",
            rich_help_panel=_RECIPE,
            help="Weights to start from: torchvision's of ImageNet, none, or a checkpoint.",
        ),
    ] = "imagenet",
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_RECIPE,
            help="Checkpoint of a ResNet for the same task, whose answers are learned from too.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_RECIPE,
            help="Another ResNet than the task's, as resnet50: to make a teacher.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(rich_help_panel=_RUN, help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", rich_help_panel=_RUN, help="Compile the network first; for long trainings.")
    ] = False,
    save_every: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", rich_help_panel=_RUN, help="How often the state is saved.")
    ] = 5.0,
    float16: Annotated[
        bool, typer.Option("--float16", rich_help_panel=_RUN, help="Store kernels in half precision: half the size.")
    ] = False,
    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            rich_help_panel=_DATA,
            help="Leave out images that can't be read, and list them in FILE.skipped.csv. Default: stop before the "
            "first step, and name them.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", rich_help_panel=_RUN, help="Go on from FILE.state.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=_RUN, help="Begin again where FILE exists.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=_RUN, help="No progress.")] = False,
) -> int:
    """Train the network for perceived gender or perceived race on labelled images, and write a checkpoint.

    It learns how annotators perceived faces, no more. Whatever ends it, --resume comes to the same numbers; Ctrl-C
    and SIGTERM save the state first. Under torchrun it trains on several GPUs.
    """
    if resume and overwrite:
        raise UsageError("--overwrite begins again, --resume goes on: give one")
    chosen = next(each for each in TASKS if each.name == task.value)
    recipe = asked.recipe()
    places = Places.of(out)
    start = None if init in ("imagenet", "none") else Path(init)
    inputs = {"LABELS": labels, "--choose": choose, "--teacher": teacher, "--init": start}
    places.check(inputs, resume=resume, overwrite=overwrite)
    try:
        label_set, other = data.read(labels), data.read(choose)
        from democlass.train.memory import keep_freed
        from democlass.train.run import Order, train
    except Interrupted:
        console.complain(places.unsaved(resume=resume))
        raise
    keep_freed()
    order = Order(
        chosen,
        label_set,
        other,
        recipe,
        out,
        init=init,
        network=network,
        teacher=teacher,
        device=device,
        compiled=compiled,
        float16=float16,
        minutes=save_every,
        resume=resume,
        overwrite=overwrite,
        skip_unreadable=skip_unreadable,
        command=_as_told(sys.argv[1:]),
    )
    with Steps(shown=not quiet) as shown:
        figures = train(order, shown.advance, shown.tell, shown.note)
    if figures and not quiet:
        recalls = ", ".join(f"{label} {share:.1%}" for label, share in figures["recall"].items())
        console.complain(f"checkpoint  {out}, temperature {figures['temperature']}")
        console.complain(f"choose      accuracy {figures['accuracy']:.1%} of {figures['n']:,}; {recalls}")
    return 0


def _as_told(words: list[str]) -> str:
    """Return the command for the card, paths shortened to names: a card goes out, and its maker's folders stay home."""
    return shlex.join(["classify", *(re.sub(r"^(--[a-z-]+=)?.*/", r"\1", word) for word in words)])
