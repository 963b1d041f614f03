"""The app: what is answered, at which path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from democlass import __version__
from democlass.serve.gate import Gate
from democlass.serve.limits import Limits
from democlass.serve.refusals import Refusal
from democlass.serve.routes import add_classifying, add_operating
from democlass.serve.service import Service

_ABOUT = """How a photo of a face is *perceived*: gender and race, every probability. The networks repeat how annotators
saw faces; they know nothing of identity, ancestry or ability. Not for decisions about one person, not for
identification or surveillance. In the EU, Art. 5(1)(g) of the AI Act prohibits categorising individuals biometrically
to infer their race; labelling or filtering lawfully acquired data sets is exempt. Nothing that is sent is stored."""


def create_app(
    service: Service,
    limits: Limits,
    log: Callable[[str], object] = lambda _: None,
    fail: Callable[[BaseException], object] = lambda _: None,
) -> FastAPI:
    """Return the app around a service, which it warms up at its start and closes at its end.

    `fail` is called with what a warm-up came to that failed: such a service never becomes ready.
    """
    MultiPartParser.spool_max_size = 0  # no limit: uploads stay in memory, whatever their size

    def tell(warming: asyncio.Task[None]) -> None:
        if not warming.cancelled() and (error := warming.exception()) is not None:
            fail(error)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        warming = asyncio.create_task(service.warm_up())
        warming.add_done_callback(tell)
        yield
        warming.cancel()
        await asyncio.wait((warming,))
        service.close()

    app = FastAPIOffline(
        title="democlass",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the request names
    )
    app.add_middleware(Gate, service=service, limits=limits, log=log)
    _handle_errors(app, service)

    # The gate asks for the key, before it reads anything; here it is only written down.
    key = [Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if limits.api_key else []

    add_classifying(app, service, key)
    add_operating(app, service)
    return app


def _handle_errors(app: FastAPI, service: Service) -> None:
    """Give every refusal one shape, and count it."""

    def answer(refusal: Refusal) -> JSONResponse:
        service.metrics.errors.labels(refusal.kind).inc()
        return refusal.response()

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        field = next((str(each["loc"][1]) for each in error.errors() if len(each["loc"]) > 1), "file")
        is_text = any(isinstance(each.get("input"), str) for each in error.errors())
        found = f"field '{field}' of the form is text, not a file" if is_text else f"the form has no file in '{field}'"
        detail = f"{found}: with curl, write -F {field}=@face.jpg, with an @"
        return answer(Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "no file", detail))

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        kind = HTTPStatus(error.status_code).phrase.lower()
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"
        return answer(Refusal(error.status_code, kind, str(error.detail), headers))

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> Response:  # uvicorn writes the traceback
        return answer(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "an error of ours, noted on the server"))
