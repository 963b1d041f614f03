"""Time and memory that resuming needs, without networks: the probabilities are random numbers.

    python benchmarks/resume.py [--rows 100000 --rows 1000000] [--format csv] [--folder DIR]

For each number of rows, in separate processes: a run from the start; adding one row to a finished output; completing a
run that has half of its rows in the row log; classifying one error row in ten again; and searching folders with that
many files. Seconds are processor time. Bytes per name are the growth of the peak memory per row, compared with the same
step for 1,000 rows.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np  # noqa: F401 (the command imports it too, so its size is not part of the result)

from democlass.inputs.item import Item, ItemList
from democlass.inputs.local import Walk, find
from democlass.output.file_sink import FileSink, WriteMode
from democlass.output.formats import FORMATS
from democlass.output.record import RunRecord
from democlass.output.run_info import RunInfo
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS

STEPS = ("from the start", "add one row", "complete half", "repeat errors", "search a folder")
FEW = 1000
FILES_PER_FOLDER = 1000


def names(count: int) -> Iterator[str]:
    """Yield names of 36 characters."""
    return (f"photos/{number // 1000:08}/{number:015}.jpg" for number in range(count))


def predict(name: str, number: int, *, retried: bool) -> Prediction:
    """Return a prediction with random probabilities. One in ten is an error unless `retried`."""
    if number % 10 == 0 and not retried:
        return Prediction(name, error="truncated: the file ends before the image does; copy it again")
    outcomes = {}
    for task in TASKS:
        weights = [random.random() for _ in task.labels]  # noqa: S311
        total = sum(weights)
        probabilities = {label: weight / total for label, weight in zip(task.labels, weights, strict=True)}
        outcomes[task.name] = Outcome.choose(probabilities)
    return Prediction.of_image(name, outcomes)


def run(out: Path, count: int, write_mode: WriteMode, *, stop_after: int | None = None) -> int:
    """Write `count` rows as the command does, and return how many were written."""
    options = {"batch_size": 8, "min_confidence": 0.0}
    record = RunRecord(out.suffix[1:], checkpoints={}, options=options, runs=[RunInfo.of(1, [], [])])
    with closing(FileSink(out, FORMATS[out.suffix[1:]], write_mode)) as output:
        output.begin(record)
        left = ItemList(output.remaining(map(Item.of, names(count))))
        for number, item in enumerate(left):
            if number == stop_after:
                return number
            output.write(predict(str(item.name), number, retried=write_mode.retry_errors))
        output.finish(Counter())
    return len(left)


def measure(step: str, out: Path, count: int) -> int:
    """Run one step and return the number of rows or names."""
    if step == "search a folder":
        return len(ItemList(find([str(out.with_name("files"))], Walk(), Counter())))
    if step == "from the start":
        return run(out, count, WriteMode(overwrite=True))
    if step == "repeat errors":
        return run(out, count, WriteMode(resume=True, retry_errors=True))
    return run(out, count + (step == "add one row"), WriteMode(resume=True))


def prepare(step: str, out: Path, count: int) -> None:
    """Write the files that a step starts from."""
    if step in ("add one row", "repeat errors"):
        run(out, count, WriteMode(overwrite=True))
    elif step == "complete half":
        run(out, count, WriteMode(overwrite=True), stop_after=count // 2)
    elif step == "search a folder":
        for number in range(count):
            folder = out.with_name("files") / f"{number // FILES_PER_FOLDER:08}"
            if number % FILES_PER_FOLDER == 0:
                folder.mkdir(parents=True)
            (folder / f"{number:015}.jpg").touch()


def run_in_process(step: str, format_name: str, count: int, folder: Path) -> tuple[float, float]:
    """Run a step in a separate process and return its processor seconds and its peak memory in bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        out = Path(work) / f"out.{format_name}"
        for part in ("prepare", "measure"):
            words = [sys.executable, __file__, "--part", part, step, str(out), str(count)]
            output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603
    seconds, kilobytes = output.split()
    return float(seconds), float(kilobytes) * 1024


def run_part(part: str, step: str, out: str, count: str) -> None:
    """Prepare or measure a step in this process; print processor seconds and peak kilobytes."""
    started = time.process_time()
    (prepare if part == "prepare" else measure)(step, Path(out), int(count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(time.process_time() - started, peak)


def main() -> None:
    """Measure and print a table."""
    if sys.argv[1:2] == ["--part"]:
        run_part(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="number of rows; can be repeated")
    parser.add_argument("--format", default="csv", choices=FORMATS)
    parser.add_argument("--step", action="append", choices=STEPS)
    parser.add_argument("--folder", type=Path, help="folder for the files; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"| {options.format} | rows | seconds | microseconds per row | bytes per name |")
    print("| --- | --- | --- | --- | --- |")
    for step in options.step or STEPS:
        _, few_bytes = run_in_process(step, options.format, FEW, options.folder)
        for count in options.rows or [100_000, 1_000_000]:
            seconds, peak = run_in_process(step, options.format, count, options.folder)
            bytes_per_name = (peak - few_bytes) / (count - FEW)
            print(
                f"| {step} | {count:,} | {seconds:.1f} | {1e6 * seconds / count:.0f} | {bytes_per_name:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
