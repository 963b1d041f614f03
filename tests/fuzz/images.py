"""Decodes damaged images with the decoding processes of the package, and compares the results with plain Pillow."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from democlass.errors import ImageError
from democlass.images.decoding import Decoding
from democlass.images.isolation import Isolated
from democlass.tasks import Geometry
from fuzz.findings import Findings
from fuzz.mutations import Mutant, mutant
from fuzz.reference import FAILED, PIXELS, REJECTED, UNKNOWN, ReferenceDecoder

MAX_PIXELS = 2**22
TIMEOUT = 20.0
"""Time limit for one image in seconds: about a hundred times as long as an image takes."""

_TIMEOUT_TOLERANCE = 10.0
_MAX_MEMORY = 400_000
"""Maximum memory of a decoding process in kB. A valid image of MAX_PIXELS needs about 100,000."""

_MAX_REASON, _MAX_TEXT = 40, 300
_GEOMETRIES = (Geometry.CENTRE_CROP, Geometry.SQUASH)
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")

Result = tuple[bytes, bytes]
"""PIXELS with the pixels of both geometries, or FAILED with "reason: advice"."""


def compare(ours: Result, reference: Result) -> str | None:
    """Compare our result with the reference. Return what is wrong with it, or None."""
    if ours[0] == FAILED:
        text = ours[1].decode()
        reason = text.split(": ", 1)[0]
        if len(reason) > _MAX_REASON or len(text) > _MAX_TEXT or not text.isprintable():
            return "an error that is not one short line"
        if _ADDRESS.search(text):
            return "an error with a memory address, which differs between runs"
        if reference[0] == PIXELS and reason != "timed out":
            return f"rejected, but plain Pillow decodes it: {reason}"
        return None
    if reference[0] == PIXELS:
        return None if ours[1] == reference[1] else "pixels differ from plain Pillow's"
    if reference[0] == UNKNOWN:
        return None  # the reference crashed or took too long
    return "decoded, but must be rejected" if reference[0] == REJECTED else "decoded, but plain Pillow fails"


@dataclass
class Run:
    """The results so far. `slowest` is in seconds, `memory` in kB."""

    findings: Findings
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0
    pids: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(seed: int, numbers: Iterable[int], workers: int, findings: Findings, progress: Callable[[int], object]) -> Run:
    """Decode the mutants with these numbers, then check that no process is left."""
    state = Run(findings)
    decode = Isolated(Decoding(_GEOMETRIES, max_pixels=MAX_PIXELS), timeout=TIMEOUT)
    todo = iter(numbers)

    def work() -> None:
        reference = ReferenceDecoder(MAX_PIXELS, TIMEOUT)
        with contextlib.closing(reference), tempfile.TemporaryDirectory() as folder:
            while True:
                with state.lock:
                    number = next(todo, None)
                if number is None:
                    return
                _run_case(mutant(seed, number), decode, reference, Path(folder) / "image", state)
                progress(1)

    try:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work) for _ in range(workers)]:
                done.result()
    finally:
        decode.close()
    left = [pid for pid in state.pids if _is_alive(pid)]
    if left:
        findings.add("a decoding process is left", {"processes": left}, b"")
    return state


def _run_case(case: Mutant, decode: Isolated, reference: ReferenceDecoder, file: Path, state: Run) -> None:
    source: bytes | Path = case.content
    if case.number % 2:  # files and bytes are read in different ways
        file.write_bytes(case.content)
        source = file
    started = time.monotonic()
    ours, outcome = _decode(decode, source)
    seconds = time.monotonic() - started
    theirs = reference(case.content)
    problem = compare(ours, theirs)
    if outcome.startswith("raised "):
        problem = f"the parent {outcome}"
    elif case.number % 20 < 2 and outcome != "timed out" and _decode(decode, source)[0] != ours:
        problem = problem or "decoding it again gives another result"
    if seconds > TIMEOUT + _TIMEOUT_TOLERANCE:
        problem = problem or "the time limit was exceeded"
    pids = decode.pids
    memory = max(map(_peak_memory, pids), default=0)
    if memory > max(_MAX_MEMORY, state.memory):
        problem = problem or "more memory than an image of this size needs"
    with state.lock:
        state.outcomes[outcome] += 1
        state.slowest = max(state.slowest, seconds)
        state.memory = max(state.memory, memory)
        state.pids.update(pids)
    if problem is not None:
        ours_text, theirs_text = (
            "pixels" if kind == PIXELS else text.decode(errors="replace") for kind, text in (ours, theirs)
        )
        details = {"ours": ours_text, "plain Pillow": theirs_text, "s": seconds, "kB": memory}
        state.findings.add(problem, details, case.content, case)


def _decode(decode: Isolated, source: bytes | Path) -> tuple[Result, str]:
    """Return the result, and the outcome to count: "decoded", or the reason of the error."""
    try:
        (pixels,) = decode(source)
    except ImageError as error:
        return (FAILED, str(error).encode()), error.reason
    except Exception as error:  # the parent process must not raise anything else
        return (FAILED, f"exception: {error!r}".encode()), f"raised {type(error).__name__}"
    return (PIXELS, b"".join(pixels[geometry].tobytes() for geometry in _GEOMETRIES)), "decoded"


def _peak_memory(process: int) -> int:
    """Return the peak memory of a process in kB, or 0 if it is unknown."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def _is_alive(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(process, 0)
        return True
    return False
