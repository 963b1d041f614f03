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
from democlass.cli.steps import Steps
from democlass.errors import UsageError
from democlass.tasks import TASKS

app = typer.Typer(add_completion=False)
TaskName = Enum("TaskName", {task.name: task.name for task in TASKS}, type=str)  # type: ignore[misc]

_DATA, _RECIPE, _RUN = "Data", "Recipe", "Run"
_STAGES = "96:2:0.05-0.02,128:2:0.03-0.01,224:3:0.015-0.0002"


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
            help="Labels file of other images, to choose the best pass and fit the temperature. Required.",
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
    teacher_weight: Annotated[
        float, typer.Option(min=0, max=1, rich_help_panel=_RECIPE, help="The teacher's share of the loss, 0 to 1.")
    ] = 0.7,
    feature_weight: Annotated[
        float,
        typer.Option(
            min=0,
            max=10,
            rich_help_panel=_RECIPE,
            help="How much the teacher's features, which its last layer answers from, are learned too; 0 not at all.",
        ),
    ] = 0.0,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_RECIPE,
            help="Another ResNet than the task's, as resnet50: to make a teacher.",
        ),
    ] = None,
    stages: Annotated[
        str,
        typer.Option(
            metavar="SIZE:PASSES:RATE-RATE,…",
            rich_help_panel=_RECIPE,
            help="Image sizes in pixels, passes over the data, and between which learning rates each falls.",
        ),
    ] = _STAGES,
    batch: Annotated[int, typer.Option(min=2, rich_help_panel=_RECIPE, help="Images a step.")] = 64,
    average: Annotated[
        float, typer.Option(min=0, max=1, rich_help_panel=_RECIPE, help="Decay of the weights' moving average, a step.")
    ] = 0.999,
    smoothing: Annotated[
        float, typer.Option(min=0, max=1, rich_help_panel=_RECIPE, help="Smoothing of the true labels, 0 to 1.")
    ] = 0.05,
    prior: Annotated[
        float,
        typer.Option(
            min=0,
            max=2,
            rich_help_panel=_RECIPE,
            help="How much of the labels' log frequency the logits are adjusted by, against calling rare "
            "labels too rarely; 0 not at all, 1 fully.",
        ),
    ] = 0.0,
    balanced: Annotated[
        bool, typer.Option("--balanced", rich_help_panel=_RECIPE, help="Weigh the loss by inverse label frequency.")
    ] = False,
    seed: Annotated[int, typer.Option(rich_help_panel=_RECIPE, help="What all chance comes from.")] = 0,
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
    resume: Annotated[bool, typer.Option("--resume", rich_help_panel=_RUN, help="Go on from FILE.state.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=_RUN, help="Begin again where FILE exists.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=_RUN, help="No progress.")] = False,
) -> int:
    """Train the network for perceived gender or perceived race on labelled images, and write a checkpoint.

    It learns how annotators perceived faces, no more. Whatever ends it, --resume comes to the same numbers. Under
    torchrun it trains on several GPUs.
    """
    from democlass.train.recipe import Recipe, Stage

    if resume and overwrite:
        raise UsageError("--overwrite begins again, --resume goes on: give one")
    chosen = next(each for each in TASKS if each.name == task.value)
    recipe = Recipe(
        tuple(Stage.parse(text) for text in stages.split(",")),
        batch=batch,
        smoothing=smoothing,
        prior=prior,
        balanced=balanced,
        teacher_weight=teacher_weight,
        feature_weight=feature_weight,
        average=average,
        seed=seed,
    )
    truth, other = data.read(labels), data.read(choose)
    from democlass.memory import keep_freed
    from democlass.train.run import Order, train

    keep_freed()
    order = Order(
        chosen,
        truth,
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
        command=_as_told(sys.argv[1:]),
    )
    with Steps(shown=not quiet) as shown:
        try:
            figures = train(order, shown.advance, console.complain)
        except Interrupted:
            if order.state.exists():
                console.complain(f"interrupted: {order.state} is kept; --resume goes on from there")
            raise
    if figures and not quiet:
        recalls = ", ".join(f"{label} {share:.1%}" for label, share in figures["recall"].items())
        console.complain(f"checkpoint  {out}, temperature {figures['temperature']}")
        console.complain(f"choose      accuracy {figures['accuracy']:.1%} of {figures['n']:,}; {recalls}")
    return 0


def _as_told(words: list[str]) -> str:
    """Return the command for the card, paths shortened to names: a card goes out, and its maker's folders stay home."""
    return shlex.join(["classify", *(re.sub(r"^(--[a-z-]+=)?.*/", r"\1", word) for word in words)])
