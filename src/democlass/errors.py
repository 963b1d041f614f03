"""Everything that democlass raises on purpose.

DemoclassError              the run can't go on; its text is one line that says what to do
├── UsageError              what was asked for can't be right
│   ├── DeviceError         the device is not there
│   ├── OutputError         the output can't be written, or resumed, as asked
│   └── MissingExtraError   an optional package is needed
├── CheckpointError         a file of weights can't be used
├── WriteError              the disk does not take what is written
├── CancelledError          decoding was cancelled, or its classifier closed
└── ImageError              one image can't be read: it becomes a row and never ends a run
"""

from __future__ import annotations

from typing import ClassVar


class DemoclassError(Exception):
    """The run can't go on. The text is one line for a person and says what to do."""

    exit_code: ClassVar[int] = 1


class UsageError(DemoclassError):
    """What was asked for can't be right: an option, a source, a combination.

    An argument of `Classifier.load` that has a wrong type or value raises it too, so that one `except` catches all.
    """

    exit_code = 2


class OutputError(UsageError):
    """The output can't be written, or resumed, as asked."""


class MissingExtraError(UsageError):
    """An optional package is needed; the text is the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs one more package: pip install 'democlass[{extra}]'")


class CheckpointError(DemoclassError):
    """A file of weights is missing, is none, or does not fit its network."""


class DeviceError(UsageError):
    """The device asked for is not there."""


class WriteError(DemoclassError):
    """The disk, or whatever the output goes to, does not take what is written."""


class CancelledError(DemoclassError):
    """Decoding was cancelled before it ended, or its classifier was closed: this says nothing about the image."""


class ImageError(DemoclassError):
    """One image can't be read.

    `reason` is the short cause that runs are tallied by; the whole text is "reason: advice", so that the
    reason can be read off a row again.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
