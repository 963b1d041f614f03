"""MkDocs hooks: files outside docs/ become pages of the site, and links are adapted.

Links in every Markdown file are relative to that file, so that they work in the repository too.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "MODEL_CARD.md": "model-card.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "weights/README.md": "weights.md",
}
"""Page of the site by file of the repository."""

TEXT_FILES = {name: f"files/{name}.txt" for name in ("LICENSE", "Dockerfile", "compose.yaml", "pyproject.toml")}
"""Files that pages link to and that the site serves as plain text."""

LINK = re.compile(r"(\]\()([^)\s#:]+)([#)])")


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside docs/ to the site."""
    for source, target in {**PAGES, **TEXT_FILES}.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        added = File.generated(config, target, content=_adapt_links(content, source) if source in PAGES else content)
        added.edit_uri = None
        files.append(added)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page of docs/ with its links to files outside docs/ adapted."""
    generated = page.file.src_uri in PAGES.values()
    return markdown if generated else _adapt_links(markdown, f"docs/{page.file.src_uri}")


def _adapt_links(markdown: str, source: str) -> str:
    """Return the Markdown with links relative to the repository file turned into links between pages of the site."""
    here = posixpath.dirname(PAGES.get(source, source.removeprefix("docs/")))

    def adapt(link: re.Match[str]) -> str:
        in_repository = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        target = {**PAGES, **TEXT_FILES}.get(in_repository, in_repository.removeprefix("docs/"))
        return link[1] + os.path.relpath(target, here or ".") + link[3]

    return LINK.sub(adapt, markdown)
