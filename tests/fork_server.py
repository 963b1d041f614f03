"""Processes of the tiny command, forked from one process that has imported everything.

Importing torch takes seconds, a fork takes milliseconds. The program reads a JSON object per line. An object with
`args`, `variables` and `log` starts a process, which writes its output to the file `log`, and is answered with the
process ID. An object with `wait` is answered with the exit code of that process, negative if a signal ended it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from typing_extensions import Self

_TIMEOUT = 120.0


class ForkedProcess:
    """A process of the command, in its own session. `log` is the file of its output."""

    def __init__(self, server: ForkServer, pid: int, log: Path) -> None:
        self._server, self.pid, self.log = server, pid, log

    @property
    def output(self) -> str:
        return self.log.read_text()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait until the process ends and return its exit code."""
        return self._server.request({"wait": self.pid})

    def wait_for_line(self, start: str) -> None:
        """Wait until the process has written a line that starts so."""
        deadline = time.monotonic() + _TIMEOUT
        while not any(line.startswith(start) for line in self.output.splitlines()):
            assert time.monotonic() < deadline, f"no line {start!r} in {self.output}"
            time.sleep(0.01)


class ForkServer:
    """Starts processes of the tiny command. A context manager."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, *args: str, log: Path, **variables: str) -> ForkedProcess:
        log.touch()
        return ForkedProcess(self, self.request({"args": args, "variables": variables, "log": str(log)}), log)

    def request(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    import training_command

    training_command.replace_networks()
    import conftest  # noqa: F401 (these are imported before processes are forked)
    import democlass.cli.train
    import democlass.train.run  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        result = wait(request["wait"]) if "wait" in request else (os.fork() or run(request))
        print(result, flush=True)  # noqa: T201


def run(request: dict[str, Any]) -> NoReturn:
    import training_command

    os.setsid()
    os.environ.update(request["variables"])
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    sys.argv = ["training_command.py", *request["args"]]
    code = 1
    try:
        training_command.main(*request["args"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    deadline = time.monotonic() + _TIMEOUT
    while (status := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(status[1])


if __name__ == "__main__":
    serve()
