"""Messages on standard error: errors, warnings and summaries, each on a line of its own.

Errors read `classify: <sentence>`, warnings `warning: <sentence>`. All characters that could act on a terminal are
escaped, because messages quote file names.
"""

from __future__ import annotations

import sys
from pathlib import Path

from democlass.names import to_printable


def program_name() -> str:
    """Return the name the program was started under: `classify` or `democlass`."""
    return Path(sys.argv[0]).name.replace("__main__.py", "classify")


def write_line(text: str) -> None:
    """Write one line to standard error. Line breaks and control characters in the text are escaped."""
    sys.stderr.write(to_printable(text) + "\n")  # cli/stdio.py escapes characters that the stream cannot encode
    sys.stderr.flush()


def error(text: str) -> None:
    """Write an error message."""
    write_line(f"{program_name()}: {text}")


def warn(text: str) -> None:
    """Write a warning."""
    write_line(f"warning: {text}")
