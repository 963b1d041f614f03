"""Draw the badges of README.md: `python docs/scripts/badges.py`. They are local files, so a page loads nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from democlass import __version__

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "badges"
CHARACTER, PADDING, HEIGHT = 7, 8, 20
"""Width of a character, space beside a text and height of a badge, in pixels."""

TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{name}: {value}">
<title>{name}: {value}</title>
<rect width="{width}" height="{height}" rx="3" fill="#555"/>
<rect x="{split}" width="{rest}" height="{height}" rx="3" fill="#2f6f9f"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{name_x}" y="14">{name}</text><text x="{value_x}" y="14">{value}</text></g></svg>
"""


def render_badge(name: str, value: str) -> str:
    """Return an SVG: a name on grey, a value on blue."""
    split, rest = (len(text) * CHARACTER + 2 * PADDING for text in (name, value))
    return TEMPLATE.format(
        name=name,
        value=value,
        width=split + rest,
        height=HEIGHT,
        split=split,
        rest=rest,
        name_x=split / 2,
        value_x=split + rest / 2,
    )


def render_badges() -> dict[str, str]:
    """Return the SVG of each badge by file name, with values from pyproject.toml and the package."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    values = {
        "version": __version__,
        "python": project["requires-python"].removeprefix(">=") + "+",
        "licence": "Apache-2.0",
    }
    return {f"{name}.svg": render_badge(name, value) for name, value in values.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, badge in render_badges().items():
        (FOLDER / file_name).write_text(badge, encoding="utf-8")
