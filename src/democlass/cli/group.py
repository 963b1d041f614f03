"""The command group, `classify [COMMAND] ...`.

Its commands are loaded when they are run, so that `classify --help` and shell completion stay quick.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from democlass.cli.expand import unwrap
from democlass.cli.routing import COMMANDS, DEFAULT, Route, refuse_mistyped_command, route

_EPILOG = """
Exit codes: 0 success, 1 the run failed, 2 wrong usage, 3 finished but some images could not be read, 130 interrupted,
141 the reader of the output pipe closed it, 143 terminated.

A path that is named like a command is written ./batch.

For describing lawfully held collections of images. Not for decisions about one person, identification or
surveillance. The EU AI Act, Art. 5(1)(g), prohibits biometric categorisation of individuals to infer race, and exempts
labelling of lawfully acquired data sets.
"""


class CommandGroup(TyperGroup):
    """A group whose commands are modules of this package, and whose default command classifies paths."""

    # Typer's parameter types are Any here: Typer before 0.26 takes them from the package click, later ones do not.

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command for lists of commands: its name and its line of help. `resolve_command` loads it."""
        line = COMMANDS.get(cmd_name)
        return None if line is None else TyperCommand(cmd_name, help=line, short_help=line)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name of the command to run, the command, and its words."""
        return args[0], load_command(args[0]), args[1:]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options of the group, after writing out the default command where no command is named."""
        if not (ctx.resilient_parsing and not args):  # the first word is being completed
            found = find_route(args)
            if found.first_path is not None and not ctx.resilient_parsing:
                refuse_mistyped_command(found.first_path)
            args = found.words
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return completions of the first word: commands and options, those of the default command included."""
        items: list[Any] = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            default = load_command(DEFAULT)
            context = default.make_context(DEFAULT, [], parent=ctx, resilient_parsing=True)
            known = {item.value for item in items}
            items += [item for item in default.shell_complete(context, incomplete) if item.value not in known]
        return items


def find_route(words: list[str]) -> Route:
    """Return where a command line leads."""
    return route(words, _options_with_value)


def load_command(name: str) -> Any:
    """Return a command, as Typer builds it."""
    app: typer.Typer = import_module(f"democlass.cli.{name}").app
    command = typer.main.get_command(app)
    command.name = name
    command.context_settings["help_option_names"] = ["--help", "-h"]
    return command


def show_version(is_given: bool) -> None:
    """Write the version and exit, if the option `--version` is given."""
    if is_given:
        from democlass import __version__

        typer.echo(f"democlass {__version__}")
        raise typer.Exit


def build_group() -> Any:
    """Return the group of all commands, as Typer builds it."""
    app = typer.Typer(cls=CommandGroup, subcommand_metavar="[COMMAND] [PATH]...", epilog=unwrap(_EPILOG))
    app.callback(help=unwrap(_callback.__doc__ or ""))(_callback)
    group = typer.main.get_command(app)
    group.context_settings["help_option_names"] = ["--help", "-h"]
    return group


def _callback(
    version: bool | None = typer.Option(
        None, "--version", help="Show the version and exit.", callback=show_version, is_eager=True
    ),
) -> None:
    """Estimate perceived gender and perceived race across a collection of images.

    `classify photo.jpg` classifies one image, `classify batch ./photos --out results.csv` a collection. Each command
    has its own options: see `classify COMMAND --help`, and `classify paths --help` for classifying without a command.

    The networks repeat how annotators perceived faces. They know nothing of anyone's identity or ancestry.
    """


@cache
def _options_with_value() -> Collection[str]:
    parameters = load_command(DEFAULT).params
    return {name for each in parameters if not getattr(each, "is_flag", False) for name in each.opts}
