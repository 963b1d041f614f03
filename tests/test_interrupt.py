"""Ctrl-C and SIGTERM end a command soon, even if its main thread does not respond."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from conftest import environment
from processes import seconds_used, wait_until

pytestmark = pytest.mark.slow

UNRESPONSIVE = """
import hashlib, sys
from democlass.cli.interrupt import exit_in_time, handle_signals
handle_signals()
exit_in_time()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
"""The main thread stays in C code for half an hour, which runs no signal handlers of Python."""


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_ends_although_its_main_thread_does_not_respond(number: signal.Signals, exit_code: int) -> None:
    words = [sys.executable, "-c", UNRESPONSIVE]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        wait_until(lambda: seconds_used(process.pid) > 0.5)
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert messages.startswith(b"interrupted") and messages.count(b"\n") == 1
