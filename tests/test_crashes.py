"""A run that ends at any operation on disk, by a kill or a power cut, is completed by resuming, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import REPOSITORY, environment
from crashes import SCENARIOS

pytestmark = pytest.mark.slow


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of files are forced to disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def ends_of(scenario: str, format_name: str, folder: Path) -> list[dict[str, object]]:
    tests = REPOSITORY / "tests"
    env = environment() | {"PYTHONPATH": f"{REPOSITORY / 'src'}:{tests}"}
    words: list[str | Path] = [sys.executable, tests / "crashes.py", scenario, format_name, folder]
    result = subprocess.run(words, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    ends: list[dict[str, object]] = json.loads(result.stdout)
    return ends


@pytest.mark.parametrize(
    ("scenario", "format_name"), [*((name, "csv") for name in SCENARIOS), ("add", "json"), ("retry", "jsonl")]
)
def test_whatever_operation_a_run_ends_at_resuming_gives_what_an_unbroken_run_gives(
    scenario: str, format_name: str, quick_folder: Path
) -> None:
    ends = ends_of(scenario, format_name, quick_folder)
    assert [end for end in ends if end["wrong"]] == []
    seen = {str(end["what"]) for end in ends}
    for operation in ("open", "flock", "ftruncate", "write", "fsync", "fchmod", "replace", "unlink"):
        assert f"killed before {operation}" in seen
    assert {"killed within write", "power cut before fsync", "power cut before fsync, NUL bytes"} <= seen
    # What is renamed was forced to disk just before, and the folder is just after: that can't be seen after a kill.
    order = [str(end["what"]).split()[-1] for end in ends if str(end["what"]).startswith("killed before")]
    renames = [place for place, operation in enumerate(order) if operation == "replace"]
    assert len(renames) == 3  # the record that says running, OUT, the record that says finished
    for place in renames:
        assert order[place - 1] == "fsync" and "fsync" in order[place + 1 : place + 3]
