"""Functions that a training calls while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from democlass.train.trainer import Progress

OnStep = Callable[[Progress], object]
OnMessage = Callable[[str], object]


def ignore(_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Callbacks:
    """`on_step` is called after each step, `notify` with messages a user must see, `log` with progress messages."""

    on_step: OnStep = ignore
    notify: OnMessage = ignore
    log: OnMessage = ignore

    def warn(self, text: str) -> None:
        """Notify the user of a problem that does not end the training."""
        self.notify(f"warning: {text}")
