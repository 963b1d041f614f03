"""The table for a terminal. It is printed row by row, so that memory use does not grow with the number of rows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from democlass.names import to_printable
from democlass.output.formats import WriterOptions
from democlass.results import Face, Prediction
from democlass.tasks import UNCERTAIN, Task

_BAR_WIDTH = 8
_PERCENT_WIDTH = len("100.0%")
_GAP = 2
_INDENT = " " * _GAP
_GOOD_PATH_WIDTH = 26  # bars get only the space left after it
_MIN_PATH_WIDTH = 20  # on narrower terminals each path gets its own line
_PLACE_WIDTH = 32  # both of these after face detection: number, place and size of nearly every face on one line
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class TableWriter:
    """Writes predictions to standard output: the path, and for each task the label, the confidence and a bar.

    A wide terminal gets one line per image. A narrow terminal gets the path and, below it, one line per task, so that
    labels are never truncated. After face detection, a line for each face follows the path: its number, the left top
    corner of its region in pixels, the width of the region, and what an image has otherwise. There are no bars if the
    stream can only show ASCII.
    """

    def __init__(self, options: WriterOptions) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        if self._console.is_dumb_terminal:  # Rich assumes a width of 80 for these
            self._console.size = shutil.get_terminal_size((80, 25))
        self._tasks = options.tasks
        self._label_widths = [_label_width(task) for task in options.tasks]
        self._is_ascii = self._console.options.ascii_only
        fixed = sum(width + _PERCENT_WIDTH + 3 * _GAP for width in self._label_widths)
        least, good = (_PLACE_WIDTH, _PLACE_WIDTH) if options.faces else (_MIN_PATH_WIDTH, _GOOD_PATH_WIDTH)
        self._is_wide = self._console.width >= fixed + least
        if self._is_wide:
            self._bar_width = self._fit_bar((self._console.width - fixed - good) // len(options.tasks))
            self._path_width = self._console.width - fixed - self._bar_width * len(options.tasks)
            self._print_cells([Text("path", style="bold"), *self._headings()])
            self._console.print(Text(("-" if self._is_ascii else "─") * self._console.width, style="dim"))
        else:
            self._title_width = max(len(task.title) for task in options.tasks)
            indents = 2 if options.faces else 1
            used = self._title_width + max(self._label_widths) + _PERCENT_WIDTH + (indents + 3) * _GAP
            self._bar_width = self._fit_bar(self._console.width - used)

    def write(self, prediction: Prediction) -> None:
        """Print an image: one row, or after face detection its path and one row for each face."""
        path = Text(self._escape(prediction.path or ""), overflow="fold")
        if prediction.error is not None:
            self._print_remark(path, self._escape(prediction.error), "red")
        elif not prediction.faces:
            self._print_remark(path, "no face found", "dim")
        elif prediction.faces[0].box is None:
            self._print_face(path, prediction.faces[0], indent="")
        else:
            self._console.print(path, soft_wrap=True)
            for number, face in enumerate(prediction.faces):
                self._print_face(Text(_INDENT + _place(number, face), style="dim", overflow="fold"), face, _INDENT)

    def close(self) -> None:
        """Do nothing: the table has no footer."""

    def _fit_bar(self, room: int) -> int:
        return 0 if self._is_ascii else min(max(room, 0), _BAR_WIDTH)

    def _escape(self, text: str) -> str:
        """Return the text with all escapes, as the stream will show it, so that columns have the right width."""
        return to_printable(text).encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)

    def _headings(self) -> list[Text]:
        return [cell for task in self._tasks for cell in (Text(task.title, style="bold"), Text(""), Text(""))]

    def _print_remark(self, name: Text, remark: str, style: str, indent: str = "") -> None:
        """Print a path or the place of a face, and what there is to say instead of labels."""
        if self._is_wide:
            grid = Table.grid(padding=(0, _GAP, 0, 0))
            grid.add_column(width=self._path_width, overflow="fold")
            grid.add_column(overflow="fold")
            grid.add_row(name, Text(remark, style=style))
            self._console.print(grid)
            return
        self._console.print(name, soft_wrap=True)
        left = len(indent + _INDENT)
        self._console.print(Padding(Text(remark, style=style, overflow="fold"), (0, 0, 0, left), expand=False))

    def _print_face(self, name: Text, face: Face, indent: str) -> None:
        """Print a path or the place of a face, then the labels. `indent` is that of `name`."""
        if not face.outcomes:
            size = "" if face.box is None else f" ({face.box.width:.0f} px)"
            self._print_remark(name, f"too small{size}", "dim", indent)
        elif self._is_wide:
            self._print_cells([name, *(cell for task in self._tasks for cell in self._cells(face, task))])
        else:
            self._console.print(name, soft_wrap=True)
            self._print_lines(face, indent + _INDENT)

    def _print_cells(self, cells: Sequence[Text]) -> None:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=self._path_width, overflow="fold")
        for width in self._label_widths:
            grid.add_column(width=width)
            grid.add_column(width=_PERCENT_WIDTH, justify="right")
            grid.add_column(width=self._bar_width, no_wrap=True)
        grid.add_row(*cells)
        self._console.print(grid)

    def _print_lines(self, face: Face, indent: str) -> None:
        for task in self._tasks:
            label, percent, bar = self._cells(face, task)
            label.pad_right(max(self._label_widths) - label.cell_len)
            percent.pad_left(_PERCENT_WIDTH - percent.cell_len)
            title = Text(indent + task.title.ljust(self._title_width))
            cells = (title, label, percent, bar) if bar else (title, label, percent)
            self._console.print(Text(" " * _GAP).join(cells), soft_wrap=True)

    def _cells(self, face: Face, task: Task) -> tuple[Text, Text, Text]:
        outcome = face.outcomes[task.name]
        percent = f"{outcome.confidence:.1%}"
        dim = "dim" if outcome.label == UNCERTAIN else ""
        bar = _bar(float(percent.rstrip("%")) / 100, self._bar_width)
        return Text(outcome.label, style=dim), Text(percent, style=dim), Text(bar, style="cyan")


def _place(number: int, face: Face) -> str:
    """Return the number of a face, the left top corner of its region, and its width."""
    assert face.box is not None, "found by face detection"
    x, y, width = (round(value) for value in face.box[:3])
    return f"face {number} at {x}, {y}, {width} px"


def _bar(share: float, width: int) -> str:
    """Return a bar for a share of 0 to 1, exact to an eighth of a character. It is full only at 1."""
    full, eighths = divmod(int(share * 8 * width), 8)
    return "█" * full + (_EIGHTHS[eighths] if eighths else "")


def _label_width(task: Task) -> int:
    return max(len(text) for text in (*task.labels, UNCERTAIN, *task.title.split()))
