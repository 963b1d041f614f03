"""The Dockerfile and compose.yaml, as far as they can be checked without a container engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import REPOSITORY
from democlass.tasks import TASKS

pytestmark = pytest.mark.slow

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
API, BATCH = COMPOSE["services"]["api"], COMPOSE["services"]["batch"]


def test_the_linter_accepts_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    assert subprocess.run([hadolint, REPOSITORY / "Dockerfile"], capture_output=True, text=True).stdout == ""


def test_the_process_does_not_run_as_root() -> None:
    final_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!0|root)", final_stage, re.MULTILINE)


def test_copied_files_exist_and_are_not_ignored() -> None:
    included = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {name for words in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.M) for name in words.split()[:-1]}
    assert copied == included
    assert all((REPOSITORY / name).exists() for name in copied)


def test_both_files_have_the_same_health_check() -> None:
    check = API["healthcheck"]
    assert (check["interval"], check["timeout"], check["retries"]) == ("30s", "10s", 3)
    assert "--interval=30s --timeout=10s --start-period=60s --retries=3" in DOCKERFILE
    assert check["test"][-1] in DOCKERFILE and "/health" in check["test"][-1]


def test_the_service_listens_at_the_published_port() -> None:
    assert [port.rpartition(":")[0] for port in API["ports"]] == ["127.0.0.1:8000"]
    assert 'CMD ["serve", "--host", "0.0.0.0"]' in DOCKERFILE and "EXPOSE 8000" in DOCKERFILE


def test_the_face_detector_stays_in_the_package() -> None:
    """It is read from there; only the checkpoints of the tasks can be mounted."""
    moved = re.findall(r"&& mv \S+/democlass/weights/(\S+) /weights/", DOCKERFILE)
    assert moved == [task.checkpoint for task in TASKS]


@pytest.mark.parametrize("service", [API, BATCH])
def test_checkpoints_can_be_mounted_read_only(service: dict[str, Any]) -> None:
    mounted = [volume for volume in service["volumes"] if volume.endswith(":ro") and ":/weights/" in volume]
    assert [volume.split(":/weights/")[1] for volume in mounted] == [f"{task.checkpoint}:ro" for task in TASKS]
    assert "DEMOCLASS_WEIGHTS=/weights" in DOCKERFILE


def test_the_batch_resumes() -> None:
    assert BATCH["command"] == ["batch", "/photos", "--out", "/results/results.csv", "--resume"]
