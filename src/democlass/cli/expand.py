"""How a command takes many options in few parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import typer


def expand(function: Callable[..., int]) -> Callable[..., None]:
    """Return the function with each parameter that is a dataclass of options replaced by that class's fields.

    What it returns is the process's exit code.
    """
    signature = inspect.signature(function, eval_str=True)
    kinds = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups = {name: kind for name, kind in kinds.items() if is_dataclass(kind) and isinstance(kind, type)}

    def expanded(**values: Any) -> None:
        grouped = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        if code := function(**values, **grouped):
            raise typer.Exit(code)

    parameters = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            inner = get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=inner[field.name]
                )
                for field in fields(groups[name])
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    expanded.__doc__ = flowing(function.__doc__ or "")
    expanded.__name__ = function.__name__
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(expanded)["__signature__"] = inspect.Signature(parameters)
    return expanded


def flowing(text: str) -> str:
    """Return the text with the line breaks inside its paragraphs taken out, for a help page of any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
