"""Builds the Classifier from command-line options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from democlass.cli import console
from democlass.cli.options import NetworkOptions, SettingsOptions
from democlass.tasks import TASKS

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.output.record import RunRecord


def load_classifier(
    context: typer.Context,
    networks: NetworkOptions,
    settings_options: SettingsOptions,
    *,
    image_count: int | None = None,
    previous: RunRecord | None = None,
) -> Classifier:
    """Load the networks, and start the decoding processes meanwhile.

    If `image_count` is given, it is the number of all images: they are one batch, unless a batch size was set.
    `previous` is the record of a run to resume: its number of threads and batch size are used again, because they
    affect the last digits of results. Raises CheckpointError, DeviceError and UsageError; options that need no
    torch are checked before it is imported.
    """
    from democlass.images.decoding import Decoding
    from democlass.images.isolation import Isolated
    from democlass.images.loader import default_workers

    locations = networks.locations(context)
    settings = settings_options.settings()
    workers = default_workers() if settings_options.workers is None else settings_options.workers
    if image_count is not None:
        workers = min(workers, image_count)
    decode = Isolated(Decoding.of(TASKS, settings), timeout=settings_options.decode_timeout)
    decode.start(max(1, workers))  # they start while torch is imported, which takes longer
    import torch

    from democlass.classifier import Classifier

    default_batch_size = image_count
    if previous is not None:
        torch.set_num_threads(previous.threads)
        default_batch_size = previous.options["batch_size"]
    if settings.batch_size is None:
        settings = replace(settings, batch_size=default_batch_size)
    return Classifier.build(
        locations, settings, labels=networks.labels(), workers=workers, decode=decode, warn=console.warn
    )
