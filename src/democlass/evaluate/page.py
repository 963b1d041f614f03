"""The page: all figures of an evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from democlass.evaluate import charts, tables
from democlass.names import to_printable

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #595959; --lines: #ddd; --grey: #8a8a8a;
  --blue: #3b6ea5; --orange: #b96a14; --cell: #3b6ea5 }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #e6e6e6; --soft: #a9adb3; --lines: #3a3e45;
  --grey: #7d8590; --blue: #5b93d1; --orange: #e0953f; --cell: #3d72ab } }
@media print { :root { color-scheme: light } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-top: 1px solid var(--lines); padding-top: 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .15rem .9rem .15rem 0; text-align: right; vertical-align: top }
th { border-bottom: 1px solid var(--grey); font-weight: 600 } td, th { white-space: nowrap }
td:first-child, th:first-child { text-align: left; white-space: normal }
dt { font-weight: 600 } dd { margin: 0 0 .4rem }
@media (min-width: 40rem) { dl { display: grid; grid-template-columns: max-content 1fr; column-gap: 1.5rem } }
figure { display: inline-block; margin: .5rem 1.5rem .5rem 0; vertical-align: top; max-width: 100% }
figcaption, .note { color: var(--soft) } svg { max-width: 100%; height: auto }
</style></head><body>
"""
_CAVEAT = (
    "The labels are how annotators perceived faces, and accuracy is agreement with them; neither says anything of "
    "anyone's identity or ancestry. Intervals are Wilson's, 95 %."
)


def page(evaluation: dict[str, Any]) -> str:
    """Return the page of what `evaluation.evaluate` returns. No text from outside becomes HTML."""
    parts = [_HEAD, f"<h1>Evaluation on {_text(evaluation['labels'])}</h1>"]
    parts += [f"<p>{' '.join(map(_text, tables.made_by(evaluation)))}</p>", f"<p class=note>{_CAVEAT}</p>"]
    if rows := tables.checkpoints(evaluation):
        parts.append(_terms((f"Checkpoint for {name}", f"{path}, SHA-256 {sha256}") for name, path, sha256 in rows))
    else:
        parts.append("<p>Checkpoints: not known, since no record says what made the predictions.</p>")
    parts.append(_list("Not used:", tables.left_out(evaluation)))
    for task in evaluation["tasks"].values():
        parts += _task(task)
    return "\n".join([*parts, "</body></html>\n"])


def _task(task: dict[str, Any]) -> list[str]:
    lacking = [f"{count:,} {reason}" for reason, count in task["lacking"].items()]
    parts = [
        f"<h2>{_text(task['title'].capitalize())}</h2>",
        f"<p><b>{tables.accuracy(task)}.</b></p>",
        _terms((f"{figure} {value}", meaning) for figure, value, meaning in tables.explained(task)),
        _list("Images not judged:", lacking),
        _figure(charts.confusion(task), "Confusion: of each row's images, the share given each label"),
        _figure(charts.reliability(task), "Reliability, 15 equal bins"),
        _figure(charts.coverage(task), "Accuracy against coverage"),
    ]
    for grouping, group in task["groups"].items():
        parts += [
            f"<h3>By {_text(tables.spoken(grouping))}</h3>",
            f"<p>{_text(tables.spoken(tables.gap(group)))}.</p>",
            _figure(charts.groups({tables.spoken(name): cell for name, cell in group["cells"].items()}), ""),
            _table(
                ["", *tables.CELL_HEADS],
                [[tables.spoken(name), *rest] for name, *rest in tables.cells(group)],
            ),
        ]
    return parts


def _text(text: str) -> str:
    """Return text as HTML that shows it on one line, whatever it holds."""
    return escape(to_printable(text))


def _list(heading: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f"<p class=note>{heading}</p><ul class=note>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _terms(terms: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{_text(term)}</dt><dd>{_text(said)}</dd>' for term, said in terms)}</dl>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{charts.themed(svg)}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{_text(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"
