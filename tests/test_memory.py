"""Freed memory stays in the process if the C library is glibc."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from conftest import environment

pytestmark = pytest.mark.slow

COUNT_PAGE_FAULTS = """
import resource, sys
from democlass.train.memory import keep_freed_memory
if sys.argv[1] == "keep": keep_freed_memory()
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * 50_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
page_faults()
print(min(page_faults() for _ in range(3)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_second_allocation_needs_no_new_pages() -> None:
    kept, not_kept = (
        int(subprocess.check_output([sys.executable, "-c", COUNT_PAGE_FAULTS, mode], env=environment()))
        for mode in ("keep", "release")
    )
    assert kept < not_kept / 10
