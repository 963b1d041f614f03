"""How a command takes many options in few parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from democlass.tasks import TASKS, Task


@dataclass(frozen=True)
class PerTask:
    """Annotates a field that is a dict by task name: each task gets an option of its own, `--TASK-SUFFIX`.

    `kind` is the type of the option's value, and `option` makes what Typer is told of it. A task whose option is not
    given is not in the dict.
    """

    suffix: str
    kind: type
    option: Callable[[Task], Any]


def option_name(task: str, suffix: str) -> str:
    """Return the option of one task, as `--gender-checkpoint`."""
    return f"--{parameter_name(task, suffix)}".replace("_", "-")


def parameter_name(task: str, suffix: str) -> str:
    """Return the name of that option's parameter, as `gender_checkpoint`."""
    return f"{task}_{suffix}".replace("-", "_")


def expand(function: Callable[..., int]) -> Callable[..., None]:
    """Return the function with each parameter that is a dataclass of options replaced by that class's fields.

    What it returns is the process's exit code.
    """
    signature = inspect.signature(function, eval_str=True)
    kinds = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups = {name: kind for name, kind in kinds.items() if is_dataclass(kind) and isinstance(kind, type)}

    def expanded(**values: Any) -> None:
        grouped = {name: kind(**dict(_collected(kind, values))) for name, kind in groups.items()}
        if code := function(**values, **grouped):
            raise typer.Exit(code)

    parameters = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            parameters += list(_parameters(groups[name]))
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    expanded.__doc__ = flowing(function.__doc__ or "")
    expanded.__name__ = function.__name__
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(expanded)["__signature__"] = inspect.Signature(parameters)
    return expanded


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """Yield the parameters that the fields of a dataclass of options become."""
    for field, annotation, each in _fields(kind):
        if each is None:
            yield _parameter(field.name, annotation, field.default)
        else:
            for task in TASKS:
                option = Annotated[each.kind | None, each.option(task)]  # type: ignore[name-defined]
                yield _parameter(parameter_name(task.name, each.suffix), option, None)


def _collected(kind: type, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the value of each field of a dataclass of options, which is taken out of `values`."""
    for field, _, each in _fields(kind):
        if each is None:
            yield field.name, values.pop(field.name)
        else:
            given = {task.name: values.pop(parameter_name(task.name, each.suffix)) for task in TASKS}
            yield field.name, {name: value for name, value in given.items() if value is not None}


def _fields(kind: type) -> Iterator[tuple[Field[Any], Any, PerTask | None]]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        annotation = hints[field.name]
        marks = getattr(annotation, "__metadata__", ())
        yield field, annotation, next((mark for mark in marks if isinstance(mark, PerTask)), None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flowing(text: str) -> str:
    """Return the text with the line breaks inside its paragraphs taken out, for a help page of any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
