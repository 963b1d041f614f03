"""Freed memory is kept where the C library is glibc."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from conftest import environment

FAULTS = """
import resource, sys
from democlass.train.memory import keep_freed
if sys.argv[1] == "kept": keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * 50_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_second_time_there_are_no_fresh_pages() -> None:
    kept, not_kept = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, way], env=environment())) for way in ("kept", "not")
    )
    assert kept < not_kept / 10
