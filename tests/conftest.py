"""What the specification is tried on: real images, tiny networks in the task table, real subprocesses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from torch import nn

from democlass.classifier import Classifier
from democlass.tasks import TASKS, Task

if TYPE_CHECKING:
    from serving import ServiceProcess

# A shell has background jobs ignore Ctrl-C, and they hand that on; here it is to act, whoever started the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]
EXAMPLES = REPOSITORY / "examples"
NOBODY = 65534


class TinyNetwork(nn.Module):
    """Colour averages to logits: enough of a network to tell images apart, and quick."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.fc(x.mean((2, 3)))
        return answer


def tiny_tasks(network: Callable[[int], nn.Module] = TinyNetwork) -> tuple[Task, ...]:
    return tuple(Task(task.name, task.title, task.labels, task.geometry, network, task.checkpoint) for task in TASKS)


def save_tiny_weights(folder: Path, tasks: Sequence[Task], **more: Any) -> None:
    for seed, task in enumerate(tasks):
        torch.manual_seed(seed)
        state = task.network(len(task.labels)).state_dict()
        torch.save({"model_state_dict": state, "labels": list(task.labels), **more}, folder / task.checkpoint)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Classifier]:
    """Load a classifier whose networks are tiny: `tiny(batch_size=4, workers=2, …)`.

    Unless `isolated=True`, it decodes in this process: that is quicker, and the answers are the same.
    """

    def load(network: Callable[[int], nn.Module] = TinyNetwork, **options: Any) -> Classifier:
        weights = tmp_path / "tiny-weights"
        weights.mkdir(exist_ok=True)
        tasks = tiny_tasks(network)
        save_tiny_weights(weights, tasks)
        return Classifier.load(weights=weights, tasks=tasks, device="cpu", **{"isolated": False, **options})

    return load


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The real networks with the built-in weights."""
    return Classifier.load(device="cpu")


@pytest.fixture(scope="session")
def portrait() -> Image.Image:
    return Image.open(EXAMPLES / "astronaut.png").convert("RGB")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with the built-in networks, shared by all tests that only send requests to it."""
    import serving

    log = tmp_path_factory.mktemp("service") / "log"
    words = ("--queue", str(serving.QUEUE), "--max-upload", str(serving.MAX_UPLOAD), "--workers", "2")
    with serving.run_service(log, *words, "--allow-host", "faces.example.org") as running:
        yield running


@pytest.fixture
def photos(tmp_path: Path, portrait: Image.Image) -> Path:
    """A folder of six different small photos, one of them in a folder within."""
    folder = tmp_path / "photos"
    (folder / "within").mkdir(parents=True)
    names = ["a.jpg", "b.jpg", "c.png", "d.jpg", "e.webp", "within/f.jpg"]
    for number, name in enumerate(names):
        portrait.crop((0, 40 * number, 300, 40 * number + 250)).save(folder / name)
    return folder


@pytest.fixture
def unprivileged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """`with unprivileged():` what the current folder's files forbid is forbidden, for root too."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    @contextmanager
    def without_rights() -> Iterator[None]:
        before = os.geteuid()
        os.seteuid(before or NOBODY)
        try:
            yield
        finally:
            os.seteuid(before)

    return without_rights


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def environment(**more: str) -> dict[str, str]:
    # Importing the command line, as some tests do, sets PYTHONSAFEPATH for what this process starts.
    ours = ("DEMOCLASS_", "PYTHONSAFEPATH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**clean, "PYTHONPATH": str(REPOSITORY / "src"), "COLUMNS": "120", **more}


def command(*words: str | bytes | Path) -> list[str | bytes | Path]:
    return [sys.executable, "-m", "democlass", *words]


@pytest.fixture
def classify(tmp_path: Path) -> Run:
    """Run the real command in a real process, in an empty folder: `classify("batch", folder)`."""

    def run(*words: str | bytes | Path, env: dict[str, str] | None = None, **options: Any) -> Any:
        cwd = options.pop("cwd", tmp_path)
        return subprocess.run(
            command(*words), cwd=cwd, env=environment(**(env or {})), capture_output=True, timeout=120, **options
        )

    return run


def in_terminal(
    *words: str | bytes | Path, cwd: Path, stream: str = "stdout", width: int = 120, env: dict[str, str] | None = None
) -> str:
    """Run the command with a real terminal on one of its streams, and return what it shows."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    terminal = environment(**{"COLUMNS": str(width), "TERM": "xterm-256color", **(env or {})})
    process = subprocess.Popen(command(*words), cwd=cwd, env=terminal, **{stream: inner})  # type: ignore[call-overload]
    os.close(inner)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone with its last writer
        while True:
            shown += os.read(outer, 65536)
    os.close(outer)
    process.wait()
    return shown.decode()
