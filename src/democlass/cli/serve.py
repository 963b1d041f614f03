"""`classify serve`: the classifier as an HTTP service."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.options import NetworkOptions
from democlass.cli.service import ServeSettings, ServiceOptions
from democlass.errors import DemoclassError

if TYPE_CHECKING:
    from democlass.classifier import Classifier

app = typer.Typer(add_completion=False)


@app.command()
@expand
def serve(context: typer.Context, networks: NetworkOptions, settings: ServeSettings, options: ServiceOptions) -> int:
    """Answer POST /predict with every probability of perceived gender and perceived race of an image.

    Nothing that is sent is stored, and nothing is logged of it but its size. For describing lawfully held
    collections; never for deciding anything about one person, for identification or surveillance.
    """
    options.check()
    locations, asked = networks.locations(context), settings.settings()

    def load() -> Classifier:
        from democlass.classifier import Classifier

        return Classifier.build(
            locations,
            asked,
            labels=networks.labels(),
            workers=settings.workers,
            decode_timeout=settings.decode_timeout,
            warn=console.warn,
        )

    log = _silence if settings.quiet else _log
    failures: list[BaseException] = []
    with options.listen() as listening:  # before what takes seconds: a port in use is told at once
        server = options.server(load, listening, asked.batch_size, log, failures.append)
        log(f"listening at {_address(listening)}")
        server.run()
    if failures:
        raise DemoclassError(f"the networks can't answer, so the service ended: {failures[0]}")
    return 0


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log(line: str) -> None:
    console.complain(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}")


def _silence(_: str) -> None:
    pass
