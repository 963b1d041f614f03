"""Decoding in processes of its own, so that a file that crashes a decoder costs one row, not the run.

Each of the loader's threads speaks to a child process over its standard streams: a name or an encoded image, framed by
its length, goes in; pixels or an error come back. Nothing that comes back is unpickled, for a child has read hostile
files.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from democlass.errors import ImageError
from democlass.images import Input, Pixels, allow_pixels, prepare
from democlass.names import raw_bytes
from democlass.settings import MAX_PIXELS
from democlass.tasks import SIDE, Geometry

if TYPE_CHECKING:
    _Child = subprocess.Popen[bytes]

_LENGTH = struct.Struct("<I")
_ATTEMPTS = 2
_NAME, _CONTENT = b"N", b"C"
_PIXELS, _ERROR = b"P", b"E"

_MEMORY_KEPT = {"PILLOW_BLOCKS_MAX": "8"}
"""16 MiB each: Pillow keeps them from image to image. Fresh pages cost a quarter of preparing a large photo."""


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
    """Decodes as `Decoding` does, each calling thread in a child process that it has for itself meanwhile.

    Children are kept for the next image. One that dies is replaced and its file tried once more; a file that ends two
    children raises ImageError. All end with `close`, with this object, and with this process, however it ends.
    """

    def __init__(self, decoding: Decoding, command: Sequence[str] | None = None) -> None:
        self._decoding = decoding
        self._command = list(command or _own_command())
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []
        self._closed = False
        weakref.finalize(self, _end_all, self._children)

    def start(self, count: int) -> None:
        """Have so many children: while other things are loaded they get ready. Opens again what was closed."""
        self._closed = False
        while len(self._children) < count:
            self._idle.append(self._start())

    def __call__(self, source: Input) -> Pixels:
        """Decode in a child; what is decoded already, here. Raises ImageError."""
        if isinstance(source, bytes):
            asked = (_CONTENT, source)
        elif isinstance(source, (str, os.PathLike)):
            asked = (_NAME, raw_bytes(os.fspath(source)))
        else:
            return self._decoding(source)
        for _ in range(_ATTEMPTS):
            if self._closed:
                raise ImageError("broken off", "the run ended before its turn")
            child = self._take()
            try:
                kind, content = _ask(child, *asked)
            except (BrokenPipeError, EOFError, ValueError):  # dead, or closed by another thread
                _end(child, self._children)
            else:
                self._idle.append(child)
                return self._understood(kind, content)
        raise ImageError("the decoder crashed", "the file is hostile or damaged in a way that no decoder expects")

    def close(self) -> None:
        """End all children, also those at work; nothing is decoded until the next `start`."""
        self._closed = True
        self._idle.clear()
        _end_all(self._children)

    def _take(self) -> _Child:
        try:
            return self._idle.pop()
        except IndexError:
            return self._start()

    def _start(self) -> _Child:
        child = subprocess.Popen(  # noqa: S603 (this Python, this package)
            [*self._command, json.dumps(asdict(self._decoding), default=lambda geometry: geometry.name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**_MEMORY_KEPT, **os.environ},
        )
        self._children.add(child)
        if self._closed:  # meanwhile, too early to be ended with the others
            _end(child, self._children)
        return child

    def _understood(self, kind: bytes, content: bytes) -> Pixels:
        if kind == _ERROR:
            raise ImageError(*json.loads(content))
        frames = np.frombuffer(content, np.uint8).reshape(-1, SIDE, SIDE, 3)
        # One frame serves all geometries of a square image.
        return {geometry: frames[place % len(frames)] for place, geometry in enumerate(self._decoding.geometries)}


def _ask(child: _Child, kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    assert child.stdin is not None and child.stdout is not None
    _say(child.stdin, kind, content)
    return _hear(child.stdout)


def _end(child: _Child, children: set[_Child]) -> None:
    try:
        children.remove(child)
    except KeyError:  # another thread ends it
        return
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        with suppress(BrokenPipeError):  # of what was not yet taken
            stream.close()  # type: ignore[union-attr]


def _end_all(children: set[_Child]) -> None:
    for child in tuple(children):
        _end(child, children)


def serve() -> None:
    """Be a child: answer what is asked on standard input until it ends, as it does when the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    said = json.loads(sys.argv[-1])
    decoding = Decoding(**said | {"geometries": tuple(Geometry[name] for name in said["geometries"])})
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else may speak on this stream
    with suppress(EOFError):
        while True:
            kind, content = _hear(sys.stdin.buffer)
            _say(answers, *_answer(decoding, content if kind == _CONTENT else os.fsdecode(content)))


def _answer(decoding: Decoding, source: Input) -> tuple[bytes, bytes]:
    try:
        pixels = decoding(source)
    except ImageError as error:
        return _ERROR, json.dumps(str(error).split(": ", 1)).encode()
    frames = {id(frame): frame for frame in pixels.values()}
    return _PIXELS, b"".join(frame.tobytes() for frame in frames.values())


def _say(stream: IO[bytes], kind: bytes, content: bytes) -> None:
    stream.write(kind + _LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _hear(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Return kind and content of what is said next. Raises EOFError."""
    kind = _read(stream, 1)
    return kind, _read(stream, _LENGTH.unpack(_read(stream, _LENGTH.size))[0])


def _read(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _own_command() -> list[str]:
    source = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); from democlass.isolation import serve; serve()"
    return [sys.executable, "-c", code]
