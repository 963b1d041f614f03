"""The page of a report: one file that loads nothing, with text from files as text, readable without the pictures."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from conftest import TextRun
from democlass.report.grouping import Grouping
from democlass.report.page import render_page
from democlass.report.report import Report, make_report
from democlass.results import Prediction
from test_report import PHOTOS, outcomes, write


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page_of(report: Report) -> str:
    return render_page(report, date="2026-01-01", command="classify report r.csv")


@pytest.fixture
def page(tmp_path: Path) -> str:
    file = write(tmp_path / "r.csv", PHOTOS)
    return page_of(make_report([file], grouping=Grouping(["folder:1"]), target="uniform"))


def test_the_headline_has_the_best_shares_with_their_intervals(page: str) -> None:
    text = " ".join(Elements(page).text.split())
    assert re.search(r"Of 4 classified faces, by perceived gender: \d+% \w+ \([\d.]+% to [\d.]+%\) and", text)
    assert "Believe the corrected shares" in text and "6 images, 4 classified faces, 1 without a face" in text


def test_it_says_what_the_numbers_are_not_and_how_they_were_made(page: str) -> None:
    text = " ".join(Elements(page).text.split())
    assert "They say nothing about the identity, ancestry or ability of anyone" in text and "Art. 5(1)(g)" in text
    assert "2026-01-01, democlass" in text and "classify report r.csv" in text
    assert f"SHA-256 {'0' * 64}; confusion matrix measured on val.csv" in text


def test_it_loads_nothing(page: str) -> None:
    elements = Elements(page)
    assert not {tag for tag, _ in elements.found} & {"script", "link", "img", "iframe", "object", "a", "form"}
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bhref=", page)


def test_pictures_have_texts_and_tables_have_headings(page: str) -> None:
    elements = Elements(page)
    assert elements.named("html") == [{"lang": "en"}]
    pictures = elements.named("svg")
    assert len(pictures) == 3 + 2 * 2
    assert all(each["role"] == "img" and "Female" in str(each["aria-label"]) for each in pictures[:1])
    assert all(each.get("scope") in ("col", "row") for each in elements.named("th"))
    assert len(elements.named("caption")) == len(elements.named("table")) == 2 * len(pictures)


def test_bars_and_intervals_lie_in_the_picture(page: str) -> None:
    elements = Elements(page)
    for tag, attributes in elements.found:
        if tag == "rect":
            assert 0 <= float(str(attributes["width"])) <= 640 - float(str(attributes["x"]))
        if tag == "circle":
            assert 0 < float(str(attributes["cx"])) < 640


def test_names_stay_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    crops = [Prediction.of_image(f"{name}\x1b[31m/a.jpg", outcomes("Male", "White"))]
    (tmp_path / "<b>.csv").touch()
    file = write(tmp_path / "<b>.csv", crops, faces=False)
    page = render_page(
        make_report([file], grouping=Grouping(["folder:1"])), date="2026-01-01", command=f"classify report '{name}'"
    )
    assert "<script" not in page and "<b>" not in page and "\x1b" not in page
    assert "<script>" in Elements(page).text


def test_a_collection_without_faces_has_a_page(tmp_path: Path) -> None:
    page = page_of(make_report([write(tmp_path / "r.csv", [Prediction("a.jpg")])]))
    assert "No face of the collection has a label." in page and "<svg" not in page


def test_the_command_writes_the_page_and_replaces_nothing_unasked(tmp_path: Path, run_report: TextRun) -> None:
    file = write(tmp_path / "r.csv", PHOTOS)
    done = run_report(file, "--html", tmp_path / "r.html")
    assert done.returncode == 0 and (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert run_report(file, "--html", tmp_path / "r.html").returncode == 2
    twice = run_report(file, "--html", tmp_path / "x", "--json", tmp_path / "x")
    assert twice.returncode == 2 and "two outputs" in twice.stderr
