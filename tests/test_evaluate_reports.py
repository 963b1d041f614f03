"""Reports of an evaluation: the HTML page, the Markdown file and the model card."""

from __future__ import annotations

import re
from typing import Any

import pytest

from conftest import REPOSITORY
from democlass import __version__
from democlass.evaluate import tables
from democlass.evaluate.markdown import CHARTS, render_markdown, render_task
from democlass.evaluate.metrics import share_with_interval
from democlass.evaluate.page import render_page
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.tasks import TASKS
from evaluating import HOSTILE, make_evaluation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"))


def test_groups_of_equal_accuracy_have_no_worst_group(evaluation: dict[str, Any]) -> None:
    single = {"cells": {"Male": share_with_interval(3, 4)}, "worst": "Male", "best": "Male", "gap": 0.0}
    assert tables.format_gap(single) == "Only one group: there is no gap" and tables.group_rows(single)[0][0] == "Male"
    equal = {**single, "cells": {"Female": share_with_interval(3, 4), "Male": share_with_interval(6, 8)}}
    assert "all groups have the same accuracy" in tables.format_gap(equal)
    assert "(worst)" not in str(tables.group_rows(equal))


def test_the_page_shows_its_origin_and_explains_metrics(evaluation: dict[str, Any]) -> None:
    text = render_page(evaluation)
    assert f"Evaluated on {evaluation['date'][:10]} with democlass {__version__}." in text
    for part in (
        "Expected calibration error",
        "Negative log-likelihood",
        "Brier score 0.320",
        "prefers-color-scheme",
    ):
        assert part in text
    assert set(re.findall(r"(?:fill|stroke|color): *(#\w+)", text.partition("</style>")[2])) == {"#fdfdfd"}  # on a cell
    assert "Checkpoints: unknown, because there is no run record of the predictions." in text
    assert "1 rows of the labels file: no label for race" in text and "1 unreadable (truncated)" in text


def test_the_page_loads_nothing_and_escapes_names(evaluation: dict[str, Any]) -> None:
    checkpoint: dict[str, Any] = {"path": HOSTILE, "sha256": HOSTILE, "temperature": 1.0}
    hostile: dict[str, Any] = dict.fromkeys(("labels", "predictions"), HOSTILE) | {
        key: {HOSTILE: 1} for key in ("lacking", "unused")
    }
    hostile |= {"checkpoints": {"gender": checkpoint}, "classified": dict.fromkeys(evaluation["classified"], HOSTILE)}
    text = render_page(evaluation | hostile)
    assert text.count("<svg") == 2 * 3 + 2 * 3
    assert "<b>&'" not in text and text.count("&lt;b&gt;") == 9 and "Female Black" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    text, _ = render_markdown(evaluation | hostile, HOSTILE)
    assert "<b>" not in text


def test_the_markdown_has_tables_and_charts(evaluation: dict[str, Any]) -> None:
    text, drawn = render_markdown(evaluation | {"labels": f"/home/me/{HOSTILE}"}, "my card")
    assert "| Female (worst) | 10 | 70.0% | 39.7% to 89.2% |" in text and "| Male | 1 | 9 |" in text
    linked = re.findall(r"!\[[^]]+\]\(my%20card/([a-z-]+\.svg)\)", text)
    assert linked == list(drawn) == [f"{task.name}-{chart}.svg" for task in TASKS for chart in CHARTS]
    assert all(svg.startswith("<svg") for svg in drawn.values())
    assert "<b>" not in text and "/home/me" not in text


def test_the_model_card_agrees_with_the_cards_of_the_built_in_checkpoints() -> None:
    text = (REPOSITORY / "MODEL_CARD.md").read_text()
    for task in TASKS:
        checkpoint = load(Location(REPOSITORY / "weights" / task.checkpoint, "built in"), task)
        assert render_task({"title": task.title, **checkpoint.card["evaluation"]}) in text
        assert f"| {checkpoint.temperature} |" in text
    linked = re.findall(r"!\[[^]]+\]\((docs/[^)]+)\)", text)
    assert len(linked) == 2 * 4 and all((REPOSITORY / chart).exists() for chart in linked)
