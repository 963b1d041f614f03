"""Lets a command take its options as dataclasses instead of as many separate parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from democlass.tasks import TASKS, Task


@dataclass(frozen=True)
class PerTask:
    """Annotates a field that is a dict by task name: each task gets its own option, `--TASK-SUFFIX`.

    `kind` is the type of the option's value, and `option` makes the Typer option. Tasks whose option is not given are
    left out of the dict.
    """

    suffix: str
    kind: type
    option: Callable[[Task], Any]


def option_name(task: str, suffix: str) -> str:
    """Return the name of a task's option, such as `--gender-checkpoint`."""
    return f"--{parameter_name(task, suffix)}".replace("_", "-")


def parameter_name(task: str, suffix: str) -> str:
    """Return the name of the parameter of a task's option, such as `gender_checkpoint`."""
    return f"{task}_{suffix}".replace("-", "_")


def expand(function: Callable[..., int]) -> Callable[..., None]:
    """Return a function for Typer in which the fields of each options dataclass are parameters of their own.

    `function` returns the exit code of the process. The new function raises `typer.Exit` with it.
    """
    signature = inspect.signature(function, eval_str=True)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    option_classes = {
        name: annotation
        for name, annotation in annotations.items()
        if is_dataclass(annotation) and isinstance(annotation, type)
    }

    def expanded(**values: Any) -> None:
        options = {name: kind(**dict(_field_values(kind, values))) for name, kind in option_classes.items()}
        if exit_code := function(**values, **options):
            raise typer.Exit(exit_code)

    parameters = []
    for name, parameter in signature.parameters.items():
        if name in option_classes:
            parameters += list(_parameters(option_classes[name]))
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    expanded.__doc__ = unwrap(function.__doc__ or "")
    expanded.__name__ = function.__name__
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(expanded)["__signature__"] = inspect.Signature(parameters)
    return expanded


def unwrap(text: str) -> str:
    """Return the text with one line per paragraph, so that a help page can wrap it to any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each option of an options dataclass."""
    for field, annotation, per_task in _fields(kind):
        if per_task is None:
            yield _parameter(field.name, annotation, field.default)
        else:
            for task in TASKS:
                option = Annotated[per_task.kind | None, per_task.option(task)]  # type: ignore[name-defined]
                yield _parameter(parameter_name(task.name, per_task.suffix), option, None)


def _field_values(kind: type, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each field of an options dataclass, and remove these values from `values`."""
    for field, _, per_task in _fields(kind):
        if per_task is None:
            yield field.name, values.pop(field.name)
        else:
            by_task = {task.name: values.pop(parameter_name(task.name, per_task.suffix)) for task in TASKS}
            yield field.name, {name: value for name, value in by_task.items() if value is not None}


def _fields(kind: type) -> Iterator[tuple[Field[Any], Any, PerTask | None]]:
    """Yield each field of an options dataclass, its annotation, and the PerTask in that annotation, if any."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        annotation = hints[field.name]
        metadata = getattr(annotation, "__metadata__", ())
        yield field, annotation, next((each for each in metadata if isinstance(each, PerTask)), None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
