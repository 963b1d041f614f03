"""Ctrl-C and SIGTERM end a command soon, whatever holds it up."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from conftest import environment
from processes import eventually, seconds_used

HELD_UP = """
import hashlib, sys
from democlass.cli.interrupt import exit_in_time, handle_signals
handle_signals()
exit_in_time()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
"""The main thread is in C code that takes no notice of signals, for half an hour."""


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_main_thread_that_takes_no_signals_is_not_waited_for(number: signal.Signals, exit_code: int) -> None:
    words = [sys.executable, "-c", HELD_UP]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        eventually(lambda: seconds_used(process.pid) > 1)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert said.startswith(b"interrupted") and said.count(b"\n") == 1
