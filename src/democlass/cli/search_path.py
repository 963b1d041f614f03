"""Where the command imports modules from: never from the current folder, which may hold files of strangers.

`python -m democlass`, and an empty or relative entry of PYTHONPATH, put the current folder before the standard library.
Importing this module takes such entries off `sys.path`. The command does so first, and nothing is imported here that
Python has not loaded when it starts. Processes that the command starts get an environment without such entries.
"""

import os
import sys

_OWN = os.path.abspath(os.path.join(__file__, *[os.pardir] * 3))


def _safe(path: list[str], given: list[str]) -> list[str]:
    """Return `sys.path` without the current folder, and without what PYTHONPATH, `given`, names relative to it."""
    try:
        current = os.path.realpath(os.getcwd())
    except OSError:  # deleted: nothing is there
        return [entry for entry in path if os.path.isabs(entry)]
    unsafe = {
        os.path.abspath(entry) for entry in given if not os.path.isabs(entry) or os.path.realpath(entry) == current
    }
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None and main.name.startswith("democlass.") and not getattr(sys.flags, "safe_path", False):
        unsafe.add(os.path.abspath(path[0]))
        path = path[1:]  # the current folder, put there by -m
    kept = [entry for entry in path if os.path.isabs(entry) and os.path.abspath(entry) not in unsafe]
    # Where the command is run in the very folder that it is installed in, that folder is needed: as the last one.
    return kept + [entry for entry in _installed() if entry in unsafe and entry not in kept]


def _installed() -> list[str]:
    site = sys.modules.get("site")
    return [_OWN, *(site.getsitepackages() if site else [])]


_given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if _given == [""] or sys.flags.ignore_environment:
    _given = []
sys.path[:] = _safe(sys.path, _given)

os.environ["PYTHONSAFEPATH"] = "1"  # for what the command starts, in Python 3.11 and later
os.environ.pop("PYTHONPATH", None)
if _kept := [entry for entry in _given if entry in sys.path]:
    os.environ["PYTHONPATH"] = os.pathsep.join(_kept)
