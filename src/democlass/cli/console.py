"""What goes to standard error: warnings, complaints, summaries; plain lines on which no name can act."""

from __future__ import annotations

import sys

from democlass.names import to_printable


def complain(text: str) -> None:
    """Write one line to standard error, whatever the text holds."""
    sys.stderr.write(to_printable(text) + "\n")  # a stream of cli/stdio.py: whatever can't be encoded is escaped
    sys.stderr.flush()


def warn(text: str) -> None:
    """Write a warning to standard error."""
    complain(f"warning: {text}")
