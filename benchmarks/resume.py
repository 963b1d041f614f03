"""What resuming costs in time and memory, without networks: rows come from a generator of random numbers.

    python benchmarks/resume.py [--rows 100000 --rows 1000000] [--format csv] [--folder DIR]

For each number of rows, in processes of their own: a run from the start; adding one row to the finished output;
completing a run of which half the rows are in the row log; repeating one error row in ten; and searching a folder of so
many files. Seconds are of processor time. Bytes a name are what the peak memory grows by for each row, beside the same
with 1,000 rows.
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

import numpy as np  # noqa: F401 (as the command has it, so that its size is no part of what is measured)

from democlass.inputs.item import Item, ItemList
from democlass.inputs.local import Walk, find
from democlass.output.formats import FORMATS
from democlass.output.record import RunRecord
from democlass.output.run_info import RunInfo
from democlass.output.single import FileSink, WriteMode
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS

STEPS = ("from the start", "add one row", "complete half", "repeat errors", "search a folder")
FEW = 1000
FILES_A_FOLDER = 1000


def names(count: int) -> Iterator[str]:
    """Yield names of 36 characters."""
    return (f"photos/{number // 1000:08}/{number:015}.jpg" for number in range(count))


def predict(name: str, number: int, *, mended: bool) -> Prediction:
    """Return a row with numbers of its own; one in ten is an error unless `mended`."""
    if number % 10 == 0 and not mended:
        return Prediction(name, error="truncated: the file ends before the image does; copy it again")
    outcomes = {}
    for task in TASKS:
        weights = [random.random() for _ in task.labels]  # noqa: S311
        whole = sum(weights)
        probabilities = {label: weight / whole for label, weight in zip(task.labels, weights, strict=True)}
        outcomes[task.name] = Outcome.choose(probabilities)
    return Prediction.of_image(name, outcomes)


def run(out: Path, count: int, write_mode: WriteMode, *, stop_after: int | None = None) -> int:
    """Run as the command does, over so many names, and return how many rows were written."""
    options = {"batch_size": 8, "min_confidence": 0.0}
    record = RunRecord(out.suffix[1:], checkpoints={}, options=options, runs=[RunInfo.of(1, [], [])])
    with closing(FileSink(out, FORMATS[out.suffix[1:]], write_mode)) as output:
        output.begin(record)
        left = ItemList(output.remaining(map(Item.of, names(count))))
        for number, item in enumerate(left):
            if number == stop_after:
                return number
            output.write(predict(str(item.name), number, mended=write_mode.retry_errors))
        output.finish(Counter())
    return len(left)


def measure(step: str, out: Path, count: int) -> int:
    """Do one step and return how many rows or names it took."""
    if step == "search a folder":
        return len(ItemList(find([str(out.with_name("files"))], Walk(), Counter())))
    if step == "from the start":
        return run(out, count, WriteMode(overwrite=True))
    if step == "repeat errors":
        return run(out, count, WriteMode(resume=True, retry_errors=True))
    return run(out, count + (step == "add one row"), WriteMode(resume=True))


def prepare(step: str, out: Path, count: int) -> None:
    """Make what a step needs."""
    if step in ("add one row", "repeat errors"):
        run(out, count, WriteMode(overwrite=True))
    elif step == "complete half":
        run(out, count, WriteMode(overwrite=True), stop_after=count // 2)
    elif step == "search a folder":
        for number in range(count):
            folder = out.with_name("files") / f"{number // FILES_A_FOLDER:08}"
            if number % FILES_A_FOLDER == 0:
                folder.mkdir(parents=True)
            (folder / f"{number:015}.jpg").touch()


def in_a_process(step: str, format_name: str, count: int, folder: Path) -> tuple[float, float]:
    """Do a step in a process of its own; return its processor seconds and its peak memory in bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        out = Path(work) / f"out.{format_name}"
        for what in ("prepare", "measure"):
            words = [sys.executable, __file__, "--do", what, step, str(out), str(count)]
            said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603
    seconds, kilobytes = said.split()
    return float(seconds), float(kilobytes) * 1024


def do(what: str, step: str, out: str, count: str) -> None:
    """Do one half of a step in this process; print seconds and kilobytes."""
    started = time.process_time()
    (prepare if what == "prepare" else measure)(step, Path(out), int(count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(time.process_time() - started, peak)  # noqa: T201


def main() -> None:
    """Measure and print a table."""
    if sys.argv[1:2] == ["--do"]:
        do(*sys.argv[2:])
        return
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, action="append", help="how many; may be given several times")
    options.add_argument("--format", default="csv", choices=FORMATS)
    options.add_argument("--step", action="append", choices=STEPS)
    options.add_argument("--folder", type=Path, help="where files are written; default: the folder for temporary ones")
    given = options.parse_args()
    print(f"| {given.format} | rows | seconds | microseconds a row | bytes a name |")  # noqa: T201
    print("| --- | --- | --- | --- | --- |")  # noqa: T201
    for step in given.step or STEPS:
        _, few_bytes = in_a_process(step, given.format, FEW, given.folder)
        for count in given.rows or [100_000, 1_000_000]:
            seconds, peak = in_a_process(step, given.format, count, given.folder)
            a_name = (peak - few_bytes) / (count - FEW)
            print(  # noqa: T201
                f"| {step} | {count:,} | {seconds:.1f} | {1e6 * seconds / count:.0f} | {a_name:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
