"""The app: what is answered, at which path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, File, Request, Response, Security, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from democlass import __version__
from democlass.results import to_document
from democlass.serve.documents import BATCH_EXAMPLE, Answer, Classified, Health, Refused, Unreadable
from democlass.serve.gate import Gate, Limits
from democlass.serve.metrics import CONTENT_TYPE
from democlass.serve.pages import home
from democlass.serve.refusals import CLIENT_GONE, Refusal, busy
from democlass.serve.service import Service

Result = TypeVar("Result")

_ABOUT = """How a photo of a face is *perceived*: gender and race, every probability. The networks repeat how annotators
saw faces; they know nothing of identity, ancestry or ability. Not for decisions about one person, not for
identification or surveillance. In the EU, Art. 5(1)(g) of the AI Act prohibits categorising individuals biometrically
to infer their race; labelling or filtering lawfully acquired data sets is exempt. Nothing that is sent is stored."""

_REFUSALS = {
    400: "The form can't be read",
    401: "The key is missing or wrong",
    408: "The request did not come to its end",
    413: "Too many bytes, or too many files",
    415: "Not an image",
    422: "No file, or an image that can't be read",
    503: "Busy, or not ready yet: see Retry-After",
}


def _refused(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refused, "description": _REFUSALS[code]} for code in codes}


def create_app(service: Service, limits: Limits, log: Callable[[str], object] = lambda _: None) -> FastAPI:
    """Return the app around a service, which it warms up at its start and closes at its end."""
    # Uploads stay in memory, never in a temporary file: nothing is stored.
    MultiPartParser.spool_max_size = limits.max_upload

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        warming = asyncio.create_task(service.warm_up())
        yield
        warming.cancel()
        with suppress(asyncio.CancelledError):
            await warming
        service.close()

    app = FastAPIOffline(title="democlass", version=__version__, description=_ABOUT, lifespan=lifespan, redoc_url=None)
    app.add_middleware(Gate, service=service, limits=limits, log=log)
    _handle_errors(app, service)

    # The gate asks for the key, before it reads anything; here it is only written down.
    key = [Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if limits.api_key else []

    @app.post(
        "/predict", responses={200: {"model": Answer}, **_refused(*_REFUSALS)}, dependencies=key, tags=["classify"]
    )
    async def predict(
        request: Request, file: Annotated[UploadFile, File(description="JPEG, PNG, or what else Pillow reads.")]
    ) -> Response:
        """Classify one image: every probability of perceived gender and perceived race."""
        prediction = await _unless_gone(request, service.classify(await file.read()))
        if prediction.error is not None:
            raise Refusal.of(prediction.error)
        document = to_document(prediction)
        return JSONResponse({name: document[name] for name in document if name.endswith("_probabilities")})

    @app.post(
        "/predict/batch",
        responses={
            200: {
                "model": list[Classified | Unreadable],  # type: ignore[valid-type]
                "content": {"application/json": {"example": BATCH_EXAMPLE}},
            },
            **_refused(*(code for code in _REFUSALS if code != 415)),
        },
        dependencies=key,
        tags=["classify"],
    )
    async def predict_batch(
        request: Request, files: Annotated[list[UploadFile], File(description="Images, in any number of parts.")]
    ) -> Response:
        """Classify many images: a list in their order, with an entry for each, also for those that can't be read."""
        if len(files) > service.most:
            detail = f"{len(files)} files: a request may have {service.most}"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too many files", detail)
        others = len(files) - 1
        if not service.take(others):
            raise busy(f"there is no room for {len(files)} images: try again in a moment, or send fewer")
        try:
            asked = [service.classify(await file.read(), file.filename or "") for file in files]
            predictions = await _unless_gone(request, _all(asked))
        finally:
            service.give(others)
        for prediction in predictions:
            if prediction.reason is not None:
                service.metrics.errors.labels(prediction.reason).inc()
        return JSONResponse([to_document(prediction) for prediction in predictions])

    @app.get("/health", responses={503: {"model": Health}}, response_model=Health, tags=["operate"])
    async def health() -> Response:
        """Tell whether both networks have answered a warm-up: 200 where they have, else 503."""
        status = "ready" if service.ready else "starting"
        return JSONResponse({"status": status, "version": __version__}, 200 if service.ready else 503)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
        tags=["operate"],
    )
    async def metrics() -> Response:
        """Count requests, errors by kind, batch sizes, seconds, and images that wait."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/", response_class=HTMLResponse, tags=["classify"])
    async def page() -> Response:
        """Show a page on which a person drops a picture."""
        return home()

    return app


async def _all(asked: list[Coroutine[Any, Any, Result]]) -> list[Result]:
    return await asyncio.gather(*asked)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work comes to; where the client goes away first, what has not begun is never done."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(CLIENT_GONE, "client gone", "the client went away")
        return working.result()
    finally:
        working.cancel()
        waiting.cancel()


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
        said = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        return answer(Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "no file", said))

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        kind = HTTPStatus(error.status_code).phrase.lower()
        return answer(Refusal(error.status_code, kind, str(error.detail), error.headers))

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> Response:  # uvicorn writes the traceback
        return answer(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "an error of ours, noted on the server"))
