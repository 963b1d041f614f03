"""Draw docs/terminal.svg: run commands in a pseudo-terminal and draw what they show.

python docs/scripts/terminal.py [--out FILE.svg] [--columns 88] [COMMAND ...]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
COMMANDS = ("classify examples/ --faces", "classify batch examples/ --faces --out results.csv")
ROWS = 50
WEB_FONTS = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
"""Rules in Rich's template that load fonts from another host."""

REDRAWN_LINE = re.compile(r"[^\n]*\r(?!\n)(?:\x1b\[2K)?")
"""Earlier states of a line that a progress bar draws again."""


def record(command: str, columns: int, folder: Path) -> str:
    """Run a shell command in a pseudo-terminal of this width and return what it writes, with ANSI codes."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(command, shell=True, cwd=folder, env=environment, stdout=inner, stderr=inner)  # noqa: S602
    os.close(inner)
    output = b""
    with contextlib.suppress(OSError):  # Linux raises it when the last writer has closed the terminal
        while block := os.read(outer, 2**16):
            output += block
    os.close(outer)
    if process.wait():
        raise SystemExit(f"{command}: exit code {process.returncode}\n{output.decode()}")
    return REDRAWN_LINE.sub("", output.decode().replace("\r\n", "\n"))


def draw(commands: list[str], columns: int) -> str:
    """Return an SVG of the commands, each after a prompt, with their output."""
    with open(os.devnull, "w") as nowhere, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        console = Console(record=True, width=columns, file=nowhere, force_terminal=True)
        for number, command in enumerate(commands):
            if number:
                console.print()
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")), highlight=False)
            console.print(Text.from_ansi(record(command, columns, Path(folder)).rstrip("\n")))
        template = WEB_FONTS.sub("", CONSOLE_SVG_FORMAT)
        return console.export_svg(title="democlass", code_format=template, unique_id="democlass")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", default=list(COMMANDS), help="shell commands, run in this order")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "terminal.svg", help="the SVG file")
    parser.add_argument("--columns", type=int, default=88, help="width of the terminal in characters")
    options = parser.parse_args()
    options.out.write_text(draw(options.commands, options.columns), encoding="utf-8")


if __name__ == "__main__":
    main()
