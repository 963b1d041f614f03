"""Suggests --faces for images that are not face crops."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from democlass.inputs.item import Item
from democlass.results import Prediction

if TYPE_CHECKING:
    from democlass.classifier import Classifier

Watch = Callable[[Prediction], object]


@contextmanager
def suggest_faces(
    classifier: Classifier, items: Iterable[Item], watch: Watch, warn: Callable[[str], object]
) -> Generator[tuple[Iterable[Item], Watch], None, None]:
    """Check the first items meanwhile, and call `warn` once if most are not face crops. Not with face detection.

    Gives the items to classify, and the function to call with each prediction, which calls `watch`.
    """
    from democlass.faces.crop_check import CropCheck
    from democlass.images.isolation import Isolated

    decode = classifier.reader.decode
    if classifier.settings.faces or not isinstance(decode, Isolated):
        yield items, watch
        return
    check = CropCheck(decode)

    def show(*, wait: bool = False) -> None:
        if (warning := check.warning(wait=wait)) is not None:
            warn(warning)

    def watch_and_show(prediction: Prediction) -> None:
        watch(prediction)
        show()

    try:
        yield check.watch(items), watch_and_show
        show(wait=True)
    finally:
        check.close()
