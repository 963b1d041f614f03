"""Whether two names mean the same file: they lead to the same entry of the same folder.

`a.jpg`, `./a.jpg`, `sub/../a.jpg` and the absolute path are the same file, and so are paths through symbolic links to
the folder. A symbolic link to a file is a different file, because it has its own row.
"""

from __future__ import annotations

import os
from functools import lru_cache
from hashlib import blake2b

from democlass.inputs.compact import DIGEST_SIZE


def current_folder() -> str:
    """Return the current folder as an absolute path, even if it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return os.environ.get("PWD", "/")


def file_key(name: str, folder: str) -> bytes:
    """Return a digest that is equal for all names of the same file.

    Relative names are relative to `folder`, which is an absolute path.
    """
    parent, slash, last = name.rpartition("/")
    if last in ("", ".", "..") or "\0" in name:
        return _digest(_resolve(folder, name))
    return _digest(_resolve(folder, parent + slash) + "/" + last)


@lru_cache(maxsize=1024)
def _resolve(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    return path if "\0" in path else os.path.realpath(path)  # realpath fails on NUL, which no file name contains


def _digest(path: str) -> bytes:
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()
