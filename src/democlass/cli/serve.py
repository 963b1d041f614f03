"""`classify serve`: the classifier as an HTTP service."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.expand import expand
from democlass.cli.options import NetworkOptions, SettingsOptions
from democlass.errors import DemoclassError, MissingExtraError, UsageError

if TYPE_CHECKING:
    import uvicorn

    from democlass.classifier import Classifier

app = typer.Typer(add_completion=False)
_LEAST_KEY = 16


def _option(env: str, **more: Any) -> Any:
    return typer.Option(envvar=f"DEMOCLASS_{env}", rich_help_panel="Service", **more)


@dataclass(frozen=True)
class ServiceOptions:
    """Who may ask, for how much."""

    host: Annotated[
        str, _option("HOST", help="Address to listen at. The default is this machine alone; 0.0.0.0 is everyone.")
    ] = "127.0.0.1"
    port: Annotated[int, _option("PORT", min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8000
    api_key: Annotated[
        str | None,
        _option("API_KEY", metavar="KEY",
                help="What requests that classify must carry as X-API-Key, or as Authorization: Bearer. Better in the "
                "environment: a command line can be read by all users. Default: none is needed."),
    ] = None  # fmt: skip
    max_upload: Annotated[
        int,
        _option("MAX_UPLOAD", metavar="BYTES", min=1,
                help="Most bytes that a request may bring, all its files together."),
    ] = 32 * 2**20  # fmt: skip
    queue: Annotated[
        int,
        _option("QUEUE", metavar="N", min=1,
                help="Most images taken on at once; whoever comes then is told to try again (503)."),
    ] = 64  # fmt: skip
    wait: Annotated[
        float,
        _option("WAIT", metavar="MS", min=0, max=1000,
                help="Milliseconds an image may wait for others to share its batch."),
    ] = 5.0  # fmt: skip

    def check(self) -> None:
        """Raise UsageError where a key is no key."""
        if self.api_key is not None and len(self.api_key) < _LEAST_KEY:
            raise UsageError(f"--api-key has {len(self.api_key)} characters: give it {_LEAST_KEY} or more")

    def listen(self) -> socket.socket:
        """Return a socket that listens. Raises UsageError where it can't be had."""
        try:
            family, *_, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            return socket.create_server(address, family=family)
        except OSError as error:
            raise UsageError(f"can't listen at --host {self.host} --port {self.port}: {error.strerror}") from None

    def server(
        self,
        load: Callable[[], Classifier],
        batch: int | None,
        log: Callable[[str], object],
        report: Callable[[BaseException], object],
    ) -> uvicorn.Server:
        """Return what serves a classifier, loaded, in batches of at most so many; it reports what ends it too early.

        Raises MissingExtraError.
        """
        try:
            import uvicorn

            from democlass.serve.app import create_app
        except ImportError:
            raise MissingExtraError("classify serve", "serve") from None
        from democlass.serve.gate import Limits
        from democlass.serve.service import Service

        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it has a word on every broken form
        service = Service(load(), most=self.queue, wait=self.wait / 1000, batch=batch)

        def fail(error: BaseException) -> None:
            report(error)
            server.should_exit = True

        asgi = create_app(service, Limits(self.max_upload, self.api_key), log, fail)
        server = uvicorn.Server(uvicorn.Config(asgi, log_config=None, access_log=False, server_header=False))
        return server


@app.command()
@expand
def serve(context: typer.Context, networks: NetworkOptions, settings: SettingsOptions, options: ServiceOptions) -> int:
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
    with options.listen() as listener:  # before what takes seconds: a port in use is told at once
        server = options.server(load, asked.batch_size, log, failures.append)
        log(f"listening at {_address(listener)}")
        server.run(sockets=[listener])
    if failures:
        raise DemoclassError(f"the networks can't answer, so the service ended: {failures[0]}")
    return 0


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log(line: str) -> None:
    console.complain(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}")


def _silence(_: str) -> None:
    pass
