"""The web page of the service: one file whose Content-Security-Policy allows only its own script and style."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

from fastapi.responses import HTMLResponse


def home_page() -> HTMLResponse:
    """Return the page on which a person can try one picture."""
    html, policy = _load_page()
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})


@lru_cache(maxsize=1)
def _load_page() -> tuple[str, str]:
    html = files("democlass.serve").joinpath("page.html").read_text("utf-8")
    policy = "; ".join(
        (
            "default-src 'none'; connect-src 'self'; img-src blob: data:; base-uri 'none'; form-action 'none'",
            "frame-ancestors 'none'",
            *(f"{element}-src '{_hash_element(html, element)}'" for element in ("script", "style")),
        )
    )
    return html, policy


def _hash_element(html: str, element: str) -> str:
    """Return the hash of an inline script or style, as Content Security Policy Level 3 (section 2.3.1) defines it."""
    match = re.search(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    assert match is not None
    return "sha256-" + base64.b64encode(hashlib.sha256(match[1].encode()).digest()).decode()
