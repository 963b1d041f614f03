"""Ends a run at each of its operations on disk in turn, and checks the folder that is left each time.

    python crashes.py SCENARIO FORMAT FOLDER

It is a separate process without torch, because it forks. A profiling hook counts calls of C functions such as `open`,
`write`, `fsync` and `replace`, and sends SIGKILL to the process before the k-th call. The folder is then as a kill
leaves it. Further folders are made from it: one with an incomplete write, and two like after a power cut, where rows of
the log that were not flushed are missing or replaced by NUL bytes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import democlass.output.rowlog
from democlass.errors import OutputError
from democlass.results import Prediction
from synthetic import OVERWRITE, RESUME, RETRY, predict, run

FIRST = ["a.jpg", "bad1.jpg", "c.jpg", "bad2.jpg"]
MORE = [*FIRST[:2], "b.jpg", *FIRST[2:], "e.jpg"]

OPERATIONS = {"open", "write", "fsync", "replace", "unlink", "ftruncate", "flock", "fchmod"}


def predict_repaired(name: str) -> Prediction:
    """Return the same as `predict`, except that one of the unreadable images has been repaired."""
    return predict("repaired.jpg") if name == "bad1.jpg" else predict(name)


Step = Callable[[Path], object]

# For each scenario: the steps that prepare the folder, the step that is killed, and the step that completes it.
SCENARIOS: dict[str, tuple[list[Step], Step, Step]] = {
    "fresh": ([], partial(run, names=MORE), partial(run, names=MORE, write_mode=RESUME)),
    "resume": (
        [partial(run, names=MORE, stop_after=3)],
        partial(run, names=MORE, write_mode=RESUME),
        partial(run, names=MORE, write_mode=RESUME),
    ),
    "add": (
        [partial(run, names=FIRST)],
        partial(run, names=MORE, write_mode=RESUME),
        partial(run, names=MORE, write_mode=RESUME),
    ),
    "retry": (
        [partial(run, names=MORE)],
        partial(run, names=MORE, write_mode=RETRY, classify=predict_repaired),
        partial(run, names=MORE, write_mode=RETRY, classify=predict_repaired),
    ),
    "overwrite": (
        [partial(run, names=FIRST, classify=partial(predict, version=1))],
        partial(run, names=MORE, write_mode=OVERWRITE),
        partial(run, names=MORE, write_mode=OVERWRITE),
    ),
    "overwrite, then resume": (
        [partial(run, names=FIRST, classify=partial(predict, version=1))],
        partial(run, names=MORE, write_mode=OVERWRITE),
        partial(run, names=MORE, write_mode=RESUME),
    ),
    "resume an overwriting run": (
        [
            partial(run, names=FIRST, classify=partial(predict, version=1)),
            partial(run, names=MORE, write_mode=OVERWRITE, stop_after=2),
        ],
        partial(run, names=MORE, write_mode=RESUME),
        partial(run, names=MORE, write_mode=RESUME),
    ),
}


class Hook:
    """Kills this process before operation number `last`. With `torn`, a write to the log is done by half before that.

    The file `notes` gets the name of the operation, the number of flushed bytes of the log, and 1 for a write to the
    log or 0.
    """

    def __init__(self, last: int, log: Path, notes: Path, *, torn: bool) -> None:
        self.last, self.log, self.notes, self.torn = last, log, notes, torn
        self.count = 0
        self.synced = log.stat().st_size if log.exists() else 0
        self.syncing = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        name = getattr(argument, "__name__", "")
        if event == "c_return" and name == "fsync" and self.syncing:
            self.synced, self.syncing = self.log.stat().st_size, False
        if event != "c_call" or name not in OPERATIONS or not is_file_operation(argument):
            return
        self.count += 1
        self.syncing = name == "fsync" and frame.f_code.co_name == "sync"
        if self.count == self.last:
            is_append = name == "write" and frame.f_code.co_name == "_write"
            if self.torn and is_append:
                part = frame.f_locals["left"]
                os.write(frame.f_locals["self"].descriptor, part[: len(part) // 2])
            self.notes.write_text(f"{name} {self.synced} {int(is_append)}")
            os.kill(os.getpid(), signal.SIGKILL)


def is_file_operation(function: Any) -> bool:
    """Return whether a function is an operation on files, in contrast to functions such as `str.replace`."""
    return function.__module__ in ("posix", "_io", "fcntl") or isinstance(function.__self__, io.IOBase)


def killed_at(number: int, step: Step, out: Path, notes: Path, *, torn: bool = False) -> bool:
    """Do a step in a child process that is killed at an operation. Return whether the step has that many operations."""
    child = os.fork()
    if child == 0:
        sys.setprofile(Hook(number, Path(f"{out}.partial"), notes, torn=torn))
        step(out)
        sys.setprofile(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, status
    return os.WIFSIGNALED(status)


def folders_left(number: int, start: Path, out: Path, step: Step, work: Path) -> Iterator[tuple[str, Path]]:
    """Yield the event and the output for each crash at an operation; nothing if there are fewer operations."""
    notes = work / "notes"

    def new() -> Path:
        shutil.rmtree(out.parent, ignore_errors=True)
        shutil.copytree(start, out.parent)
        return out

    if not killed_at(number, step, new(), notes):
        return
    operation, synced, is_append = notes.read_text().split()
    killed, log = work / "killed", Path(f"{out}.partial")
    shutil.rmtree(killed, ignore_errors=True)
    shutil.copytree(out.parent, killed)
    size = log.stat().st_size if log.exists() else 0
    yield f"killed before {operation}", out
    for nul in (0, size - int(synced)) if size > int(synced) else ():
        shutil.rmtree(out.parent)
        shutil.copytree(killed, out.parent)
        os.truncate(log, int(synced))
        os.truncate(log, int(synced) + nul)
        yield f"power cut before {operation}{', NUL bytes' if nul else ''}", out
    if int(is_append):
        killed_at(number, step, new(), notes, torn=True)
        yield "killed within write", out


def check(out: Path, before: Path, complete: Step, expected: list[bytes], work: Path) -> list[str]:
    """Return the problems of a folder that a crash left. `before` is the output before the run, if there was one.

    `expected` has the file that the uninterrupted run gives, and the file that `complete` gives if that run never
    started.
    """
    problems = []
    had_rows = out.exists() or (Path(f"{out}.partial").exists() and Path(f"{out}.partial").stat().st_size > 0)
    copy = work / "copy" / out.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(out.parent, copy.parent)
    if had_rows:
        try:
            run(copy, MORE)
            problems.append("started again without --overwrite")
        except OutputError:
            pass
    if before.exists() and (not out.exists() or out.read_bytes() not in (before.read_bytes(), *expected)):
        problems.append("OUT was lost or is incomplete")
    record = Path(f"{out}.run.json")
    has_started = record.exists() and json.loads(record.read_text())["state"] == "running"
    complete(out)
    if out.read_bytes() not in expected[: 1 if has_started else 2]:
        problems.append("wrong rows after resuming")
    left = {path.name for path in out.parent.iterdir()}
    if left != {out.name, f"{out.name}.run.json"}:
        problems.append(f"other files are left: {sorted(left)}")
    if json.loads(record.read_text())["state"] != "finished":
        problems.append("the state in the record is not finished")
    return problems


def check_without_log(out: Path, killed: Path, complete: Step, expected: list[bytes]) -> list[str]:
    """Return the problems if the log is also deleted, which no crash does. The rows of OUT must not be lost."""
    shutil.rmtree(out.parent)
    shutil.copytree(killed, out.parent)
    Path(f"{out}.partial").unlink(missing_ok=True)
    before = out.read_bytes() if out.exists() else None
    try:
        complete(out)
    except OutputError:
        return [] if before == (out.read_bytes() if out.exists() else None) else ["refused, but OUT has changed"]
    return [] if out.read_bytes() in expected else ["rows were lost with the log"]


def main(scenario: str, format_name: str, work: Path) -> None:
    """Run one scenario and print its crashes as JSON: number of the operation, event and problems."""
    setup, step, complete = SCENARIOS[scenario]
    democlass.output.rowlog.SECONDS_BETWEEN_SYNCS = float(
        "inf"
    )  # no flush by time: a power cut loses as many rows as possible
    start, out = work / "start", work / "current" / f"out.{format_name}"
    for folder in (start, out.parent):
        folder.mkdir()
    os.chdir(work)
    for prepare in setup:
        prepare(start / out.name)
    expected = []
    for name, action in (("uninterrupted", step), ("not started", complete)):
        shutil.copytree(start, work / name)
        action(work / name / out.name)
        expected.append((work / name / out.name).read_bytes())
    crashes = []
    for number in range(1, 1000):
        is_killed = False
        for event, left in folders_left(number, start, out, step, work):
            is_killed = True
            problems = check(left, start / out.name, complete, expected, work)
            crashes.append({"number": number, "event": event, "problems": problems})
        if not is_killed:
            break
        problems = check_without_log(out, work / "killed", complete, expected)
        crashes.append({"number": number, "event": "killed, and the log deleted", "problems": problems})
    print(json.dumps(crashes))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
