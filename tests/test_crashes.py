"""Crashes: a run is ended at each operation on disk, by a kill or a power cut. Resuming loses no rows."""

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
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if the system has one, because the test flushes thousands of files to disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def simulate_crashes(scenario: str, format_name: str, folder: Path) -> list[dict[str, object]]:
    tests = REPOSITORY / "tests"
    env = environment() | {"PYTHONPATH": f"{REPOSITORY / 'src'}:{tests}"}
    arguments: list[str | Path] = [sys.executable, tests / "crashes.py", scenario, format_name, folder]
    result = subprocess.run(arguments, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    crashes: list[dict[str, object]] = json.loads(result.stdout)
    return crashes


@pytest.mark.parametrize(
    ("scenario", "format_name"), [*((name, "csv") for name in SCENARIOS), ("add", "json"), ("retry", "jsonl")]
)
def test_resuming_after_a_crash_at_any_operation_gives_the_same_file_as_an_uninterrupted_run(
    scenario: str, format_name: str, fast_folder: Path
) -> None:
    crashes = simulate_crashes(scenario, format_name, fast_folder)
    assert [crash for crash in crashes if crash["problems"]] == []
    seen = {str(crash["event"]) for crash in crashes}
    for operation in ("open", "flock", "ftruncate", "write", "fsync", "fchmod", "replace", "unlink"):
        assert f"killed before {operation}" in seen
    assert {"killed within write", "power cut before fsync", "power cut before fsync, NUL bytes"} <= seen
    # Each renamed file is flushed just before, and its folder just after. The folders left by a kill cannot show that.
    killed_before = [str(crash["event"]) for crash in crashes if str(crash["event"]).startswith("killed before")]
    operations = [event.split()[-1] for event in killed_before]
    renames = [position for position, operation in enumerate(operations) if operation == "replace"]
    assert len(renames) == 3  # the record with `running`, OUT, the record with `finished`
    for position in renames:
        assert operations[position - 1] == "fsync" and "fsync" in operations[position + 1 : position + 3]
