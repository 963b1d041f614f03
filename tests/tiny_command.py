"""Runs the real command with tiny networks and a third task: `python tiny_command.py serve …`.

Tiny networks load and classify quickly.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from democlass import tasks


def create_network(outputs: int) -> nn.Module:
    from conftest import TinyNetwork  # not earlier: conftest imports modules that copy the task table

    return TinyNetwork(outputs)


THIRD_TASK = tasks.Task(
    "age-group", "perceived age", ("Young", "Middle", "Old"), tasks.Geometry.SQUASH, create_network, "age.pth"
)


def use_tiny_networks() -> None:
    """Change the task table. Call this before importing other modules of the package."""
    tasks.TASKS = (*(replace(task, network=create_network) for task in tasks.TASKS), THIRD_TASK)


if __name__ == "__main__":
    use_tiny_networks()
    from democlass.cli import main

    main()
