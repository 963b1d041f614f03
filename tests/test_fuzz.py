"""`make fuzz`, on a small part: it finds nothing here, finds what is planted, and can be repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz import __main__ as command
from fuzz import images
from fuzz.findings import Findings
from fuzz.http_requests import request
from fuzz.images import judge
from fuzz.mutations import mutant
from fuzz.plain import FAILED, NOTHING, PIXELS, REFUSED
from fuzz.seeds import seeds

SEED = 14


def test_a_part_of_the_images_finds_nothing(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "findings", SEED)
    state = images.run(SEED, range(90), 2, findings, lambda count: None)
    assert not findings.kinds, findings.lines()
    assert sum(state.outcomes.values()) == 90
    assert state.outcomes["read"] > 10 and state.outcomes["damaged image"] > 5


def test_a_finding_is_kept_and_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "judge", lambda ours, plain: "planted")
    assert command.main(["--seed", "3", "--image", "7", "--workers", "1", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "seed 3" in said and "1 x planted" in said
    (kept,) = tmp_path.glob("*.json")
    described = json.loads(kept.read_text())
    assert (described["kind"], described["seed"], described["number"]) == ("planted", 3, 7)
    assert kept.with_suffix(".bin").read_bytes() == mutant(3, 7).content


def test_a_seed_always_makes_the_same_images_and_requests() -> None:
    assert [mutant(1, n) for n in range(30)] == [mutant(1, n) for n in range(30)]
    assert [request(1, n) for n in range(30)] == [request(1, n) for n in range(30)]
    assert mutant(1, 5) != mutant(2, 5) and request(1, 5) != request(2, 5)


def test_one_image_in_a_hundred_is_sound() -> None:
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
    ("ours", "plain", "wrong"),
    [
        ((PIXELS, b"abc"), (PIXELS, b"abc"), None),
        ((PIXELS, b"abc"), (PIXELS, b"abd"), "other pixels than plain Pillow's"),
        ((PIXELS, b"abc"), (FAILED, b"OSError"), "read, though plain Pillow fails"),
        ((PIXELS, b"abc"), (REFUSED, b"floats"), "read, though it is to be refused"),
        ((PIXELS, b"abc"), (NOTHING, b"crashed"), None),
        ((FAILED, ERROR), (FAILED, b"OSError"), None),
        ((FAILED, ERROR), (NOTHING, b"crashed"), None),
        ((FAILED, ERROR), (PIXELS, b"abc"), "refused, though plain Pillow reads it: damaged image"),
        ((FAILED, b"timed out: 60 s"), (PIXELS, b"abc"), None),
        (
            (FAILED, b"x: <BytesIO at 0x7f86f4cbab60>"),
            (FAILED, b""),
            "an error with a memory address, which is another",
        ),
        ((FAILED, b"damaged image: a\nb"), (FAILED, b""), "an error that is no short line"),
        ((FAILED, b"damaged image: " + b"b" * 500), (FAILED, b""), "an error that is no short line"),
    ],
)
def test_verdicts_are_judged_beside_plain_pillows(
    ours: tuple[bytes, bytes], plain: tuple[bytes, bytes], wrong: str | None
) -> None:
    found = judge(ours, plain)
    assert found is None if wrong is None else found is not None and found.startswith(wrong)
