"""The table for a terminal, printed row by row so that memory stays flat however many there are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from democlass.names import visible
from democlass.results import Outcome, Prediction
from democlass.tasks import UNCERTAIN, Task
from democlass.writers import Shape

_BAR_WIDTH = 8
_PERCENT_WIDTH = len("100.0%")
_GAP = 2
_GOOD_PATH_WIDTH = 26  # before bars get any room
_LEAST_PATH_WIDTH = 12


class TableWriter:
    """Writes predictions as a table to the standard output's console: path, then label, confidence, bar a task."""

    def __init__(self, shape: Shape) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._tasks = shape.tasks
        self._label_widths = [_label_width(task) for task in shape.tasks]
        fixed = sum(width + _PERCENT_WIDTH + 3 * _GAP for width in self._label_widths)
        spare = (self._console.width - fixed - _GOOD_PATH_WIDTH) // len(shape.tasks)
        self._bar_width = min(max(spare, 0), _BAR_WIDTH)
        taken = fixed + self._bar_width * len(shape.tasks)
        self._path_width = max(_LEAST_PATH_WIDTH, self._console.width - taken)
        self._row([Text("path", style="bold"), *self._headings()])
        self._console.print(Rule(style="dim", characters="─"), width=self._path_width + taken)

    def write(self, prediction: Prediction) -> None:
        """Print one row."""
        path = Text(visible(prediction.path or ""), overflow="fold")
        if prediction.error is not None:
            self._print_error(path, prediction.error)
            return
        cells: list[RenderableType] = [path]
        for task in self._tasks:
            cells += self._cells(prediction.outcomes[task.name])
        self._row(cells)

    def close(self) -> None:
        """Do nothing: every row stands alone."""

    def _headings(self) -> list[RenderableType]:
        return [cell for task in self._tasks for cell in (Text(task.title, style="bold"), Text(""), Text(""))]

    def _row(self, cells: Sequence[RenderableType]) -> None:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=self._path_width, overflow="fold")
        for width in self._label_widths:
            grid.add_column(width=width)
            grid.add_column(width=_PERCENT_WIDTH, justify="right")
            grid.add_column(width=self._bar_width)
        grid.add_row(*cells)
        self._console.print(grid)

    def _print_error(self, path: Text, error: str) -> None:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=self._path_width, overflow="fold")
        grid.add_column(overflow="fold")
        grid.add_row(path, Text(visible(error), style="red"))
        self._console.print(grid)

    def _cells(self, outcome: Outcome) -> list[RenderableType]:
        confidence = outcome.confidence
        dim = "dim" if outcome.label == UNCERTAIN else ""
        return [
            Text(outcome.label, style=dim),
            Text(f"{confidence:.1%}", style=dim),
            Bar(1.0, 0.0, confidence, width=self._bar_width, color="cyan"),
        ]


def _label_width(task: Task) -> int:
    return max(len(text) for text in (*task.labels, UNCERTAIN, *task.title.split()))
