"""What the service says, as models for its OpenAPI document. Tasks and labels come from the task table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from democlass.tasks import TASKS, Task

_SHARES = ((0.92, 0.08), (0.15, 0.05, 0.7, 0.05, 0.03, 0.02))

EXAMPLE: dict[str, Any] = {
    f"{task.name}_probabilities": dict(zip(task.labels, shares, strict=True))
    for task, shares in zip(TASKS, _SHARES, strict=True)
}

BATCH_EXAMPLE = [
    {"path": "a.jpg", "status": "ok", **EXAMPLE},
    {"path": "b.txt", "status": "error", "error": "not an image: its content is no image format that Pillow reads"},
]


def _probabilities(task: Task) -> type[BaseModel]:
    share = Annotated[float, Field(ge=0, le=1)]
    fields: dict[str, Any] = dict.fromkeys(task.labels, (share, ...))
    text = f"The probability of every label of {task.title}; they add up to 1."
    return create_model(
        f"{task.name.capitalize()}Probabilities", __doc__=text, __config__=ConfigDict(extra="forbid"), **fields
    )


_of_tasks: dict[str, Any] = {f"{task.name}_probabilities": (_probabilities(task), ...) for task in TASKS}

Answer: type[BaseModel] = create_model(
    "Answer",
    __doc__="How the networks perceive one image.",
    __config__=ConfigDict(extra="forbid", json_schema_extra={"example": EXAMPLE}),
    **_of_tasks,
)


class Entry(BaseModel):
    """One file of a batch."""

    path: str = Field(description="The file name that the part came with.")
    path_bytes: str = Field(default="", description="That name in hex, there only if it is no valid UTF-8.")


class Unreadable(Entry):
    """A file of a batch that could not be read."""

    status: Literal["error"]
    error: str = Field(description="A short reason, a colon, and what can be done.")


Classified: type[Entry] = create_model(
    "Classified",
    __base__=Entry,
    __doc__="A file of a batch that was classified.",
    **{"status": (Literal["ok"], ...), **_of_tasks},
)


class Refused(BaseModel):
    """Why there is no result."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"detail": BATCH_EXAMPLE[1]["error"], "kind": "not an image"},
        }
    )
    detail: str = Field(description="For a person to read.")
    kind: str = Field(description="The cause in a few words: what errors are counted by.")


class Health(BaseModel):
    """Whether images are classified now.

    `starting`: the networks have not answered yet. `stuck`: all decoders are busy with slow images, or no image was
    answered for a minute. `stopping`: the service ends.
    """

    status: Literal["ready", "starting", "stuck", "stopping"]
    version: str
