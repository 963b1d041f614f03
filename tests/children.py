"""Child processes that fail for some file names, to test decoding in child processes."""

from __future__ import annotations

import sys

from conftest import REPOSITORY
from democlass.images.isolation import Decoding
from democlass.tasks import Geometry

BOTH = Decoding(tuple(Geometry))
CHILD = f"""
import ctypes, os, sys, time
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from democlass.images import decode as images
from democlass.images import worker
read = images.read
def read_or_fail(source, **options):
    name = os.path.basename(source)
    if name == "crash.jpg":
        os.abort()
    if name in ("stuck.jpg", "locked.jpg"):
        with open(source, "ab") as file:
            file.write(b"!")
        library = ctypes.CDLL if name == "stuck.jpg" else ctypes.PyDLL
        library(None).sleep(600)
    return read(source, **options)
images.read = read_or_fail
time.sleep(float(os.environ.get("SLOW_START", 0)))
worker.main(sys.argv[1], float(sys.argv[2]))
"""
FAILING_CHILD = [sys.executable, "-c", CHILD]
"""A child that fails for some file names: `crash.jpg` crashes it, `stuck.jpg` and `locked.jpg` are never finished.
`locked.jpg` also holds the interpreter's lock. Each attempt to decode these two makes the file one byte longer."""
