"""Decoding in processes of its own, so that a file that crashes a decoder costs one row, not the run.

Each of the loader's threads has one child process. They speak over its standard streams: a name, framed by its
length, goes in; pixels or an error come back. Nothing that comes back is unpickled, for a child has read hostile files.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from democlass.errors import ImageError
from democlass.images import Input, Pixels, allow_pixels, prepare
from democlass.names import raw_bytes
from democlass.settings import MAX_PIXELS
from democlass.tasks import SIDE, Geometry

_LENGTH = struct.Struct("<I")
_ATTEMPTS = 2
_PIXELS, _ERROR = b"P", b"E"


@dataclass(frozen=True)
class Decoding:
    """How images are decoded, for which geometries: the arguments of `images.prepare`."""

    geometries: tuple[Geometry, ...]
    ignore_exif: bool = False
    max_pixels: int = MAX_PIXELS
    fast: bool = False

    def __post_init__(self) -> None:
        """Let Pillow read as much, in whichever process this is."""
        allow_pixels(self.max_pixels)

    def __call__(self, source: Input) -> Pixels:
        """Decode in this process. Raises ImageError."""
        return prepare(source, **{name: getattr(self, name) for name in self.__dataclass_fields__})


class Isolated:
    """Decodes as `Decoding` does, each calling thread in a child process of its own.

    A child that dies is replaced and its file tried once more; a file that ends two children raises ImageError.
    """

    def __init__(self, decoding: Decoding, command: Sequence[str] | None = None) -> None:
        self._decoding = decoding
        self._command = list(command or _own_command())
        self._local = threading.local()
        self._children: list[subprocess.Popen[bytes]] = []

    def __call__(self, source: Input) -> Pixels:
        """Decode in this thread's child; what is in memory already, here. Raises ImageError."""
        if not isinstance(source, (str, os.PathLike)):
            return self._decoding(source)
        for _ in range(_ATTEMPTS):
            child = getattr(self._local, "child", None) or self._start()
            try:
                return self._ask(child, raw_bytes(os.fspath(source)))
            except (BrokenPipeError, EOFError):
                self._end(child)
                self._local.child = None
        raise ImageError("the decoder crashed", "the file is hostile or damaged in a way that no decoder expects")

    def close(self) -> None:
        """End all children."""
        for child in tuple(self._children):
            self._end(child)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):  # of what was not yet taken
                stream.close()  # type: ignore[union-attr]
        self._children.remove(child)

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(  # noqa: S603 (this Python, this package)
            [*self._command, json.dumps(asdict(self._decoding), default=lambda geometry: geometry.name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._children.append(child)
        self._local.child = child
        return child

    def _ask(self, child: subprocess.Popen[bytes], name: bytes) -> Pixels:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(_LENGTH.pack(len(name)) + name)
        child.stdin.flush()
        kind = _read(child.stdout, 1)
        content = _read(child.stdout, _LENGTH.unpack(_read(child.stdout, _LENGTH.size))[0])
        if kind == _ERROR:
            raise ImageError(*json.loads(content))
        frames = np.frombuffer(content, np.uint8).reshape(-1, SIDE, SIDE, 3)
        # One frame serves all geometries of a square image.
        return {geometry: frames[place % len(frames)] for place, geometry in enumerate(self._decoding.geometries)}


def serve() -> None:
    """Be a child: answer names on standard input until it ends, as it does when the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    said = json.loads(sys.argv[-1])
    decoding = Decoding(**said | {"geometries": tuple(Geometry[name] for name in said["geometries"])})
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else may speak on this stream
    while head := sys.stdin.buffer.read(_LENGTH.size):
        name = os.fsdecode(_read(sys.stdin.buffer, _LENGTH.unpack(head)[0]))
        kind, content = _answer(decoding, name)
        answers.write(kind + _LENGTH.pack(len(content)) + content)
        answers.flush()


def _answer(decoding: Decoding, name: str) -> tuple[bytes, bytes]:
    try:
        pixels = decoding(name)
    except ImageError as error:
        return _ERROR, json.dumps(str(error).split(": ", 1)).encode()
    frames = {id(frame): frame for frame in pixels.values()}
    return _PIXELS, b"".join(frame.tobytes() for frame in frames.values())


def _read(stream: BinaryIO | Any, size: int) -> bytes:
    content: bytes = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _own_command() -> list[str]:
    source = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); from democlass.isolation import serve; serve()"
    return [sys.executable, "-c", code]
