"""The page of the service, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from democlass.tasks import TASKS
from serving import Serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser


TEXT: Any = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}
LEGIBLE = 4.5
"""The contrast that WCAG 2.2 (1.4.3, level AA) asks of text."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def image(tmp_path: Path, portrait: Image.Image) -> Path:
    path = tmp_path / "image.jpg"
    portrait.crop((60, 0, 360, 250)).save(path)
    return path


def test_the_page_shows_what_was_dropped(service: Serving, browser: Browser, image: Path) -> None:
    outside: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: outside.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(service.url)
    assert "Use a tight crop of one face" in page.inner_text("#drop")
    page.set_input_files("#file", image)
    page.wait_for_selector("#result:not([hidden])")
    charts = page.locator("#charts section").all_inner_texts()
    page.set_input_files("#file", TEXT)
    page.wait_for_selector("#said.wrong")
    said = page.inner_text("#said")
    page.goto(f"{service.url}/docs")
    page.get_by_text("/predict/batch").first.wait_for()
    shares = service.post(image).json()
    for chart, task in zip(charts, TASKS, strict=True):
        lines = chart.splitlines()
        assert lines[0].lower() == task.title
        for label in task.labels:
            share = f"{100 * shares[f'{task.name}_probabilities'][label]:.1f} %"
            assert share in lines[lines.index(label.replace("_", " ")) + 1 :][:2]
    assert said.startswith("not an image")
    assert all(url.startswith((service.url, "blob:", "data:")) for url in outside)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_legible_by_day_and_by_night(service: Serving, browser: Browser, scheme: Any) -> None:
    page = browser.new_context(color_scheme=scheme).new_page()
    page.goto(service.url)
    page.set_input_files("#file", TEXT)
    page.wait_for_selector("#said.wrong")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (_luminance(paper) < 0.5) == (scheme == "dark")
    for part in ("#said.wrong", "#drop", "#drop small", "h1", "p", "a"):
        ink = page.evaluate("part => getComputedStyle(document.querySelector(part)).color", part)
        assert _contrast(ink, paper) >= LEGIBLE, part


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(R, G, B)`, as WCAG 2.2 defines it."""
    shares = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
