"""The command `classify` with tiny networks in the task table; NETWORK=narrow selects narrow ResNets.

It imports torch only where `classify` does, so that usage errors are found as fast.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import democlass.tasks

if TYPE_CHECKING:
    from torch import nn


def make_network(outputs: int) -> nn.Module:
    if os.environ.get("NETWORK") == "narrow":
        from narrow_resnet import NarrowResNet

        return NarrowResNet(outputs)
    from conftest import TinyNetwork

    return TinyNetwork(outputs)


def replace_networks() -> None:
    """Change the task table. Call this before anything is imported that copies the table."""
    democlass.tasks.TASKS = tuple(replace(task, network=make_network) for task in democlass.tasks.TASKS)


def main(*args: str) -> NoReturn:
    from democlass.cli import main

    main(args or None)


if __name__ == "__main__":
    replace_networks()
    main()
