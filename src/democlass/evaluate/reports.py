"""The files that an evaluation is written to: figures as JSON, a page, Markdown with its pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from democlass.errors import MissingExtraError, UsageError, WriteError
from democlass.evaluate.outputs import Place, check, refuse_inputs
from democlass.tasks import TASKS, Task


class Reports:
    """The files asked for. Raises UsageError where one can't be what is asked; nothing is written before `write`."""

    def __init__(
        self,
        *,
        out: Path | None = None,
        html: Path | None = None,
        markdown: Path | None = None,
        tasks: Sequence[Task] = TASKS,
    ) -> None:
        asked = {"json": ("--out", out), "html": ("--html", html), "markdown": ("--markdown", markdown)}
        self._places = {part: Place.of(option, path) for part, (option, path) in asked.items() if path is not None}
        if html is not None or markdown is not None:
            _require_charts()
        if markdown is not None:
            if not markdown.suffix:
                raise UsageError(
                    f"--markdown {markdown}: its name must end in .md; without it, it names the pictures' folder"
                )
            from democlass.evaluate.markdown import KINDS, picture_name

            for name in (picture_name(task.name, kind) for task in tasks for kind in KINDS):
                place = Place.of("--markdown", markdown.with_suffix("") / name, in_own_folder=True)
                self._places[name] = place

    def check(self, inputs: Iterable[tuple[str, Path]], *, overwrite: bool) -> None:
        """Raise OutputError where a file can't be written, may not be replaced, or is one of the inputs.

        Each input comes with what it is.
        """
        refuse_inputs(list(self._places.values()), inputs)
        check(list(self._places.values()), overwrite=overwrite)

    def refuse_images(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """Raise OutputError where a file is one of these images."""
        refuse_inputs(list(self._places.values()), (("an image of the labels file", path) for path in paths))

    def write(self, evaluation: dict[str, Any]) -> None:
        """Write every file; where one can't be written, the others are. Raises WriteError for the first of those."""
        texts = self._texts(evaluation)
        failures = [failure for part, text in texts.items() if (failure := _failure(self._places[part], text))]
        if failures:
            raise failures[0]

    def _texts(self, evaluation: dict[str, Any]) -> dict[str, str]:
        texts = {}
        if "json" in self._places:
            texts["json"] = json.dumps(evaluation, indent=2) + "\n"
        if "html" in self._places:
            from democlass.evaluate.page import page

            texts["html"] = page(evaluation)
        if "markdown" in self._places:
            from democlass.evaluate.markdown import render

            texts["markdown"], pictures = render(evaluation, self._places["markdown"].path.with_suffix("").name)
            texts |= pictures
        return texts


def _failure(place: Place, text: str) -> WriteError | None:
    try:
        place.write(text)
    except WriteError as error:
        return error
    return None


def _require_charts() -> None:
    try:
        import matplotlib  # noqa: F401 (asked for now, so that it is not missing after the run)
    except ImportError:
        raise MissingExtraError("drawing charts", "evaluate") from None
