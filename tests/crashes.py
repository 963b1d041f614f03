"""Ends a run at every single operation on disk, one after the other, and looks at what is left each time.

    python crashes.py SCENARIO FORMAT FOLDER

runs by itself, without torch, since it forks. The hook counts calls into the C library of Python: `open`, `write`,
`fsync`, `replace` and so on; at the k-th it sends this process SIGKILL, before the operation is done. Then the folder
is as a kill leaves it. Other folders stand for a write of which a part was done, and for power cuts: the row log loses
what was not forced to disk, or has NUL bytes in its place.
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


def repaired(name: str) -> Prediction:
    """Answer as `predict`, but one of the images that could not be read is whole now."""
    return predict("mended.jpg") if name == "bad1.jpg" else predict(name)


Step = Callable[[Path], object]

# How the folder comes to be, what is then killed, and what completes it.
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
        partial(run, names=MORE, write_mode=RETRY, answer=repaired),
        partial(run, names=MORE, write_mode=RETRY, answer=repaired),
    ),
    "overwrite": (
        [partial(run, names=FIRST, answer=partial(predict, edition=1))],
        partial(run, names=MORE, write_mode=OVERWRITE),
        partial(run, names=MORE, write_mode=OVERWRITE),
    ),
    "overwrite, then resume": (
        [partial(run, names=FIRST, answer=partial(predict, edition=1))],
        partial(run, names=MORE, write_mode=OVERWRITE),
        partial(run, names=MORE, write_mode=RESUME),
    ),
    "resume an overwriting run": (
        [
            partial(run, names=FIRST, answer=partial(predict, edition=1)),
            partial(run, names=MORE, write_mode=OVERWRITE, stop_after=2),
        ],
        partial(run, names=MORE, write_mode=RESUME),
        partial(run, names=MORE, write_mode=RESUME),
    ),
}


class Hook:
    """Ends this process at operation number `last`, in the middle of it if it is a write to the log and `torn`.

    The name of the operation, and how much of the log was forced to disk, are in the file `notes`.
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
        if event != "c_call" or name not in OPERATIONS or not is_on_disk(argument):
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


def is_on_disk(function: Any) -> bool:
    """Tell a call of the operating system from, say, `str.replace`."""
    return function.__module__ in ("posix", "_io", "fcntl") or isinstance(function.__self__, io.IOBase)


def killed_at(number: int, step: Step, out: Path, notes: Path, *, torn: bool = False) -> bool:
    """Do a step in a process of its own that is killed at an operation; return whether it got that far."""
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
    """Yield every folder that an end at an operation can leave, with what happened; none where the run is shorter."""
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


def check(out: Path, begun: Path, complete: Step, expected: list[bytes], work: Path) -> list[str]:
    """Return what is wrong with a folder that an end left.

    `expected` is what the run gives that nothing ends, and what completing gives where that run has not begun.
    """
    wrong = []
    had_rows = out.exists() or (Path(f"{out}.partial").exists() and Path(f"{out}.partial").stat().st_size > 0)
    copy = work / "copy" / out.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(out.parent, copy.parent)
    if had_rows:
        try:
            run(copy, MORE)
            wrong.append("begun again unasked")
        except OutputError:
            pass
    if begun.exists() and (not out.exists() or out.read_bytes() not in (begun.read_bytes(), *expected)):
        wrong.append("OUT was lost or is half written")
    record = Path(f"{out}.run.json")
    has_begun = record.exists() and json.loads(record.read_text())["state"] == "running"
    complete(out)
    if out.read_bytes() not in expected[: 1 if has_begun else 2]:
        wrong.append("other rows after resuming")
    left = {path.name for path in out.parent.iterdir()}
    if left != {out.name, f"{out.name}.run.json"}:
        wrong.append(f"left over: {sorted(left)}")
    if json.loads(record.read_text())["state"] != "finished":
        wrong.append("the record does not say finished")
    return wrong


def check_without_log(out: Path, begun: Path, killed: Path, complete: Step, expected: list[bytes]) -> list[str]:
    """Return what is wrong where the log is deleted besides, which no crash does: OUT's rows must not be lost."""
    shutil.rmtree(out.parent)
    shutil.copytree(killed, out.parent)
    Path(f"{out}.partial").unlink(missing_ok=True)
    before = out.read_bytes() if out.exists() else None
    try:
        complete(out)
    except OutputError:
        return [] if before == (out.read_bytes() if out.exists() else None) else ["refused, but OUT was changed"]
    return [] if out.read_bytes() in expected else ["rows lost with the log"]


def main(name: str, format_name: str, work: Path) -> None:
    """Do one scenario and print, as JSON, what happened at each operation and what was wrong then."""
    setup, step, complete = SCENARIOS[name]
    democlass.output.rowlog.SECONDS_BETWEEN_SYNCS = float("inf")  # a power cut loses as much as it can
    start, out = work / "start", work / "now" / f"out.{format_name}"
    for folder in (start, out.parent):
        folder.mkdir()
    os.chdir(work)
    for each in setup:
        each(start / out.name)
    expected = []
    for place, each in (("unbroken", step), ("not begun", complete)):
        shutil.copytree(start, work / place)
        each(work / place / out.name)
        expected.append((work / place / out.name).read_bytes())
    begun = start / out.name
    points = []
    for number in range(1, 1000):
        happened = False
        for what, left in folders_left(number, start, out, step, work):
            happened = True
            points.append({"number": number, "what": what, "wrong": check(left, begun, complete, expected, work)})
        if not happened:
            break
        wrong = check_without_log(out, begun, work / "killed", complete, expected)
        points.append({"number": number, "what": "killed, and the log deleted", "wrong": wrong})
    print(json.dumps(points))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
