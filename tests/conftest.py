"""Shared fixtures: real images, tiny networks in the task table, and the command in a process or in this one."""

from __future__ import annotations

import thread_policy  # noqa: F401 (before torch)

# isort: split

import contextlib
import fcntl
import gc
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import warnings
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
    from fork_server import ForkServer
    from serving import ServiceProcess

# A shell starts background jobs with SIGINT ignored, and child processes inherit that. Tests need it to act.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]
EXAMPLES = REPOSITORY / "examples"
NOBODY = 65534


class TinyNetwork(nn.Module):
    """A quick network from the average colour to logits, which is enough to tell images apart."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def tiny_tasks(network: Callable[[int], nn.Module] = TinyNetwork) -> tuple[Task, ...]:
    return tuple(Task(task.name, task.title, task.labels, task.geometry, network, task.checkpoint) for task in TASKS)


def save_tiny_weights(folder: Path, tasks: Sequence[Task], **more: Any) -> None:
    for seed, task in enumerate(tasks):
        torch.manual_seed(seed)
        state = task.network(len(task.labels)).state_dict()
        torch.save({"model_state_dict": state, "labels": list(task.labels), **more}, folder / task.checkpoint)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Classifier]:
    """Load a classifier with tiny networks: `tiny(batch_size=4, workers=2, …)`.

    It decodes in this process unless `isolated=True`, because that is quicker and gives the same results.
    """

    def load(network: Callable[[int], nn.Module] = TinyNetwork, **options: Any) -> Classifier:
        weights = tmp_path / "tiny-weights"
        weights.mkdir(exist_ok=True)
        tasks = tiny_tasks(network)
        save_tiny_weights(weights, tasks)
        return Classifier.load(weights=weights, tasks=tasks, device="cpu", **{"isolated": False, **options})

    return load


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints of tiny networks."""
    folder = tmp_path_factory.mktemp("tiny-weights")
    save_tiny_weights(folder, tiny_tasks())
    return folder


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """A classifier with the built-in checkpoints."""
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
def faces(tmp_path: Path) -> Path:
    """A folder with images and labels for training."""
    from training import make_faces

    return make_faces(tmp_path)


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """A process that has imported torch, and forks a process for each call of `classify train`."""
    from fork_server import ForkServer
    from training import single_threaded

    with ForkServer(single_threaded()) as server:
        yield server


@pytest.fixture(scope="session")
def commands() -> Iterator[ForkServer]:
    """A process that has imported torch, and forks a process for each call of `classify`: `commands.run("batch", …)`.

    It is quicker than `classify` by seconds.
    """
    from fork_server import ForkServer

    with ForkServer(environment()) as server:
        yield server


@pytest.fixture
def evaluation_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Labels and predictions of one image in the current folder."""
    from evaluating import prediction, results

    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("path,gender\na.jpg,Male\n")
    results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.1)])
    return [("the labels file", Path("labels.csv")), ("the predictions", Path("results.csv"))]


@pytest.fixture
def photos(tmp_path: Path, portrait: Image.Image) -> Path:
    """A folder with six different small photos, one of them in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "within").mkdir(parents=True)
    names = ["a.jpg", "b.jpg", "c.png", "d.jpg", "e.webp", "within/f.jpg"]
    for number, name in enumerate(names):
        portrait.crop((0, 40 * number, 300, 40 * number + 250)).save(folder / name)
    return folder


@pytest.fixture
def unprivileged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Apply file permissions to root too: `with unprivileged():`, in an empty current folder."""
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
TextRun = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a process, without settings of democlass."""
    # Some tests import the command line, which sets PYTHONSAFEPATH for the child processes of this one.
    removed = ("DEMOCLASS_", "PYTHONSAFEPATH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return {**clean, "PYTHONPATH": str(REPOSITORY / "src"), "COLUMNS": "120", **more}


def command(*words: str | bytes | Path) -> list[str | bytes | Path]:
    """Return the command line that runs democlass with these words."""
    return [sys.executable, "-m", "democlass", *words]


@pytest.fixture
def classify(tmp_path: Path) -> Run:
    """Run the command in a new process, in an empty folder: `classify("batch", folder)`."""

    def run(*words: str | bytes | Path, env: dict[str, str] | None = None, **options: Any) -> Any:
        cwd = options.pop("cwd", tmp_path)
        return subprocess.run(
            command(*words), cwd=cwd, env=environment(**(env or {})), capture_output=True, timeout=120, **options
        )

    return run


@pytest.fixture
def classify_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the command in this process, in an empty folder. It is quicker than `classify`, and has the same results."""
    from democlass.cli import run_command

    def run(
        *words: str | bytes | Path, env: dict[str, str] | None = None, input: bytes = b"", cwd: Path = tmp_path
    ) -> subprocess.CompletedProcess[bytes]:
        arguments = [os.fsdecode(word) for word in words]
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write(input)
            stdin.seek(0)
            with monkeypatch.context() as patch, warnings.catch_warnings():
                for name in [name for name in os.environ if name.startswith("DEMOCLASS_")]:
                    patch.delenv(name)
                for name, value in {"COLUMNS": "120", **(env or {})}.items():
                    patch.setenv(name, value)
                patch.chdir(cwd)
                patch.setattr(sys, "argv", ["classify", *arguments])
                patch.setattr(sys, "stdin", io.TextIOWrapper(open(stdin.fileno(), "rb", closefd=False)))  # noqa: SIM115
                patch.setattr(sys, "stdout", _text_stream(stdout.fileno()))
                patch.setattr(sys, "stderr", _text_stream(stderr.fileno()))
                code = run_command(arguments, guard=False)
                sys.stdout.flush()
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())

    yield run
    gc.collect()  # ends the decoding processes of classifiers


@pytest.fixture
def classify_tiny(classify_here: Run, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Do the same as `classify_here`, with tiny networks in the task table. It is quicker by seconds."""
    for task in TASKS:
        monkeypatch.setitem(vars(task), "network", TinyNetwork)
    weights = {"DEMOCLASS_WEIGHTS": str(tiny_weights), "DEMOCLASS_DEVICE": "cpu"}

    def run(*words: str | bytes | Path, env: dict[str, str] | None = None, **more: Any) -> Any:
        return classify_here(*words, env={**weights, **(env or {})}, **more)

    return run


@pytest.fixture
def run_report(classify_here: Run) -> TextRun:
    """Run a command of reports in this process, with 80 columns; its output is text."""

    def run(*words: object, command: str = "report") -> subprocess.CompletedProcess[str]:
        done = classify_here(command, *map(str, words), env={"COLUMNS": "80"})
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def _text_stream(descriptor: int) -> io.TextIOWrapper:
    stream = open(descriptor, "wb", closefd=False)  # noqa: SIM115 (the file it belongs to is closed by its owner)
    return io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", write_through=True)


def in_terminal(
    commands: ForkServer,
    *words: str | bytes | Path,
    cwd: Path,
    stream: str = "stdout",
    width: int = 120,
    env: dict[str, str] | None = None,
    tiny: Path | None = None,
) -> str:
    """Run the command with a real terminal as one of its streams, and return the output on it."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    variables = {"COLUMNS": str(width), "TERM": "xterm-256color", **(env or {})}
    process = commands.start(*words, cwd=cwd, tiny=tiny, variables=variables, **{stream: inner})  # type: ignore[arg-type]
    os.close(inner)
    output = b""
    with contextlib.suppress(OSError):  # the terminal closes with its last writer
        while True:
            output += os.read(outer, 65536)
    os.close(outer)
    process.wait()
    return output.decode()
