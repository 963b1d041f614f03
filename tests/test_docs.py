"""The documentation agrees with the commands, its links resolve, and the site builds without other hosts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import democlass
from badges import FOLDER, render_badges
from commands import is_flag, list_options, load_commands
from conftest import REPOSITORY
from democlass.cli.routing import DEFAULT
from options import PAGE, render_page

README = REPOSITORY / "README.md"
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("*/README.md")])
HISTORY = ("CHANGELOG.md", "MODEL_CARD.md")
"""Pages with commands as they were run at the time."""

COMMANDS = load_commands()
DEFAULT_TITLE = f"classify {DEFAULT}"
HELP = {"--help", "-h"}
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(classify [^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def anchors_of(page: Path) -> set[str]:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def commands_in(page: Path) -> Iterator[list[str]]:
    """Yield the words of every `classify` command of a page, in code blocks and in the text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    # A table writes | as \|. An apostrophe in a comment is not a quote.
    for line in [*lines, *INLINE.findall(FENCED.sub("", text).replace("\\|", "|"))]:
        if re.search(r"(^|\s)classify\s", line) and not line.startswith("{"):
            splitter = shlex.shlex(line.partition(" # ")[0], posix=True, punctuation_chars="|<>;&")
            splitter.whitespace_split = True
            words = list(splitter)
            if "classify" in words:
                yield words[words.index("classify") + 1 :]


def options_of(words: list[str]) -> set[str]:
    """Return the options of the command that a command line runs, by the first word that is not an option."""
    title = f"classify {words[0]}" if words else ""
    titles = [title] if title in COMMANDS else ["classify", DEFAULT_TITLE]
    options = [option for each in titles for option in list_options(COMMANDS[each])]
    return HELP | {name for option in options for name in (*option.opts, *option.secondary_opts)}


def test_the_readme_has_fewer_than_150_lines() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if not link.startswith(("http://", "https://", "mailto:")):
            target, _, anchor = link.partition("#")
            file = page.parent / target if target else page
            assert file.exists(), link
            assert not anchor or anchor in anchors_of(file), link


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=name_of)
def test_every_documented_command_has_existing_options(page: Path) -> None:
    for words in commands_in(page):
        for word in words:
            if word in ("|", "--", ">", "&&", ";"):
                break
            if re.match(r"--?[a-z]", word):
                assert word.partition("=")[0] in options_of(words), f"classify {' '.join(words)}: {word}"


def test_the_readme_shows_each_command() -> None:
    shown = {words[0] for words in commands_in(README) if words}
    assert {title.partition(" ")[2] for title in COMMANDS} - {"", DEFAULT} <= shown


def test_the_page_of_options_is_up_to_date() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert render_page(current) == current, "run `make options`"


@pytest.mark.parametrize("title", COMMANDS)
def test_every_option_has_a_help_line(title: str) -> None:
    for option in list_options(COMMANDS[title]):
        assert option.help, option.opts
        assert is_flag(option) or option.help.endswith(".")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130, 141, 143])
def test_every_exit_code_is_documented(code: int) -> None:
    assert re.search(rf"^\| {code} \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.search(
        rf"\b{code} \w", README.read_text(encoding="utf-8").partition("Exit codes:")[2].partition("\n\n")[0]
    )


def test_the_version_is_the_same_everywhere() -> None:
    assert re.search(rf"^version: {democlass.__version__}$", (REPOSITORY / "CITATION.cff").read_text(), re.MULTILINE)
    assert re.search(rf"^## {democlass.__version__}\b", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert 'dynamic = ["version"]' in (REPOSITORY / "pyproject.toml").read_text()


def test_the_badges_are_up_to_date() -> None:
    for file_name, badge in render_badges().items():
        assert (FOLDER / file_name).read_text() == badge, "run `make badges`"


def test_the_picture_of_the_terminal_loads_nothing() -> None:
    picture = (REPOSITORY / "docs" / "terminal.svg").read_text(encoding="utf-8")
    assert not re.search(r"(href|src)=|url\((?!#)|@import|@font-face|<script", picture)


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(words, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"?(https?://[^\s\">]+)", page.read_text())
        assert loaded == [], page


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=name_of)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    files = [f"/{file.relative_to(REPOSITORY)}" for file in REPOSITORY.rglob("*.py") if ".venv" not in file.parts]
    for name in re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8")):
        assert any(file.endswith(f"/{name}") for file in files), name
