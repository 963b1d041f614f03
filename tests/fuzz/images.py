"""Damaged images through the decoding processes that every command uses, beside plain Pillow."""

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
from fuzz.plain import FAILED, NOTHING, PIXELS, REFUSED, Plain

MAX_PIXELS = 2**22
TIMEOUT = 20.0
"""Seconds for one image: a hundred times what one takes here."""

_SPARE_SECONDS = 10.0
_MOST_MEMORY = 400_000
"""kB that a decoding process may ever have; one that has read a sound image of MAX_PIXELS has some 100,000."""

_MOST_REASON, _MOST_TEXT = 40, 300
_GEOMETRIES = (Geometry.CENTRE_CROP, Geometry.SQUASH)
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")

Verdict = tuple[bytes, bytes]
"""PIXELS with those of both geometries, or FAILED with "reason: advice"."""


def judge(ours: Verdict, plain: Verdict) -> str | None:
    """Return what is wrong with a verdict, beside that of plain Pillow; None where it is right."""
    if ours[0] == FAILED:
        text = ours[1].decode()
        reason = text.split(": ", 1)[0]
        if len(reason) > _MOST_REASON or len(text) > _MOST_TEXT or not text.isprintable():
            return "an error that is no short line"
        if _ADDRESS.search(text):
            return "an error with a memory address, which is another one in every run"
        if plain[0] == PIXELS and reason != "timed out":
            return f"refused, though plain Pillow reads it: {reason}"
        return None
    if plain[0] == PIXELS:
        return None if ours[1] == plain[1] else "other pixels than plain Pillow's"
    if plain[0] == NOTHING:
        return None  # no reference: it crashed, or took too long
    return "read, though it is to be refused" if plain[0] == REFUSED else "read, though plain Pillow fails"


@dataclass
class Run:
    """What came of the images so far."""

    findings: Findings
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0
    pids: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(seed: int, numbers: Iterable[int], workers: int, findings: Findings, progress: Callable[[int], object]) -> Run:
    """Decode the mutants with these numbers, and find out whether any process is left behind."""
    state = Run(findings)
    decode = Isolated(Decoding(_GEOMETRIES, max_pixels=MAX_PIXELS), timeout=TIMEOUT)
    todo = iter(numbers)

    def work() -> None:
        plain = Plain(MAX_PIXELS, TIMEOUT)
        with contextlib.closing(plain), tempfile.TemporaryDirectory() as folder:
            while True:
                with state.lock:
                    number = next(todo, None)
                if number is None:
                    return
                _try(mutant(seed, number), decode, plain, Path(folder) / "image", state)
                progress(1)

    try:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work) for _ in range(workers)]:
                done.result()
    finally:
        decode.close()
    left = [pid for pid in state.pids if _is_alive(pid)]
    if left:
        findings.add("a decoding process is left behind", {"processes": left}, b"")
    return state


def _try(case: Mutant, decode: Isolated, plain: Plain, file: Path, state: Run) -> None:
    source: bytes | Path = case.content
    if case.number % 2:  # files are read in another way than bytes
        file.write_bytes(case.content)
        source = file
    began = time.monotonic()
    ours, outcome = _decode(decode, source)
    seconds = time.monotonic() - began
    theirs = plain(case.content)
    wrong = judge(ours, theirs)
    if outcome.startswith("raised "):
        wrong = f"the parent {outcome}"
    elif case.number % 20 < 2 and outcome != "timed out" and _decode(decode, source)[0] != ours:
        wrong = wrong or "decoded again, it is something else"
    if seconds > TIMEOUT + _SPARE_SECONDS:
        wrong = wrong or "the time limit was not kept"
    pids = decode.pids
    memory = max(map(_peak_memory, pids), default=0)
    if memory > max(_MOST_MEMORY, state.memory):
        wrong = wrong or "more memory than an image of that size needs"
    with state.lock:
        state.outcomes[outcome] += 1
        state.slowest = max(state.slowest, seconds)
        state.memory = max(state.memory, memory)
        state.pids.update(pids)
    if wrong is not None:
        ours_text, theirs_text = (
            "pixels" if kind == PIXELS else text.decode(errors="replace") for kind, text in (ours, theirs)
        )
        details = {"ours": ours_text, "plain Pillow": theirs_text, "s": seconds, "kB": memory}
        state.findings.add(wrong, details, case.content, case)


def _decode(decode: Isolated, source: bytes | Path) -> tuple[Verdict, str]:
    """Return the verdict, and the outcome to count: "read", or the reason of the error."""
    try:
        (pixels,) = decode(source)
    except ImageError as error:
        return (FAILED, str(error).encode()), error.reason
    except Exception as error:  # the parent must raise nothing else
        return (FAILED, f"exception: {error!r}".encode()), f"raised {type(error).__name__}"
    return (PIXELS, b"".join(pixels[geometry].tobytes() for geometry in _GEOMETRIES)), "read"


def _peak_memory(process: int) -> int:
    """Return the most memory, in kB, that a process has had; 0 where it is gone, or the system does not say."""
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
