"""The routes: what is answered at which path."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, File, Request, Response, UploadFile, params
from fastapi.responses import HTMLResponse, JSONResponse

from democlass import __version__
from democlass.results import to_document
from democlass.serve.documents import BATCH_EXAMPLE, Answer, Classified, Health, Refused, Unreadable
from democlass.serve.metrics import CONTENT_TYPE
from democlass.serve.pages import home
from democlass.serve.refusals import CLIENT_GONE, Refusal
from democlass.serve.service import Service

Result = TypeVar("Result")

_REFUSALS = {
    400: "The form can't be read",
    401: "The key is missing or wrong",
    403: "From a web page of another origin",
    408: "The request took too long to arrive",
    413: "Too many bytes, or too many files",
    415: "Not an image, or a body in an encoding that is not understood",
    422: "No file, or an image that can't be read",
    431: "Too many header fields",
    503: "Busy, starting or stopping: see Retry-After",
}


def _refused(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refused, "description": _REFUSALS[code]} for code in codes}


def add_classifying(app: FastAPI, service: Service, dependencies: Sequence[params.Depends]) -> None:
    """Add the routes by which images are classified."""

    @app.post(
        "/predict",
        responses={200: {"model": Answer}, **_refused(*_REFUSALS)},
        dependencies=dependencies,
        tags=["classify"],
    )
    async def predict(
        request: Request, file: Annotated[UploadFile, File(description="JPEG, PNG, or what else Pillow reads.")]
    ) -> Response:
        """Classify one image: every probability of perceived gender and perceived race."""
        if len(form := (await request.form()).getlist("file")) > 1:
            detail = f"{len(form)} files: send one, or all of them to /predict/batch in fields named 'files'"
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "too many files", detail)
        with service.places(1):
            (prediction,) = await _unless_gone(request, service.classify([(None, await _content(file))]))
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
            **_refused(*_REFUSALS),
        },
        dependencies=dependencies,
        tags=["classify"],
    )
    async def predict_batch(
        request: Request, files: Annotated[list[UploadFile], File(description="Images, in any number of parts.")]
    ) -> Response:
        """Classify many images: a list in their order, with an entry for each, also for those that can't be read."""
        if len(files) > service.most:
            detail = f"{len(files)} files: a request may have {service.most}"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too many files", detail)
        with service.places(len(files)):
            images = [(file.filename or "", await _content(file)) for file in files]
            predictions = await _unless_gone(request, service.classify(images))
        for prediction in predictions:
            if prediction.reason is not None:
                service.metrics.errors.labels(prediction.reason).inc()
        return JSONResponse([to_document(prediction) for prediction in predictions])

    @app.get("/", response_class=HTMLResponse, tags=["classify"])
    async def page() -> Response:
        """Show a page on which a person drops a picture."""
        return home()


def add_operating(app: FastAPI, service: Service) -> None:
    """Add the routes by which the service is watched."""

    @app.get("/health", responses={503: {"model": Health}}, response_model=Health, tags=["operate"])
    async def health() -> Response:
        """Tell whether images are classified now: 200 where they are, else 503 and why not."""
        status = service.status
        return JSONResponse({"status": status, "version": __version__}, 200 if status == "ready" else 503)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
        tags=["operate"],
    )
    async def metrics() -> Response:
        """Count requests, errors by kind, batch sizes, seconds, and images that wait."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


async def _content(file: UploadFile) -> bytes:
    """Return the bytes of a file, and free those that the form has."""
    content = await file.read()
    await file.close()
    return content


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
