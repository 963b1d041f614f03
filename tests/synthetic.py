"""Runs without networks: predictions that depend only on the names of the images."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from democlass.inputs.item import Item
from democlass.output.file_sink import FileSink, WriteMode
from democlass.output.formats import FORMATS
from democlass.output.record import RunRecord
from democlass.output.run_info import RunInfo
from democlass.output.tally import Tally
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS

RESUME, RETRY, OVERWRITE = WriteMode(resume=True), WriteMode(resume=True, retry_errors=True), WriteMode(overwrite=True)


def predict(name: str, version: int = 0) -> Prediction:
    """Return random probabilities that depend on `name` and `version`, or an error if the name starts with `bad`."""
    if Path(name).name.startswith("bad"):
        return Prediction(name, error="truncated: the file ends before the image does")
    generator = random.Random(f"{name} {version}")
    outcomes = {}
    for task in TASKS:
        weights = [generator.random() for _ in task.labels]
        outcomes[task.name] = Outcome.choose(
            {label: weight / sum(weights) for label, weight in zip(task.labels, weights, strict=True)}
        )
    return Prediction.of_image(name, outcomes)


def record(format_name: str, sources: Sequence[str] = (), **changes: Any) -> RunRecord:
    options = {"batch_size": 8, "min_confidence": 0.0}
    run = RunInfo.of(2, ["classify", "batch", *sources], sources)
    return RunRecord(**{"format": format_name, "checkpoints": {}, "options": options, "runs": [run], **changes})


def run(
    out: Path,
    names: Iterable[str],
    write_mode: WriteMode = WriteMode(),
    *,
    classify: Callable[[str], Prediction] = predict,
    stop_after: int | None = None,
    warn: Callable[[str], None] = lambda _: None,
    new: RunRecord | None = None,
) -> tuple[list[str], Tally | None]:
    """Write rows like the command does. Return the classified names, and the tally (None if the run stopped early)."""
    format_name = out.suffix[1:]
    with closing(FileSink(out, FORMATS[format_name], write_mode, warn=warn)) as output:
        output.begin(new or record(format_name))
        classified: list[str] = []
        for item in output.remaining(map(Item.of, names)):
            if len(classified) == stop_after:
                return classified, None
            output.write(classify(str(item.name)))
            classified.append(str(item.name))
        return classified, output.finish(Counter())


def companion_suffixes(out: Path) -> set[str]:
    """Return the suffixes of the files that belong to an output, such as `.partial`."""
    return {path.name.removeprefix(out.name) for path in out.parent.iterdir() if path.name != out.name}
