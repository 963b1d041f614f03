"""Run a training job from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from democlass.networks.networks import pick_device
from democlass.train.callbacks import Callbacks, OnMessage, OnStep, ignore
from democlass.train.image_reader import ImageReader
from democlass.train.job import TrainJob as TrainJob
from democlass.train.process_group import ProcessGroup, join_process_group
from democlass.train.session import Session


def train(
    job: TrainJob, on_step: OnStep = ignore, notify: OnMessage = ignore, log: OnMessage = ignore
) -> dict[str, Any]:
    """Run a job; return the validation metrics that the checkpoints' cards hold, by task.

    `on_step` is called after each step, `notify` with messages that a user must see, `log` with messages about the
    progress. Of several processes, only the first one calls them and returns metrics. If the training fails or is
    interrupted between two steps, the state is saved first. Raises UsageError, OutputError, CheckpointError,
    WriteError, DemoclassError.
    """
    job.check()
    callbacks = Callbacks(on_step, notify, log)
    session: Session | None = None
    try:
        with (
            join_process_group(pick_device(job.device)) as (group, device),
            _lock(job, group, callbacks),
            ImageReader(
                job.task.geometry, group, decode_timeout=job.decode_timeout, cache_bytes=job.cache_bytes
            ) as reader,
        ):
            session = Session(job, group, device, reader, callbacks if group.is_first else Callbacks())
            return _run(session)
    except BaseException as error:
        is_interruption = not isinstance(error, Exception)
        if session is None and is_interruption:
            notify(job.paths.interruption_message(resume=job.resume))
        raise


def _run(session: Session) -> dict[str, Any]:
    try:
        session.prepare()
        session.run()
        return session.finish()
    except BaseException as error:
        session.rescue(error)
        raise


@contextmanager
def _lock(job: TrainJob, group: ProcessGroup, callbacks: Callbacks) -> Iterator[None]:
    """Hold the lock of the checkpoint in the first process, which is the one that writes files."""
    if not group.is_first:
        yield
        return
    with job.paths.lock(callbacks.warn):
        yield
