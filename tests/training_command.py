"""The command `classify` with tiny networks in the task table.

NETWORK=narrow selects narrow ResNets, and NETWORK=slow tiny networks that take a quarter of a second for a batch, so
that a run takes longer than a signal to it.

It imports torch only where `classify` does, so that usage errors are found as fast.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NoReturn

import democlass.tasks

if TYPE_CHECKING:
    from torch import nn


def make_network(outputs: int) -> nn.Module:
    if os.environ.get("NETWORK") == "narrow":
        from narrow_resnet import NarrowResNet

        return NarrowResNet(outputs)
    from conftest import TinyNetwork

    network = TinyNetwork(outputs)
    if os.environ.get("NETWORK") == "slow":
        network.register_forward_pre_hook(lambda *_: time.sleep(0.25))
    return network


def replace_networks() -> None:
    """Change the task table. This changes the tasks themselves, because other modules have copies of the table."""
    for task in democlass.tasks.TASKS:
        vars(task)["network"] = make_network


def main(*args: str) -> NoReturn:
    from democlass.cli import main

    main(args or None)


if __name__ == "__main__":
    replace_networks()
    main()
