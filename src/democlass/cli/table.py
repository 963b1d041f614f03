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
from democlass.results import Outcome, Prediction
from democlass.tasks import UNCERTAIN, Task

_BAR_WIDTH = 8
_PERCENT_WIDTH = len("100.0%")
_GAP = 2
_GOOD_PATH_WIDTH = 26  # bars get only the space left after it
_MIN_PATH_WIDTH = 20  # on narrower terminals each path gets its own line
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class TableWriter:
    """Writes predictions to standard output: the path, and for each task the label, the confidence and a bar.

    A wide terminal gets one line per image. A narrow terminal gets the path and, below it, one line per task, so that
    labels are never truncated. There are no bars if the stream can only show ASCII.
    """

    def __init__(self, options: WriterOptions) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        if self._console.is_dumb_terminal:  # Rich assumes a width of 80 for these
            self._console.size = shutil.get_terminal_size((80, 25))
        self._tasks = options.tasks
        self._label_widths = [_label_width(task) for task in options.tasks]
        self._is_ascii = self._console.options.ascii_only
        fixed = sum(width + _PERCENT_WIDTH + 3 * _GAP for width in self._label_widths)
        self._is_wide = self._console.width >= fixed + _MIN_PATH_WIDTH
        if self._is_wide:
            self._bar_width = self._fit_bar((self._console.width - fixed - _GOOD_PATH_WIDTH) // len(options.tasks))
            self._path_width = self._console.width - fixed - self._bar_width * len(options.tasks)
            self._print_cells([Text("path", style="bold"), *self._headings()])
            self._console.print(Text(("-" if self._is_ascii else "─") * self._console.width, style="dim"))
        else:
            self._title_width = max(len(task.title) for task in options.tasks)
            used = self._title_width + max(self._label_widths) + _PERCENT_WIDTH + 4 * _GAP
            self._bar_width = self._fit_bar(self._console.width - used)

    def write(self, prediction: Prediction) -> None:
        """Print one row."""
        path = Text(self._escape(prediction.path or ""), overflow="fold")
        if self._is_wide:
            self._print_row(path, prediction)
        else:
            self._print_lines(path, prediction)

    def close(self) -> None:
        """Do nothing: the table has no footer."""

    def _fit_bar(self, room: int) -> int:
        return 0 if self._is_ascii else min(max(room, 0), _BAR_WIDTH)

    def _escape(self, text: str) -> str:
        """Return the text with all escapes, as the stream will show it, so that columns have the right width."""
        return to_printable(text).encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)

    def _headings(self) -> list[Text]:
        return [cell for task in self._tasks for cell in (Text(task.title, style="bold"), Text(""), Text(""))]

    def _print_row(self, path: Text, prediction: Prediction) -> None:
        if prediction.error is not None:
            grid = Table.grid(padding=(0, _GAP, 0, 0))
            grid.add_column(width=self._path_width, overflow="fold")
            grid.add_column(overflow="fold")
            grid.add_row(path, Text(self._escape(prediction.error), style="red"))
            self._console.print(grid)
            return
        self._print_cells([path, *(cell for task in self._tasks for cell in self._cells(prediction, task))])

    def _print_cells(self, cells: Sequence[Text]) -> None:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=self._path_width, overflow="fold")
        for width in self._label_widths:
            grid.add_column(width=width)
            grid.add_column(width=_PERCENT_WIDTH, justify="right")
            grid.add_column(width=self._bar_width, no_wrap=True)
        grid.add_row(*cells)
        self._console.print(grid)

    def _print_lines(self, path: Text, prediction: Prediction) -> None:
        indent, gap = " " * _GAP, " " * _GAP
        self._console.print(path, soft_wrap=True)
        if prediction.error is not None:
            reason = Text(self._escape(prediction.error), style="red", overflow="fold")
            self._console.print(Padding(reason, (0, 0, 0, _GAP), expand=False))
            return
        for task in self._tasks:
            label, percent, bar = self._cells(prediction, task)
            label.pad_right(max(self._label_widths) - label.cell_len)
            percent.pad_left(_PERCENT_WIDTH - percent.cell_len)
            title = Text(indent + task.title.ljust(self._title_width))
            self._console.print(Text(gap).join((title, label, percent, bar)), soft_wrap=True)

    def _cells(self, prediction: Prediction, task: Task) -> tuple[Text, Text, Text]:
        outcome: Outcome = prediction.outcomes[task.name]
        percent = f"{outcome.confidence:.1%}"
        dim = "dim" if outcome.label == UNCERTAIN else ""
        bar = _bar(float(percent.rstrip("%")) / 100, self._bar_width)
        return Text(outcome.label, style=dim), Text(percent, style=dim), Text(bar, style="cyan")


def _bar(share: float, width: int) -> str:
    """Return a bar for a share of 0 to 1, exact to an eighth of a character. It is full only at 1."""
    full, eighths = divmod(int(share * 8 * width), 8)
    return "█" * full + (_EIGHTHS[eighths] if eighths else "")


def _label_width(task: Task) -> int:
    return max(len(text) for text in (*task.labels, UNCERTAIN, *task.title.split()))
