"""The page for people: one file, from this service alone, that may run its own script and no other."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

from fastapi.responses import HTMLResponse


def home() -> HTMLResponse:
    """Return the page on which a person drops a picture."""
    text, policy = _page()
    return HTMLResponse(text, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})


@lru_cache(maxsize=1)
def _page() -> tuple[str, str]:
    text = files("democlass.serve").joinpath("page.html").read_text("utf-8")
    allowed = {part: _digest(text, part) for part in ("script", "style")}
    policy = "; ".join(
        (
            "default-src 'none'; connect-src 'self'; img-src blob: data:; base-uri 'none'; form-action 'none'",
            "frame-ancestors 'none'",
            *(f"{part}-src '{digest}'" for part, digest in allowed.items()),
        )
    )
    return text, policy


def _digest(text: str, part: str) -> str:
    content = re.search(rf"<{part}>(.*?)</{part}>", text, re.DOTALL)
    assert content is not None
    return "sha256-" + base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
