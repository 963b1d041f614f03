"""No module is imported from the current folder or from a folder that is classified: they hold untrusted files.

Modules that Python imports before our first line are an exception: those of its start if PYTHONPATH has an empty entry,
and those of `runpy` under `-m`. Tests of these cases leave them out.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import EXAMPLES, REPOSITORY, environment

pytestmark = pytest.mark.slow

# Modules that Python imports before our first line: at its start, in `runpy`, and in an installed script.
_EARLY = {"encodings", "codecs", "io", "abc", "site", "os", "stat", "posixpath", "genericpath", "sitecustomize",
          "usercustomize", "importlib", "runpy", "types", "warnings", "operator", "keyword", "reprlib", "collections",
          "functools", "contextlib", "re", "enum", "copyreg"}  # fmt: skip
_OTHERS = ["PIL", "accimage", "annotated_doc", "click", "defusedxml", "fastapi", "matplotlib", "numpy", "olefile",
           "pandas", "pillow_heif", "pydantic", "rich", "shellingham", "simplejpeg", "sklearn", "torch",
           "torchmetrics", "torchvision", "tqdm", "triton", "typer", "typing_extensions", "usercustomize",
           "uvicorn"]  # fmt: skip

Trap = Callable[..., Path]


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Trap:
    """Make a folder with an image and many modules that write to a file `mark` when they are imported."""

    def make(*, sparing: set[str] = frozenset()) -> Path:  # type: ignore[assignment]
        folder = tmp_path_factory.mktemp("hostile")
        names = {name for name in sys.stdlib_module_names if not name.startswith("_") or name == "__future__"}
        for name in {*names, *_OTHERS, "sitecustomize"} - sparing:
            opened = f"posix.open({str(folder / 'mark')!r}, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND)"
            mark = f"import posix; posix.write({opened}, b'{name} ')"
            (folder / f"{name}.py").write_text(mark)
        (folder / "matplotlibrc").write_text("axes.facecolor: red\nbackend: module://json\n")
        Image.open(EXAMPLES / "astronaut.png").crop((150, 0, 374, 224)).save(folder / "a.jpg")
        (folder / "labels.csv").write_text("path,gender,race\na.jpg,Female,White\n")
        return folder

    return make


def run(folder: Path, *words: object, **env: str) -> str:
    """Run a command in the folder, check that no trap was imported, and return its output."""
    done = subprocess.run(list(map(str, words)), cwd=folder, env=environment(**env), capture_output=True, timeout=300)
    mark = folder / "mark"
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, as pip installs it."""
    file = tmp_path_factory.mktemp("bin") / "classify"
    file.write_text(f"#!{sys.executable}\nimport re, sys\nfrom democlass.cli import main\nsys.exit(main())\n")
    file.chmod(0o755)
    return file


def test_the_command_imports_nothing_from_the_folder_that_it_classifies(trap: Trap, script: Path) -> None:
    folder = trap()
    rows = run(folder, script, "batch", ".", "--out", folder.parent / "rows.csv", "--overwrite", "--quiet")
    assert rows == "" and (folder.parent / "rows.csv").read_text().count(",ok,") == 1


@pytest.fixture(scope="module")
def late_trap(trap: Trap) -> Path:
    """A folder with traps for all modules but those that Python imports before our first line."""
    return trap(sparing=_EARLY)


@pytest.mark.parametrize("path", ["{source}:", ":{source}", ".:{source}", "{here}:{source}", "../{name}:{source}"])
def test_no_entry_of_pythonpath_leads_to_the_current_folder(path: str, late_trap: Path, script: Path) -> None:
    python_path = path.format(source=REPOSITORY / "src", here=late_trap, name=late_trap.name)
    assert "PATH" in run(late_trap, script, "paths", "--help", PYTHONPATH=python_path)
    code = "import sys, democlass.cli; print(*sys.path, sep='\\n')"
    entries = run(late_trap, sys.executable, "-c", code, PYTHONPATH=python_path).splitlines()
    assert entries and all(Path(entry).is_absolute() and Path(entry) != late_trap for entry in entries)


def test_an_image_is_classified_although_pythonpath_names_the_current_folder(late_trap: Path, script: Path) -> None:
    python_path = f".:{REPOSITORY / 'src'}:"
    assert '"status": "ok"' in run(late_trap, script, "a.jpg", PYTHONPATH=python_path)


def test_python_m_democlass(late_trap: Path) -> None:
    assert "PATH" in run(late_trap, sys.executable, "-m", "democlass", "paths", "--help")


def test_an_evaluation_with_charts(trap: Trap, script: Path) -> None:
    folder = trap()
    run(folder, script, "evaluate", "labels.csv", "--html", "page.html", "--quiet")
    page = (folder / "page.html").read_text()
    assert "<svg" in page and "#ff0000" not in page


def test_a_training_in_two_processes(trap: Trap, script: Path) -> None:
    folder = trap()
    lines = ["path,gender"]
    for number in range(12):
        Image.fromarray(np.full((32, 32, 3), 20 * number, np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{'Female' if number % 2 else 'Male'}")
    (folder / "labels.csv").write_text("\n".join(lines[:9]) + "\n")
    (folder / "choose.csv").write_text("\n".join([lines[0], *lines[9:]]) + "\n")
    torchrun = [f"{sysconfig.get_path('scripts')}/torchrun", "--nproc-per-node", "2", "--no-python"]
    options = ["--init", "none", "--stages", "32:1:0.05-0.01", "--batch", "8", "--device", "cpu", "--quiet"]
    words = [script, "train", "gender", "labels.csv", "--choose", "choose.csv", "--out", "new.pth", *options]
    run(folder, *torchrun, *words, OMP_NUM_THREADS="1")
    assert (folder / "new.pth").exists()
    if sys.version_info >= (3, 11):  # before -P was added, Python itself looks into the current folder
        run(folder, sys.executable, "-P", "-m", "torch.distributed.run", *torchrun[1:], script, "train", "--help")


def test_the_folder_that_it_is_installed_in_can_be_the_current_one() -> None:
    """The program and its libraries are still found there, but last."""
    code = "import sys, democlass.cli; print(sys.path[-1])"
    source = REPOSITORY / "src"
    for path in (":", ".", str(source)):
        assert run(source, sys.executable, "-c", code, PYTHONPATH=path).strip() == str(source)
    assert run(source, sys.executable, "-m", "democlass", "--version", PYTHONPATH="").startswith("democlass ")


def test_child_processes_get_a_safe_environment(tmp_path: Path) -> None:
    code = "import os, democlass.cli; print(os.environ.get('PYTHONPATH'), os.environ['PYTHONSAFEPATH'])"
    source = str(REPOSITORY / "src")
    assert run(tmp_path, sys.executable, "-c", code, PYTHONPATH=f":{source}:lib").split() == [source, "1"]


def test_the_current_folder_may_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); sys.argv[1:] = ['--version']; from democlass.cli import main; main()"
    assert run(tmp_path / "gone", sys.executable, "-c", code, PYTHONPATH=f"{REPOSITORY / 'src'}:").startswith(
        "democlass"
    )
