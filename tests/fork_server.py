"""Processes of the command, forked from one process that has imported everything.

Importing torch takes seconds, a fork takes milliseconds. The program receives a JSON object per line. An object with
`args`, `env`, `cwd` and `tiny` starts a process, whose standard streams come with the line, and is answered with the
process ID. An object with `poll` is answered with the exit code of that process, negative if a signal ended it, or null
if it runs. Tests of the start and the end of the interpreter need processes of their own.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from typing_extensions import Self

_TIMEOUT = 120.0
Stream = int | IO[bytes] | None
"""One of the standard streams of a process: a file, its descriptor, `subprocess.PIPE`, or None for /dev/null."""


class ForkedProcess:
    """A process of the command, in its own session. It has the attributes and methods of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int, streams: list[IO[bytes] | None]) -> None:
        self._server, self.pid = server, pid
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.request({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = _TIMEOUT) -> int:
        """Wait until the process ends and return its exit code."""
        from processes import wait_until

        wait_until(lambda: self.poll() is not None, timeout)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = _TIMEOUT) -> tuple[bytes, bytes]:
        """Read standard output and standard error until the process ends, and return both."""
        read: dict[IO[bytes], bytes] = {}

        def read_all(stream: IO[bytes]) -> None:
            read[stream] = stream.read()

        streams = [stream for stream in (self.stdout, self.stderr) if stream is not None]
        threads = [threading.Thread(target=read_all, args=(stream,), daemon=True) for stream in streams]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread, stream in zip(threads, streams, strict=True):
            thread.join(timeout)
            stream.close()
        return tuple(b"" if stream is None else read[stream] for stream in (self.stdout, self.stderr))  # type: ignore[return-value]


class LoggedProcess(ForkedProcess):
    """A process that writes its output to the file `log`."""

    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for_line(self, start: str) -> None:
        """Wait until the process has written a line that starts so."""
        from processes import wait_until

        wait_until(lambda: any(line.startswith(start) for line in self.output.splitlines()), _TIMEOUT)


class ForkServer:
    """Starts processes of the command. A context manager.

    `env` is the environment of the server, which matters for settings that libraries read when they are imported.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._socket, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(words, env=env, pass_fds=[theirs.fileno()])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._process.wait()

    def start(
        self,
        *args: str | bytes | Path,
        cwd: Path,
        tiny: Path | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        kind: Callable[..., ForkedProcess] = ForkedProcess,
    ) -> Any:
        """Start `classify` with these arguments, and these environment variables besides those of the server.

        With `tiny`, the networks in the task table are tiny ones, and `tiny` is the folder of their checkpoints.
        """
        env = {**self._env, **variables}
        if tiny:
            env = {"DEMOCLASS_WEIGHTS": str(tiny), "DEMOCLASS_DEVICE": "cpu", **env}
        request = {"args": [*map(os.fsdecode, args)], "env": env, "cwd": str(cwd), "tiny": tiny is not None}
        ours: list[IO[bytes] | None] = [None, None, None]
        theirs: list[int] = []
        with ExitStack() as stack:
            for number, stream in enumerate((stdin, stdout, stderr)):
                if stream == subprocess.PIPE:
                    reading, writing = map(int, os.pipe())
                    near, far = (writing, reading) if number == 0 else (reading, writing)
                    ours[number] = os.fdopen(near, "wb" if number == 0 else "rb")
                    stack.callback(os.close, far)
                elif stream is None:
                    far = os.open(os.devnull, os.O_RDWR)
                    stack.callback(os.close, far)
                else:
                    far = stream if isinstance(stream, int) else stream.fileno()
                theirs.append(far)
            return kind(self, self.request(request, theirs), ours)

    def start_logged(self, *args: str, log: Path, **variables: str) -> LoggedProcess:
        """Start `classify` with tiny networks and these environment variables. Its output goes to a file."""
        with log.open("ab") as stream:
            process: LoggedProcess = self.start(
                *args, cwd=log.parent, tiny=log.parent, variables=variables, stdout=stream, stderr=stream,
                kind=LoggedProcess,
            )  # fmt: skip
        process.log = log
        return process

    def run(self, *args: str | bytes | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run `classify` and return its exit code, standard output and standard error."""
        process = self.start(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        output, messages = process.communicate()
        return subprocess.CompletedProcess(args, process.returncode, output, messages)

    def request(self, request: dict[str, Any], descriptors: list[int] | None = None) -> Any:
        send(self._socket, request, descriptors or [])
        return receive(self._socket)[0]


def send(connection: socket.socket, value: object, descriptors: list[int]) -> None:
    content = json.dumps(value).encode() + b"\n"
    sent = socket.send_fds(connection, [content], descriptors) if descriptors else 0
    connection.sendall(content[sent:])


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """Return a value and the descriptors that came with it. The value is None if the connection is closed."""
    content, descriptors, _, _ = socket.recv_fds(connection, 65536, 3)
    while content and not content.endswith(b"\n"):
        content += connection.recv(65536)
    return json.loads(content or b"null"), descriptors


def serve(connection: socket.socket) -> None:
    import conftest  # noqa: F401 (these are imported before processes are forked)
    import democlass.classifier
    import democlass.cli.batch
    import democlass.cli.evaluate
    import democlass.cli.paths
    import democlass.cli.train
    import democlass.train.run  # noqa: F401

    gc.freeze()
    while True:
        request, descriptors = receive(connection)
        if request is None:
            return
        result = poll(request["poll"]) if "poll" in request else (os.fork() or run(request, descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        send(connection, result, [])


def poll(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def run(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    import training_command

    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        os.closerange(3, 256)
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            stream = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace")
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)
        sys.argv = ["training_command.py" if request["tiny"] else "classify", *request["args"]]
        if request["tiny"]:
            training_command.replace_networks()
        training_command.main(*request["args"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
