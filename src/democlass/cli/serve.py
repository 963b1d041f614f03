"""`classify serve`: the classifier as an HTTP service."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.loading import load_classifier
from democlass.cli.options import NetworkOptions
from democlass.cli.service import ServeSettings, ServiceOptions
from democlass.errors import DemoclassError

if TYPE_CHECKING:
    from democlass.classifier import Classifier

app = typer.Typer(add_completion=False)


@app.command()
@expand
def serve(context: typer.Context, networks: NetworkOptions, settings: ServeSettings, options: ServiceOptions) -> int:
    """Start an HTTP service: POST /predict returns the perceived gender and perceived race of a face crop.

    POST /faces finds the faces in a whole photo and returns the same for each.

    Images are not stored; the log has only their size. For describing lawfully held collections. Not for decisions
    about one person, identification or surveillance.
    """
    options.check()
    batch_size = settings.settings().batch_size

    def load() -> Classifier:
        return load_classifier(context, networks, settings)

    log = _discard if settings.quiet else _log
    errors: list[BaseException] = []
    with options.listen() as listening:  # first, so that a port in use is reported before the networks are loaded
        server = options.create_server(load, listening, batch_size, log, errors.append)
        log(f"listening at {_url(listening)}")
        server.run()
    if errors:
        raise DemoclassError(f"the networks failed, so the service stopped: {errors[0]}")
    return 0


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log(line: str) -> None:
    console.write_line(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}")


def _discard(_: str) -> None:
    pass
