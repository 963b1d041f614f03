"""The web page of the service, in a real browser."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from PIL import ExifTags, Image

from democlass.tasks import TASKS
from photos import background, group
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
    assert "The service finds the faces" in page.inner_text("#drop")
    page.set_input_files("#file", IMAGE)
    page.wait_for_selector("#result:not([hidden])")
    charts = page.locator("#charts section").all_inner_texts()
    page.set_input_files("#file", TEXT)
    page.wait_for_selector("#message.error")
    message = page.inner_text("#message")
    page.goto(f"{service.url}/docs")
    page.get_by_text("/predict/batch").first.wait_for()
    (document,) = service.request("POST", "/faces", files={"file": face_jpeg()}).json()["faces"]
    for chart, task in zip(charts, TASKS, strict=True):
        lines = chart.splitlines()
        assert lines[0].lower() == task.title
        for label in task.labels:
            percentage = f"{100 * document[f'{task.name}_probabilities'][label]:.1f} %"
            assert percentage in lines[lines.index(label.replace("_", " ")) + 1 :][:2]
    assert message.startswith("not an image")
    assert all(url.startswith((service.url, "blob:", "data:")) for url in urls)


def test_faces_are_chosen_with_the_keyboard(service: ServiceProcess, browser: Browser) -> None:
    stream = io.BytesIO()
    group([150, 40, 180], size=(640, 300)).save(stream, "JPEG", quality=95)
    page = browser.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(service.url)
    page.set_input_files("#file", {"name": "group.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()})
    page.wait_for_selector("#result:not([hidden])")
    assert page.inner_text("#message") == "3 faces were found. Choose one with the mouse or the arrow keys."
    page.focus("#file")
    titles = []
    for key in ("Tab", "Tab", "Tab", "Home", "End", "ArrowRight", "ArrowLeft", "Enter", "Space", "Shift+Tab"):
        page.keyboard.press(key)
        titles.append(int(page.inner_text("#charts h2 >> nth=0").removeprefix("Face ")))
        pressed = page.locator("#photo button").evaluate_all("all => all.map((each) => each.ariaPressed)")
        assert pressed == [str(number == titles[-1]).lower() for number in range(3)]
    assert titles == [0, 1, 2, 0, 2, 0, 2, 2, 2, 1]
    assert "too small to classify" in page.inner_text("#charts")
    page.keyboard.press("ArrowRight")
    assert page.locator("#charts section").count() == 2
    box, photo = page.locator("#photo button").nth(2).bounding_box(), page.locator("#photo img").bounding_box()
    assert box is not None and photo is not None
    centre = (box["x"] + box["width"] / 2 - photo["x"]) / photo["width"]
    assert centre == pytest.approx(5 / 6, abs=0.03)


@pytest.mark.parametrize(
    ("picture_format", "is_shown"),
    [("JPEG", True), ("WEBP", False), ("TIFF", False)],  # Chromium turns no WebP, and shows no TIFF
)
def test_boxes_are_where_the_faces_are_in_the_upright_picture(
    service: ServiceProcess, browser: Browser, picture_format: str, is_shown: bool
) -> None:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6
    upright = group([150, 180], size=(640, 300))
    upright.transpose(Image.Transpose.ROTATE_90).save(stream, picture_format, exif=exif, quality=95)
    page = browser.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(service.url)
    page.set_input_files("#file", {"name": "a", "mimeType": "image/jpeg", "buffer": stream.getvalue()})
    page.wait_for_selector("#result:not([hidden])")
    photo = page.locator("#photo").bounding_box()
    boxes = [button.bounding_box() for button in page.locator("#photo button").all()]
    assert photo is not None and len(boxes) == 2
    assert photo["width"] / photo["height"] == pytest.approx(640 / 300, abs=0.02)
    for box, place in zip(boxes, (1 / 4, 3 / 4), strict=True):
        assert box is not None
        assert (box["x"] + box["width"] / 2 - photo["x"]) / photo["width"] == pytest.approx(place, abs=0.03)
    assert page.locator("#preview").is_visible() == is_shown
    assert ("can't show the picture" in page.inner_text("#message")) != is_shown


def test_pictures_with_one_face_or_none_need_no_choice(service: ServiceProcess, browser: Browser) -> None:
    stream = io.BytesIO()
    background(640, 480).save(stream, "JPEG")
    page = browser.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(service.url)
    page.set_input_files("#file", IMAGE)
    page.get_by_text("1 face was found.").wait_for()
    assert page.locator("#photo button").count() == 1
    assert page.locator("#charts section").count() == 2
    page.set_input_files("#file", {"name": "none.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()})
    page.get_by_text("No face was found.").wait_for()
    assert page.locator("#preview").is_visible()
    assert page.locator("#photo button").count() == 0
    assert page.inner_text("#charts") == ""


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
