"""Writes an evaluation as one HTML file that loads nothing else. The layout is in page.html.j2."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from democlass.evaluate import charts, tables
from democlass.names import to_printable


def render_page(evaluation: dict[str, Any]) -> str:
    """Return the page for what `evaluation.evaluate` returns. Text from files never becomes HTML."""
    return _template().render(
        labels=evaluation["labels"],
        origin=" ".join(tables.describe_origin(evaluation)),
        checkpoints=tables.checkpoint_rows(evaluation),
        unused=tables.unused_lines(evaluation),
        faces=_face_values(evaluation["faces"]) if "faces" in evaluation else None,
        face_columns=tables.FACE_COLUMNS,
        tasks=[_task_values(task) for task in evaluation["tasks"].values()],
        group_columns=tables.GROUP_COLUMNS,
    )


def _face_values(faces: dict[str, Any]) -> dict[str, Any]:
    return {
        "missed": f"Faces {tables.format_missed(faces)}",
        "detection": tables.describe_detection(faces),
        "groups": [
            {
                "title": grouping["title"],
                "difference": tables.spell_out(tables.format_difference(grouping)),
                "rows": [[tables.spell_out(group), *values] for group, *values in tables.face_rows(grouping)],
            }
            for grouping in tables.face_groupings(faces)
        ],
    }


def _task_values(task: dict[str, Any]) -> dict[str, Any]:
    accuracy = tables.format_accuracy(task)
    return {
        "title": task["title"].capitalize(),
        "accuracy": accuracy[0].upper() + accuracy[1:],
        "metrics": tables.explain_metrics(task),
        "excluded": [f"{count:,} {reason}" for reason, count in task["lacking"].items()],
        "confusion": _markup(charts.draw_confusion(task)),
        "reliability": _markup(charts.draw_reliability(task)),
        "coverage": _markup(charts.draw_coverage(task)),
        "groups": list(_group_values(task)),
    }


def _group_values(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, grouping in task["groups"].items():
        cells = {tables.spell_out(group): cell for group, cell in grouping["cells"].items()}
        yield {
            "name": tables.spell_out(name),
            "gap": tables.spell_out(tables.format_gap(grouping)),
            "chart": _markup(charts.draw_groups(cells)),
            "rows": [[tables.spell_out(group), *values] for group, *values in tables.group_rows(grouping)],
        }


def _markup(svg: str) -> Markup:
    """Mark a chart as HTML. matplotlib has escaped the text in it."""
    return Markup(charts.use_css_variables(svg))  # noqa: S704


@lru_cache(maxsize=1)
def _template() -> Template:
    text = files("democlass.evaluate").joinpath("page.html.j2").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_show, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)


def _show(value: Any) -> Any:
    """Write out characters that would break a line or change the direction of text."""
    return to_printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
