"""The files that an evaluation is written to: JSON, an HTML page, and Markdown with a folder of charts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from democlass.errors import MissingExtraError, UsageError, WriteError
from democlass.evaluate.outputs import OutputFile, check_inputs_kept, check_outputs
from democlass.tasks import TASKS, Task


class Reports:
    """The output files of an evaluation. Nothing is written before `write` is called.

    Raises UsageError if a path is unsuitable, and MissingExtraError if a package for charts or pages is missing.
    """

    def __init__(
        self,
        *,
        out: Path | None = None,
        html: Path | None = None,
        markdown: Path | None = None,
        tasks: Sequence[Task] = TASKS,
    ) -> None:
        paths = {"json": ("--out", out), "html": ("--html", html), "markdown": ("--markdown", markdown)}
        self._outputs = {
            name: OutputFile.of(option, path) for name, (option, path) in paths.items() if path is not None
        }
        if html is not None or markdown is not None:
            _require_packages()
        if markdown is not None:
            self._outputs |= _chart_outputs(markdown, tasks)

    def check(self, inputs: Iterable[tuple[str, Path]], *, overwrite: bool) -> None:
        """Raise OutputError if a file can't be written, exists and may not be replaced, or is an input.

        Each input comes with a description.
        """
        outputs = list(self._outputs.values())
        check_inputs_kept(outputs, inputs)
        check_outputs(outputs, overwrite=overwrite)

    def check_images(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """Raise OutputError if writing would replace one of these images."""
        check_inputs_kept(list(self._outputs.values()), (("an image of the labels file", path) for path in paths))

    def write(self, evaluation: dict[str, Any]) -> None:
        """Write all files, also if one fails. Raises WriteError for the first that failed."""
        results = [_try_to_write(self._outputs[name], text) for name, text in self._render(evaluation).items()]
        if error := next(filter(None, results), None):
            raise error

    def _render(self, evaluation: dict[str, Any]) -> dict[str, str]:
        """Return the content of each file."""
        texts = {}
        if "json" in self._outputs:
            texts["json"] = to_json(evaluation)
        if "html" in self._outputs:
            from democlass.evaluate.page import render_page

            texts["html"] = render_page(evaluation)
        if "markdown" in self._outputs:
            from democlass.evaluate.markdown import render_markdown

            folder = _chart_folder(self._outputs["markdown"].path)
            texts["markdown"], charts = render_markdown(evaluation, folder.name)
            texts |= charts
        return texts


def to_json(evaluation: dict[str, Any]) -> str:
    """Return an evaluation as JSON."""
    return json.dumps(evaluation, indent=2) + "\n"


def _try_to_write(output: OutputFile, text: str) -> WriteError | None:
    try:
        output.write(text)
    except WriteError as error:
        return error
    return None


def _chart_outputs(markdown: Path, tasks: Sequence[Task]) -> dict[str, OutputFile]:
    """Return the charts beside a Markdown file, by file name."""
    if not markdown.suffix:
        raise UsageError(
            f"--markdown {markdown}: end the name in .md, because the name without it is the charts' folder"
        )
    from democlass.evaluate.markdown import CHARTS, chart_file_name

    names = [chart_file_name(task.name, chart) for task in tasks for chart in CHARTS]
    folder = _chart_folder(markdown)
    return {name: OutputFile.of("--markdown", folder / name, makes_folder=True) for name in names}


def _chart_folder(markdown: Path) -> Path:
    return markdown.with_suffix("")


def _require_packages() -> None:
    """Raise MissingExtraError before the run rather than after it."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("drawing charts", "evaluate") from None
