"""democlass: how is a collection of images composed, by perceived gender and perceived race?

The public surface is what `__all__` lists; it is loaded when first used, so that importing the package is quick.
"""

# No module is imported here, not even __future__: the command first sets the search path right, in
# `cli/search_path.py`, and a decoding worker does as well.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from democlass.classifier import Classifier as Classifier
    from democlass.errors import CancelledError as CancelledError
    from democlass.errors import CheckpointError as CheckpointError
    from democlass.errors import DemoclassError as DemoclassError
    from democlass.errors import DeviceError as DeviceError
    from democlass.errors import ImageError as ImageError
    from democlass.errors import MissingExtraError as MissingExtraError
    from democlass.errors import OutputError as OutputError
    from democlass.errors import UsageError as UsageError
    from democlass.errors import WriteError as WriteError
    from democlass.flat import to_frame as to_frame
    from democlass.results import Face as Face
    from democlass.results import Outcome as Outcome
    from democlass.results import Prediction as Prediction

__version__ = "0.2.0"

_HOMES = {
    "CancelledError": "errors",
    "CheckpointError": "errors",
    "Classifier": "classifier",
    "DemoclassError": "errors",
    "DeviceError": "errors",
    "Face": "results",
    "ImageError": "errors",
    "MissingExtraError": "errors",
    "Outcome": "results",
    "OutputError": "errors",
    "Prediction": "results",
    "UsageError": "errors",
    "WriteError": "errors",
    "to_frame": "flat",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'democlass' has no attribute {name!r}")
    return getattr(import_module(f"democlass.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
