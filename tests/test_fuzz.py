"""A small part of `make fuzz`: it has no findings, it reports planted ones, and it is reproducible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz import __main__ as command
from fuzz import images
from fuzz.findings import Findings
from fuzz.http_requests import request
from fuzz.images import compare
from fuzz.mutations import mutant
from fuzz.reference import FAILED, PIXELS, REJECTED, UNKNOWN
from fuzz.seeds import seeds

SEED = 14


@pytest.mark.slow
def test_some_damaged_images_give_no_findings(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "findings", SEED)
    run = images.run(SEED, range(90), 2, findings, lambda count: None)
    assert not findings.kinds, findings.summary()
    assert sum(run.outcomes.values()) == 90
    assert run.outcomes["decoded"] > 10 and run.outcomes["damaged image"] > 5


@pytest.mark.slow
def test_a_finding_is_written_and_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "compare", lambda ours, reference: "planted")
    assert command.main(["--seed", "3", "--image", "7", "--workers", "1", "--out", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "seed 3" in output and "1 x planted" in output
    (path,) = tmp_path.glob("*.json")
    document = json.loads(path.read_text())
    assert (document["kind"], document["seed"], document["number"]) == ("planted", 3, 7)
    assert path.with_suffix(".bin").read_bytes() == mutant(3, 7).content


def test_the_same_seed_gives_the_same_images_and_requests() -> None:
    assert [mutant(1, n) for n in range(30)] == [mutant(1, n) for n in range(30)]
    assert [request(1, n) for n in range(30)] == [request(1, n) for n in range(30)]
    assert mutant(1, 5) != mutant(2, 5) and request(1, 5) != request(2, 5)


def test_one_image_in_a_hundred_is_valid() -> None:
    cases = [mutant(SEED, n) for n in range(201)]
    assert all(bool(case.damage) == bool(case.number % 100) for case in cases)
    assert cases[200].content in seeds()[cases[200].format]


def test_requests_are_bounded() -> None:
    cases = [request(SEED, n) for n in range(500)]
    assert len({case.damage[0] for case in cases}) > 10
    assert max(len(case.content) for case in cases) < 8_000_000
    assert max(sum(pause for _, pause in case.pieces) for case in cases) < 4


ERROR = b"damaged image: broken data stream"


@pytest.mark.parametrize(
    ("ours", "reference", "problem"),
    [
        ((PIXELS, b"abc"), (PIXELS, b"abc"), None),
        ((PIXELS, b"abc"), (PIXELS, b"abd"), "pixels differ from plain Pillow's"),
        ((PIXELS, b"abc"), (FAILED, b"OSError"), "decoded, but plain Pillow fails"),
        ((PIXELS, b"abc"), (REJECTED, b"floats"), "decoded, but must be rejected"),
        ((PIXELS, b"abc"), (UNKNOWN, b"crashed"), None),
        ((FAILED, ERROR), (FAILED, b"OSError"), None),
        ((FAILED, ERROR), (UNKNOWN, b"crashed"), None),
        ((FAILED, ERROR), (PIXELS, b"abc"), "rejected, but plain Pillow decodes it: damaged image"),
        ((FAILED, b"timed out: 60 s"), (PIXELS, b"abc"), None),
        (
            (FAILED, b"x: <BytesIO at 0x7f86f4cbab60>"),
            (FAILED, b""),
            "an error with a memory address",
        ),
        ((FAILED, b"damaged image: a\nb"), (FAILED, b""), "an error that is not one short line"),
        ((FAILED, b"damaged image: " + b"b" * 500), (FAILED, b""), "an error that is not one short line"),
    ],
)
def test_results_are_compared_with_plain_pillow(
    ours: tuple[bytes, bytes], reference: tuple[bytes, bytes], problem: str | None
) -> None:
    found = compare(ours, reference)
    assert found is None if problem is None else found is not None and found.startswith(problem)
