"""The command group: its help, its errors, and shell completion."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from conftest import Run, command, environment
from democlass import __version__
from democlass.cli.group import load_command
from democlass.cli.routing import COMMANDS

pytestmark = pytest.mark.slow

HEAVY = ("torch", "torchvision", "pandas", "numpy", "PIL", "fastapi", "sklearn")
RUN_AND_LIST_MODULES = f"""
import sys
from democlass.cli import main
try: main()
finally: print(*{HEAVY!r} & sys.modules.keys(), file=sys.stderr)
""".replace(repr(HEAVY), repr(set(HEAVY)))


def help_of(run: Run, *words: str) -> str:
    result = run(*words, "--help")
    assert (result.returncode, result.stderr) == (0, b"")
    return " ".join(result.stdout.decode().split())


def completions(text: str, shell: str = "bash", cwd: Path | None = None) -> list[str]:
    """Return what the shell is offered for the last word of a command line."""
    words = text.split(" ")
    variables = {
        "_CLASSIFY_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": text,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": text,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    result = subprocess.run(command(), env=environment(**variables), cwd=cwd, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_help_lists_every_command_with_one_line(classify_here: Run) -> None:
    text = help_of(classify_here)
    for name, line in COMMANDS.items():
        assert f"{name} {line}" in text.replace(" │ │ ", " ").replace("  ", " ")
        assert len(line) < 90


def test_help_says_what_the_program_is_not_for_and_explains_the_exit_codes(classify_here: Run) -> None:
    text = help_of(classify_here)
    for phrase in ("perceived gender", "perceived race", "identification", "surveillance", "Art. 5(1)(g)"):
        assert phrase in text
    for code in (0, 1, 2, 3, 130, 141, 143):
        assert f" {code} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(name: str, classify_here: Run) -> None:
    text = help_of(classify_here, name)
    assert f"Usage: classify {name} [OPTIONS]" in text
    assert "perceived" in text or name == "weights"


def test_help_after_a_path_or_an_option_is_that_of_the_default_command(classify_here: Run) -> None:
    for words in (["photo.jpg"], ["--quiet"]):
        assert "Usage: classify paths" in help_of(classify_here, *words)
    assert "Usage: classify batch" in help_of(classify_here, "--format", "csv", "batch")


@pytest.mark.parametrize("name", COMMANDS)
def test_h_is_short_for_help(name: str) -> None:
    with pytest.raises(SystemExit) as exited:
        load_command(name).main(["-h"], prog_name=name)
    assert exited.value.code == 0
    assert all("-h" not in parameter.opts for parameter in load_command(name).params)


@pytest.mark.parametrize("words", [["--version"], ["photo.jpg", "--version"], ["--version", "batch"]])
def test_the_version(words: list[str], classify_here: Run) -> None:
    assert classify_here(*words).stdout.decode() == f"democlass {__version__}\n"


@pytest.mark.parametrize("variables", [{}, {"_CLASSIFY_COMPLETE": "complete_bash", "COMP_WORDS": "classify "}])
def test_help_and_completion_load_no_heavy_module(variables: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['classify', '--help']{RUN_AND_LIST_MODULES}"],
        env=environment(COMP_CWORD="1", **variables),
        capture_output=True,
        text=True,
    )
    assert result.stderr == "\n" and "evaluate" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_loading_a_command_loads_no_heavy_module(name: str) -> None:
    code = (
        f"import sys; from democlass.cli.group import load_command; load_command({name!r})\n"
        f"print(*{set(HEAVY)!r} & sys.modules.keys())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], env=environment()) == b"\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistyped_option_gets_a_suggestion_in_every_command(name: str, classify_here: Run) -> None:
    option = next(each.opts[0] for each in load_command(name).params if len(each.opts[0]) > 7)
    mistyped = option[:4] + option[5:]
    result = classify_here(name, mistyped)
    message = f"classify: no such option {mistyped}; did you mean {option}?\n"
    assert (result.returncode, result.stdout, result.stderr.decode()) == (2, b"", message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--formt", "csv", "x.jpg"], "no such option --formt; did you mean --format?"),
        (["evalute", "x"], "no such command 'evalute'; did you mean 'evaluate'?"),
        (["--quiet", "evalute", "x"], "no such command 'evalute'; did you mean 'evaluate'?"),
        (["--qqqqqq"], "no such option --qqqqqq; see classify paths --help"),
        (["batch"], "missing argument 'SOURCE'; see classify batch --help"),
        (["x.jpg", "--out"], "option '--out' requires an argument"),
        (["weights", "x\n\x1b[31m"], "got unexpected extra argument"),
    ],
)
def test_usage_errors_of_typer_are_one_line_in_our_style(words: list[str], message: str, classify_here: Run) -> None:
    result = classify_here(*words)
    assert result.returncode == 2 and result.stdout == b""
    assert result.stderr.decode().startswith(f"classify: {message}")
    assert result.stderr.count(b"\n") == 1 and b"\x1b" not in result.stderr


def test_a_file_with_the_name_of_a_mistyped_command_is_classified(classify_here: Run, tmp_path: Path) -> None:
    (tmp_path / "evalute").touch()
    result = classify_here("evalute")
    assert result.returncode == 3 and b'"path": "evalute"' in result.stdout


def test_the_first_word_is_completed_with_commands_and_options() -> None:
    assert completions("classify ") == list(COMMANDS)
    assert completions("classify ev") == ["evaluate"]
    assert completions("classify --ver") == ["--version"]
    assert completions("classify --inst") == ["--install-completion"]
    assert completions("classify --form") == ["--format"]


def test_options_and_their_values_are_completed() -> None:
    assert completions("classify batch --retry") == ["--retry-errors"]
    assert completions("classify batch --format ") == ["table", "csv", "json", "jsonl", "parquet"]
    assert completions("classify --format js") == ["json", "jsonl"]
    assert completions("classify serve --upload-m") == ["--upload-memory"]


def test_paths_are_left_to_the_shell() -> None:
    for text in (
        "classify pho",
        "classify batch pho",
        "classify a.jpg ",
        "classify batch x --out ",
        "classify evalute ",
    ):
        assert completions(text) in ([], [""])
    assert completions("classify batch pho", "zsh") == ["_files"]


def test_other_shells_get_the_help_of_each_command() -> None:
    assert f"batch\t{COMMANDS['batch']}" in completions("classify ba", "fish")
    (zsh,) = completions("classify ba", "zsh")
    assert COMMANDS["batch"] in zsh


@pytest.mark.parametrize("program", ["classify", "democlass"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_the_current_shell_and_program(program: str, shell: str, tmp_path: Path) -> None:
    """Typer finds the shell among the parents of the process."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / program
    script.write_text(f"#!{sys.executable}\nfrom democlass.cli import main\nmain()\n")
    script.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    lines = f"cd /; {script} --show-completion; {script} --install-completion; true"
    result = subprocess.run(
        [shell, "-c", lines], env=environment(HOME=str(home)), capture_output=True, text=True, timeout=60
    )
    assert result.stderr == "" and f"{shell} completion installed in {home}" in result.stdout
    (installed,) = (file for file in home.rglob("*") if file.is_file() and file.name.strip("_").startswith(program))
    completion_script = installed.read_text().strip()
    assert completion_script in result.stdout
    assert program in completion_script and f"_{program.upper()}_COMPLETE" in completion_script


def test_typers_errors_have_the_base_class_that_is_caught() -> None:
    from democlass.cli.usage import TyperError

    assert issubclass(typer.BadParameter, TyperError) and not issubclass(typer.Exit, TyperError)
