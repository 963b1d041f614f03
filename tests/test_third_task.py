"""A third task is one more entry in the task table: every command supports it without further changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from conftest import EXAMPLES, REPOSITORY, TinyNetwork, environment, save_tiny_weights, tiny_tasks
from democlass.tasks import Geometry, Task

pytestmark = pytest.mark.slow

AGE = Task("age-group", "perceived age", ("Young", "Middle", "Old"), Geometry.SQUASH, TinyNetwork, "age.pth")
TASKS = (*tiny_tasks(), AGE)
PHOTO = EXAMPLES / "grace_hopper.jpg"
LABELS = "Old,Middle,Young"
COMMANDS = {
    "batch": ["batch", str(PHOTO), "--out", "r.csv", "--weights", "weights"],
    "weights": ["weights", "-f", "json", "--weights", "weights", "--age-group-checkpoint", "mine.pth"],
    "incomplete": [str(PHOTO), "--weights", "incomplete"],
    "evaluate": ["evaluate", "labels.csv", "--out", "e.json", "--weights", "weights"],
}
PROGRAM = f"""
import json, os, sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from democlass import tasks

def tiny(outputs):
    from conftest import TinyNetwork  # imported late, because it imports modules that use the task table
    return TinyNetwork(outputs)

age = tasks.Task({AGE.name!r}, {AGE.title!r}, {AGE.labels!r}, tasks.Geometry.SQUASH, tiny, {AGE.checkpoint!r})
tasks.TASKS = (*(replace(task, network=tiny) for task in tasks.TASKS), age)

from democlass.cli import run_command
from democlass.cli.group import load_command

exit_codes = {{}}
for name, words in {COMMANDS!r}.items():
    if name == "weights":
        os.environ["DEMOCLASS_AGE_GROUP_LABELS"] = {LABELS!r}
    with open(name + ".out", "w") as out, open(name + ".err", "w") as err, redirect_stdout(out), redirect_stderr(err):
        exit_codes[name] = run_command(words, guard=False)
        out.flush()
    os.environ.pop("DEMOCLASS_AGE_GROUP_LABELS", None)
options = {{
    name: {{each.opts[0]: [each.help, each.envvar] for each in load_command(name).params if each.opts[0][0] == "-"}}
    for name in ("paths", "batch", "weights", "evaluate", "serve")
}}
print(json.dumps([exit_codes, options]))
"""


class Results(NamedTuple):
    """What the commands wrote to a folder, their exit codes, and the options of commands with help and variable."""

    folder: Path
    exit_codes: dict[str, int]
    options: dict[str, dict[str, tuple[str, str | None]]]

    def output(self, name: str) -> str:
        assert self.exit_codes[name] == 0, self.errors(name)
        return (self.folder / f"{name}.out").read_text()

    def errors(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run all commands with three tasks, in one process."""
    folder = tmp_path_factory.mktemp("third-task")
    for name in ("weights", "incomplete"):
        (folder / name).mkdir()
        save_tiny_weights(folder / name, TASKS)
    (folder / "incomplete" / AGE.checkpoint).unlink()
    content = torch.load(folder / "weights" / AGE.checkpoint, weights_only=True)
    torch.save({"model_state_dict": content["model_state_dict"]}, folder / "mine.pth")
    (folder / "labels.csv").write_text(f"path,age-group,gender\n{PHOTO},Old,Female\n")
    env = environment(DEMOCLASS_DEVICE="cpu")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return Results(folder, *json.loads(done.stdout))


def test_batch_writes_the_columns_of_the_task(results: Results) -> None:
    results.output("batch")
    header, row = (results.folder / "r.csv").read_text().splitlines()
    assert "age-group,age-group_confidence," in header
    assert header.endswith("age-group_Young,age-group_Middle,age-group_Old")
    assert sum(map(float, row.split(",")[-3:])) == pytest.approx(1, abs=1e-5)


def test_an_option_sets_the_checkpoint_and_a_variable_the_labels(results: Results) -> None:
    described = json.loads(results.output("weights"))
    assert list(described) == ["gender", "race", "age-group", "face_detector"] and not results.errors("weights")
    age = described["age-group"]
    assert (age["path"], age["why"]) == ("mine.pth", "option --age-group-checkpoint")
    assert age["labels"] == LABELS.split(",")


def test_the_error_for_a_missing_checkpoint_names_the_option(results: Results) -> None:
    errors = results.errors("incomplete")
    assert results.exit_codes["incomplete"] == 1 and "--age-group-checkpoint FILE" in errors
    assert errors.count("\n") == 1


def test_every_command_that_loads_networks_has_the_options_of_the_task(results: Results) -> None:
    for name, options in results.options.items():
        assert "age.pth (age-group)" in options["--weights"][0], name
        for option in ("--age-group-checkpoint", "--age-group-labels"):
            text, variable = options[option]
            assert variable == "DEMOCLASS" + option.upper().replace("-", "_")[1:], name
            assert "age" in text, name


def test_evaluate_reports_the_task(results: Results) -> None:
    report = results.output("evaluate")
    assert "perceived age" in report and "by age-group" in report
    assert json.loads((results.folder / "e.json").read_text())["tasks"]["age-group"]["n"] == 1
