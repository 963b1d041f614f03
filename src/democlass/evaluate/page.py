"""The page: all figures of an evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import Any

from democlass.evaluate import charts, tables

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .15rem .9rem .15rem 0; text-align: right }
td:first-child, th:first-child { text-align: left } th { border-bottom: 1px solid #999; font-weight: 600 }
figure { display: inline-block; margin: .5rem 1.5rem .5rem 0; vertical-align: top } figcaption { color: #666 }
svg { max-width: 100%; height: auto } .note { color: #666 } h2 { margin-top: 2.5rem; border-top: 1px solid #ddd }
</style></head><body>
"""
_CAVEAT = (
    "The labels are how annotators perceived faces, and accuracy is agreement with them; neither says anything of "
    "anyone's identity or ancestry. Intervals are Wilson's, 95 %."
)


def page(evaluation: dict[str, Any]) -> str:
    """Return the page of what `evaluation.evaluate` returns."""
    parts = [_HEAD, f"<h1>Evaluation on {escape(evaluation['labels'])}</h1>", f"<p class=note>{_CAVEAT}</p>"]
    parts.append(_table(["", "checkpoint", "SHA-256"], [
        [name, made["path"], made["sha256"][:16] + "…"] for name, made in evaluation["checkpoints"].items()
    ]) if evaluation["checkpoints"] else f"<p>Predictions: {escape(str(evaluation['predictions']))}</p>")  # fmt: skip
    for task in evaluation["tasks"].values():
        parts += _task(task)
    return "\n".join([*parts, "</body></html>\n"])


def _task(task: dict[str, Any]) -> list[str]:
    parts = [
        f"<h2>{escape(task['title'].capitalize())}</h2>",
        f"<p><b>{tables.accuracy(task)}</b>; {tables.means(task)}.</p>",
    ]
    if task["lacking"]:
        told = ", ".join(f"{count:,} {escape(reason)}" for reason, count in task["lacking"].items())
        parts.append(f"<p class=note>Not judged: {told}.</p>")
    parts += [
        _figure(charts.confusion(task), "Confusion: of each row's images, the share given each label"),
        _figure(charts.reliability(task), "Reliability, 15 equal bins"),
        _figure(charts.coverage(task), "Accuracy against coverage"),
    ]
    for grouping, group in task["groups"].items():
        parts += [
            f"<h3>By {escape(tables.spoken(grouping))}</h3>",
            f"<p>{escape(tables.spoken(tables.gap(group)))}.</p>",
            _figure(charts.groups({tables.spoken(name): cell for name, cell in group["cells"].items()}), ""),
            _table(["", *tables.CELL_HEADS], [[tables.spoken(name), *rest] for name, *rest in tables.cells(group)]),
        ]
    return parts


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
