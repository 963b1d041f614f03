"""The exceptions that democlass raises on purpose.

DemoclassError              the run can't continue; the message is one line that says what to do
├── UsageError              a wrong option, argument, path or combination of them
│   ├── DeviceError         the requested device is not available
│   ├── OutputError         the output can't be written or resumed
│   └── MissingExtraError   an optional package is not installed
├── CheckpointError         a checkpoint can't be used
├── WriteError              writing to the output failed
├── CancelledError          decoding was cancelled, or its classifier was closed
└── ImageError              one image can't be read; it becomes an error row and does not end the run
"""

from __future__ import annotations

from typing import ClassVar


class DemoclassError(Exception):
    """The run can't continue. The message is one line for the user and says what to do."""

    exit_code: ClassVar[int] = 1


class UsageError(DemoclassError):
    """An option, an argument, a path or a combination of them is wrong.

    `Classifier.load` also raises it for arguments of a wrong type or value, so that one `except` catches them all.
    """

    exit_code = 2


class OutputError(UsageError):
    """The output can't be written or resumed."""


class MissingExtraError(UsageError):
    """An optional package is not installed. The message has the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed: pip install 'democlass[{extra}]'")


class CheckpointError(DemoclassError):
    """A checkpoint is missing, is not a checkpoint, or does not fit its network."""


class DeviceError(UsageError):
    """The requested device is not available."""


class WriteError(DemoclassError):
    """Writing to the output failed, for example because the disk is full."""


class CancelledError(DemoclassError):
    """Decoding was cancelled, or its classifier was closed. The image itself may be fine."""


class ImageError(DemoclassError):
    """One image can't be read.

    `reason` is the short cause; runs count errors by it. The whole message is "reason: advice", so that the reason
    can be parsed from the error text of a row.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
