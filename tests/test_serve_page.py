"""The web page of the service, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from democlass.tasks import TASKS
from serving import ServiceProcess, face_jpeg

if TYPE_CHECKING:
    from playwright.sync_api import Browser


pytestmark = pytest.mark.slow

IMAGE: Any = {"name": "face.jpg", "mimeType": "image/jpeg", "buffer": face_jpeg()}
TEXT: Any = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}
MIN_CONTRAST = 4.5
"""The contrast of text that WCAG 2.2 requires (1.4.3, level AA)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def test_the_page_shows_the_results_of_an_image(service: ServiceProcess, browser: Browser) -> None:
    urls: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: urls.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(service.url)
    assert "Use a tight crop of one face" in page.inner_text("#drop")
    page.set_input_files("#file", IMAGE)
    page.wait_for_selector("#result:not([hidden])")
    charts = page.locator("#charts section").all_inner_texts()
    page.set_input_files("#file", TEXT)
    page.wait_for_selector("#message.error")
    message = page.inner_text("#message")
    page.goto(f"{service.url}/docs")
    page.get_by_text("/predict/batch").first.wait_for()
    document = service.post(face_jpeg()).json()
    for chart, task in zip(charts, TASKS, strict=True):
        lines = chart.splitlines()
        assert lines[0].lower() == task.title
        for label in task.labels:
            percentage = f"{100 * document[f'{task.name}_probabilities'][label]:.1f} %"
            assert percentage in lines[lines.index(label.replace("_", " ")) + 1 :][:2]
    assert message.startswith("not an image")
    assert all(url.startswith((service.url, "blob:", "data:")) for url in urls)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_legible_in_both_color_schemes(service: ServiceProcess, browser: Browser, scheme: Any) -> None:
    page = browser.new_context(color_scheme=scheme).new_page()
    page.goto(service.url)
    page.set_input_files("#file", TEXT)
    page.wait_for_selector("#message.error")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (_luminance(background) < 0.5) == (scheme == "dark")
    for selector in ("#message.error", "#drop", "#drop small", "h1", "p", "a"):
        color = page.evaluate("selector => getComputedStyle(document.querySelector(selector)).color", selector)
        assert _contrast(color, background) >= MIN_CONTRAST, selector


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    """Return the relative luminance of `rgb(R, G, B)`, as WCAG 2.2 defines it."""
    channels = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
