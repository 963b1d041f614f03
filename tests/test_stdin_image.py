"""`classify --stdin-image`: one image on standard input. Also: an image where a list of names is expected."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import EXAMPLES, Run, environment
from democlass.cli.stdin_image import read_image, refuse_image
from democlass.errors import DemoclassError, UsageError

pytestmark = pytest.mark.slow

HOPPER = EXAMPLES / "grace_hopper.jpg"

# This program fails if it decodes an image in its own process.
NO_DECODING_HERE = """
import sys
from democlass.cli import main
from democlass.images.isolation import Decoding
def refuse(*_): raise AssertionError("decoded in the parent process")
Decoding.__call__ = refuse
main()
"""


def test_an_image_gets_the_same_row_as_its_file_and_is_decoded_in_a_child_process(
    classify_here: Run, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(NO_DECODING_HERE)
    with HOPPER.open("rb") as image:
        piped = subprocess.run(
            [sys.executable, "main.py", "-", "--stdin-image", "--quiet"],
            cwd=tmp_path, env=environment(), stdin=image, capture_output=True, timeout=120,
        )  # fmt: skip
    named = classify_here(HOPPER)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert json.loads(piped.stdout) == json.loads(named.stdout) | {"path": "-"}


def test_an_image_over_a_limit_gets_an_error_row(classify_tiny: Run, tmp_path: Path) -> None:
    result = classify_tiny("--stdin-image", "--max-pixels", "1000", "--out", "r.jsonl", input=HOPPER.read_bytes())
    assert result.returncode == 3 and result.stdout == b""
    row = json.loads((tmp_path / "r.jsonl").read_bytes())
    assert (row["path"], row["status"], row["error"].partition(":")[0]) == ("-", "error", "too many pixels")


def test_endless_input_is_refused() -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(DemoclassError, match="over 1,056,576 bytes"):
        read_image(endless, max_pixels=1000)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.jpg"], "give no PATH, or only -"),
        (["-", "-"], "give no PATH, or only -"),
        (["--out", "r.csv", "--resume"], "--resume"),
    ],
)
def test_paths_and_resuming_are_refused(words: list[str], message: str, classify_tiny: Run) -> None:
    result = classify_tiny("--stdin-image", *words, input=b"")
    assert result.returncode == 2 and message in result.stderr.decode() and result.stderr.count(b"\n") == 1


def test_an_image_in_place_of_names_is_refused_with_advice(classify_tiny: Run, tmp_path: Path) -> None:
    message = b"standard input is an image (JPEG), not a list of names: use classify --stdin-image"
    for words in (["--format", "table"], ["--out", "r.jsonl"]):
        result = classify_tiny("-", *words, input=HOPPER.read_bytes())
        assert result.returncode == 2 and result.stdout == b"" and message in result.stderr
    assert os.listdir(tmp_path) == []


def test_images_are_recognised_by_their_first_bytes_and_names_are_not() -> None:
    images = [
        HOPPER.read_bytes(),
        (EXAMPLES / "astronaut.png").read_bytes(),
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"\0\0\0\x18ftypavif",
    ]
    names = [b"", b"a.jpg\n", b"BM.bmp\n", b"GIF89a.gif\0", b"RIFF.webp\nWEBP\n", b"xyz/ftp/a.jpg\n"]
    kinds = ["JPEG", "PNG", "TIFF", "TIFF", "WebP", "HEIC or AVIF"]
    for image, kind in zip(images, kinds, strict=True):
        with pytest.raises(UsageError, match=re.escape(f"an image ({kind}), not a list of names")):
            refuse_image(io.BufferedReader(io.BytesIO(image)))
    for start in names:
        stream = io.BufferedReader(io.BytesIO(start))
        refuse_image(stream)
        assert stream.read() == start
