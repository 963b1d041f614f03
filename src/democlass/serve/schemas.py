"""Models of the request and response bodies, for the OpenAPI document. Tasks and labels come from the task table.

The names of these models are the schema names in the OpenAPI document. Generated clients use them, so keep them stable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from democlass.results import DECIMALS
from democlass.tasks import TASKS, Task

_EXAMPLE_PROBABILITIES = {2: (0.92, 0.08), 6: (0.15, 0.05, 0.7, 0.05, 0.03, 0.02)}
"""By number of labels. The labels of other tasks have equal probabilities in the examples."""


def _create_example(task: Task) -> dict[str, float]:
    count = len(task.labels)
    probabilities = _EXAMPLE_PROBABILITIES.get(count, (round(1 / count, DECIMALS),) * count)
    return dict(zip(task.labels, probabilities, strict=True))


EXAMPLE: dict[str, Any] = {f"{task.name}_probabilities": _create_example(task) for task in TASKS}

_EXAMPLE_WITH_LABELS: dict[str, Any] = {}
for _task in TASKS:
    _probabilities = _create_example(_task)
    _EXAMPLE_WITH_LABELS[_task.name] = max(_probabilities, key=_probabilities.__getitem__)
    _EXAMPLE_WITH_LABELS[f"{_task.name}_probabilities"] = _probabilities

BATCH_EXAMPLE = [
    {"path": "a.jpg", "status": "ok", **_EXAMPLE_WITH_LABELS},
    {"path": "b.txt", "status": "error", "error": "not an image: its content is no image format that Pillow reads"},
]


def _create_probabilities_model(task: Task) -> type[BaseModel]:
    probability = Annotated[float, Field(ge=0, le=1)]
    fields: dict[str, Any] = dict.fromkeys(task.labels, (probability, ...))
    return create_model(
        f"{task.name.capitalize()}Probabilities",
        __doc__=f"The probability of every label of {task.title}. They add up to 1.",
        __config__=ConfigDict(extra="forbid"),
        **fields,
    )


_probability_fields: dict[str, Any] = {
    f"{task.name}_probabilities": (_create_probabilities_model(task), ...) for task in TASKS
}

_label_fields: dict[str, Any] = {
    task.name: (Literal[task.labels], Field(description="The most probable label.")) for task in TASKS
}

Answer: type[BaseModel] = create_model(
    "Answer",
    __doc__="The probabilities that the networks return for one image.",
    __config__=ConfigDict(extra="forbid", json_schema_extra={"example": EXAMPLE}),
    **_probability_fields,
)


class Entry(BaseModel):
    """One file of a batch."""

    path: str = Field(description="The file name of the form part.")


class Unreadable(Entry):
    """A file of a batch that could not be read."""

    status: Literal["error"]
    error: str = Field(description="A short reason, a colon, and advice.")


Classified: type[Entry] = create_model(
    "Classified",
    __base__=Entry,
    __doc__="A file of a batch that was classified.",
    **{"status": (Literal["ok"], ...), **_label_fields, **_probability_fields},
)


_EXAMPLE_PLACE = {"x": 166.14, "y": 65.61, "width": 115.16, "height": 115.16, "rotation": 3.3}
FACES_EXAMPLE: dict[str, Any] = {
    "width": 512,
    "height": 512,
    "faces": [{"face": 0, "status": "ok", **_EXAMPLE_PLACE, "detection_score": 0.93, **_EXAMPLE_WITH_LABELS}],
}


class FaceEntry(BaseModel):
    """A face in a photo: the square that was classified, in pixels of the upright photo, before its rotation."""

    face: int = Field(ge=0, description="0, 1, … from left to right.")
    x: float = Field(description="Left edge.")
    y: float = Field(description="Top edge.")
    width: float
    height: float
    rotation: float = Field(description="Degrees, clockwise, around the centre.")
    detection_score: float = Field(ge=0, le=1, description="How certain the detector is that this is a face.")


class SmallFace(FaceEntry):
    """A face that is too small to classify."""

    status: Literal["too_small"]


ClassifiedFace: type[FaceEntry] = create_model(
    "ClassifiedFace",
    __base__=FaceEntry,
    __doc__="A face that was classified.",
    **{"status": (Literal["ok"], ...), **_label_fields, **_probability_fields},
)

FacesAnswer: type[BaseModel] = create_model(
    "FacesAnswer",
    __doc__="The size of the upright photo in pixels, and its faces.",
    __config__=ConfigDict(extra="forbid", json_schema_extra={"example": FACES_EXAMPLE}),
    width=(Annotated[int, Field(ge=1)], ...),
    height=(Annotated[int, Field(ge=1)], ...),
    faces=(list[ClassifiedFace | SmallFace], ...),  # type: ignore[valid-type]
)


class Refused(BaseModel):
    """An error."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"detail": BATCH_EXAMPLE[1]["error"], "kind": "not an image"},
        }
    )
    detail: str = Field(description="What is wrong and what to do, for people.")
    kind: str = Field(description="A short fixed name of the error, for programs. /metrics counts errors by it.")


class Health(BaseModel):
    """Whether the service classifies images now.

    `starting`: the networks are not loaded yet. `stuck`: all decoders are busy with slow images, or no image was
    finished for a minute. `stopping`: the service is shutting down.
    """

    status: Literal["ready", "starting", "stuck", "stopping"]
    version: str
