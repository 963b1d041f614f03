"""`classify sample RESULTS...`: a random sample of the classified faces, for people to label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.errors import MissingExtraError, OutputError, UsageError, WriteError
from democlass.tasks import TASKS, Task

app = typer.Typer(add_completion=False)


@app.command()
@expand
def sample(
    results: Annotated[list[Path], typer.Argument(help="Results of classify batch: CSV, Parquet, JSON Lines or JSON.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="CSV to write.")],
    size: Annotated[int, typer.Option("--n", min=2, max=1_000_000, help="Number of faces.")] = 200,
    stratify: Annotated[
        str,
        typer.Option(
            metavar="TASK,…",
            help="Divide the faces by their predicted labels of these tasks, and draw from each part in proportion to "
            "its size, at least two faces. Use none to draw from all faces together.",
        ),
    ] = "race,gender",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the random numbers.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing FILE.")] = False,
) -> int:
    """Draw a random sample of the classified faces, for people to label.

    Fill in perceived gender and perceived race without looking at the predictions; leave a cell empty where you can't
    tell. Then `classify report --labelled FILE` estimates shares that do not rely on the networks.
    """
    try:
        from democlass.report.sampling import draw_sample, format_sample
    except ImportError:
        raise MissingExtraError("classify sample", "report") from None
    from democlass.files import replace_file
    from democlass.output.paths import refuse_inputs, refuse_odd_place

    strata = _parse_tasks(stratify)
    refuse_odd_place(out)
    refuse_inputs([out], results, "results")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists: use --overwrite to replace it")
    faces = draw_sample(results, size, strata, seed=seed)
    try:
        replace_file(out, format_sample(faces))
    except OSError as error:
        raise WriteError(f"can't write {out}: {error.strerror}") from None
    console.write_line(f"{len(faces):,} faces in {len({each.stratum for each in faces}):,} strata: {out}")
    return 0


def _parse_tasks(text: str) -> list[Task]:
    known = {task.name: task for task in TASKS}
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    if unknown := next((name for name in names if name not in known or names.count(name) > 1), None):
        raise UsageError(f"--stratify {text}: {unknown} must be one of {', '.join(known)}, once, or use none")
    return [known[name] for name in names]
