"""What goes to standard error: warnings, complaints, summaries; plain lines on which no name can act."""

from __future__ import annotations

import sys

from democlass.names import visible


def complain(text: str) -> None:
    """Write one line to standard error, whatever the text holds."""
    line = visible(text)
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Write a warning to standard error."""
    complain(f"warning: {text}")
