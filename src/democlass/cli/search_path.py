"""Keeps the command from importing modules from the current folder, which may hold untrusted files.

`python -m democlass`, and an empty or relative entry of PYTHONPATH, put the current folder before the standard library.
Importing this module removes such entries from `sys.path`. The command imports it first. This module itself imports
only modules that Python has loaded at its start. Processes that the command starts inherit a safe environment.
"""

import os
import sys

_SOURCE = os.path.abspath(os.path.join(__file__, *[os.pardir] * 3))


def _safe(path: list[str], python_path: list[str]) -> list[str]:
    """Return `sys.path` without the current folder and without the relative entries of PYTHONPATH."""
    try:
        current = os.path.realpath(os.getcwd())
    except OSError:  # the current folder was deleted
        return [entry for entry in path if os.path.isabs(entry)]
    unsafe = {
        os.path.abspath(entry)
        for entry in python_path
        if not os.path.isabs(entry) or os.path.realpath(entry) == current
    }
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None and main.name.startswith("democlass.") and not getattr(sys.flags, "safe_path", False):
        unsafe.add(os.path.abspath(path[0]))
        path = path[1:]  # the current folder, put there by -m
    kept = [entry for entry in path if os.path.isabs(entry) and os.path.abspath(entry) not in unsafe]
    # If the current folder is the one that the command is installed in, it is needed; it comes last.
    return kept + [entry for entry in _installed() if entry in unsafe and entry not in kept]


def _installed() -> list[str]:
    site = sys.modules.get("site")
    return [_SOURCE, *(site.getsitepackages() if site else [])]


_python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if _python_path == [""] or sys.flags.ignore_environment:
    _python_path = []
sys.path[:] = _safe(sys.path, _python_path)

os.environ["PYTHONSAFEPATH"] = "1"  # for child processes; Python 3.11 and later read it
os.environ.pop("PYTHONPATH", None)
if _kept := [entry for entry in _python_path if entry in sys.path]:
    os.environ["PYTHONPATH"] = os.pathsep.join(_kept)
