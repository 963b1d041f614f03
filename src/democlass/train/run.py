"""A training from beginning to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from democlass.networks.networks import pick_device
from democlass.train.order import Order as Order
from democlass.train.reader import Reader
from democlass.train.session import Session
from democlass.train.together import group
from democlass.train.trainer import Progress

Watch = Callable[[Progress], object]
Say = Callable[[str], object]


def _ignore(_: object) -> None:
    pass


def train(order: Order, watch: Watch = _ignore, say: Say = _ignore, note: Say = _ignore) -> dict[str, Any]:
    """Do an order; return the figures on the choose data that the checkpoint's card holds.

    `say` gets what a person must know, `note` what is being done, `watch` every step; of several processes only the
    first calls them, and has figures to return. Whatever ends this between two steps, the state is saved first.
    Raises UsageError, OutputError, CheckpointError, WriteError, DemoclassError.
    """
    order.check()
    session: Session | None = None
    try:
        with group(pick_device(order.device)) as (share, device), Reader(order.task.geometry, share) as read:
            session = Session(order, share, device, read)
            if share.rank == 0:
                session.say, session.note, session.watch = say, note, watch
            return _train(session)
    except BaseException as error:
        if session is None and not isinstance(error, Exception):
            say(order.places.unsaved(resume=order.resume))
        raise


def _train(session: Session) -> dict[str, Any]:
    try:
        session.prepare()
        session.run()
        return session.finish()
    except BaseException as error:
        session.rescue(error)
        raise
