"""The commands of `classify` and their options, read from the Typer command objects.

Typer bundles its own copy of Click in newer versions and uses the installed one in older versions. The functions here
use only attributes that both have, or look for either.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from democlass.cli.group import build_group, load_command
from democlass.cli.routing import COMMANDS

VALUE_NAMES = {"int": "N", "integer": "N", "float": "NUMBER", "Path": "PATH", "path": "PATH"}
"""Name of an option's value, by the name of its type in newer and in older versions of Typer."""


def load_commands() -> dict[str, Any]:
    """Return the command group, `classify`, and each command, `classify batch` and so on, by what a user types."""
    return {"classify": build_group(), **{f"classify {name}": load_command(name) for name in COMMANDS}}


def list_options(shown: Any) -> Iterator[Any]:
    """Yield the options of a command that its help shows, in order, without `--help`."""
    for parameter in shown.params:
        if parameter.param_type_name == "option" and not parameter.hidden and parameter.name != "help":
            yield parameter


def list_arguments(shown: Any) -> Iterator[Any]:
    """Yield the positional arguments of a command, in order."""
    for parameter in shown.params:
        if parameter.param_type_name == "argument" and not getattr(parameter, "hidden", False):
            yield parameter


def is_flag(option: Any) -> bool:
    """Return whether the option has no value."""
    return bool(getattr(option, "is_flag", False))


def value_name(parameter: Any) -> str:
    """Return the name of a parameter's value, such as `FILE` or `float32|bfloat16|float16`."""
    if parameter.metavar:
        return str(parameter.metavar)
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is not None:
        kind = descriptor.annotation
        choices = [member.value for member in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
        type_name = getattr(kind, "__name__", "text")
    else:
        choices = [getattr(choice, "value", choice) for choice in getattr(parameter.type, "choices", ())]
        type_name = parameter.type.name.removesuffix(" range")
    if choices:
        return "|".join(choices)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    return VALUE_NAMES.get(type_name, "TEXT")


def usage(title: str, shown: Any) -> str:
    """Return the usage line of a command."""
    words = [title, "[OPTIONS]", *filter(None, [getattr(shown, "subcommand_metavar", None)])]
    for argument in list_arguments(shown):
        word = value_name(argument) + ("..." if argument.nargs == -1 else "")
        words.append(word if argument.required else f"[{word}]")
    return " ".join(words)
