"""The recipe of a training: parsing stages, ranges of numbers, and the schedule."""

from __future__ import annotations

import pytest

from democlass.errors import UsageError
from democlass.train.recipe import Recipe, Stage
from democlass.train.schedule import Schedule


@pytest.mark.parametrize(
    "text",
    [
        *("", "224", "224:1:0.1", "16:1:0.1-0.01", "224:0:0.1-0.01", "224:1:0.01-0.1", "a:b:c-d", "224:1:0.1-0.01,"),
        *("224:nan:0.1-0.01", "224:1e9:0.1-0.01", "224:1e999:0.1-0.01", "224:1:nan-nan", "224:1:1e999-0.1"),
        *("224:1:-0.1--0.2", "224:1:0-0", "224:1:1000-0", "9" * 5000 + ":1:0.1-0.01"),
    ],
)
def test_invalid_stages_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--stages"):
        Stage.parse(text)


def test_learning_rates_may_have_an_exponent() -> None:
    assert Stage.parse("224:2.5:1e-2-2E-4") == Stage(224, 2.5, 0.01, 0.0002)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch", 0), ("batch", -8), ("average", 2.0), ("smoothing", float("nan")), ("prior", float("nan"))),
        *(("teacher_weight", 2.0), ("feature_weight", float("inf")), ("seed", -1), ("seed", 2**64)),
        ("decay", -1.0),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {value}: it must be"):
        Recipe((Stage(32, 1, 0.1, 0.1),), **{name: value})  # type: ignore[arg-type]


def test_the_learning_rate_falls_in_each_stage_and_each_epoch_is_validated() -> None:
    recipe = Recipe((Stage(64, 2, 0.1, 0.01), Stage(96, 1.4, 0.05, 0.0)))
    schedule = Schedule.from_recipe(recipe, steps_per_epoch=10)
    assert schedule.sizes == [64] * 20 + [96] * 14 and len(schedule) == 34
    assert schedule.rates[0] == 0.1 and schedule.rates[20] == 0.05
    assert schedule.rates[:20] == sorted(schedule.rates[:20], reverse=True) and schedule.rates[19] > 0.01
    assert schedule.validations == {10, 20, 34}  # 0.4 epochs after step 30 are too few for a validation there
