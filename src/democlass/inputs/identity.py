"""When two names mean the same file: they lead to one entry of one folder.

`a.jpg`, `./a.jpg`, `sub/../a.jpg` and the absolute path are the same, and so are names through links to the folder. A
link to a file is an entry of its own, as it has a row of its own.
"""

from __future__ import annotations

import os
from functools import lru_cache
from hashlib import blake2b

from democlass.inputs.compact import DIGEST_SIZE


def current_folder() -> str:
    """Return the folder that relative names are relative to now, as an absolute path."""
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return os.environ.get("PWD", "/")


def file_key(name: str, folder: str) -> bytes:
    """Return a digest of the file that a name means; a relative name is relative to `folder`, an absolute path."""
    parent, slash, last = name.rpartition("/")
    if last in ("", ".", "..") or "\0" in name:
        return _digest(_resolved(folder, name))
    return _digest(_resolved(folder, parent + slash) + "/" + last)


@lru_cache(maxsize=1024)
def _resolved(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    return path if "\0" in path else os.path.realpath(path)  # no file has a NUL character in its name


def _digest(path: str) -> bytes:
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()
