"""Labels files: read as they come, nothing left out in silence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from democlass.errors import UsageError
from democlass.tasks import TASKS
from democlass.truth import Names, read_truth

GENDER, RACE = TASKS


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_fairfaces_own_file_is_read_as_it_is(tmp_path: Path) -> None:
    text = "file,age,gender,race\nval/1.jpg,3-9,Male,East Asian\nval/2.jpg,30-39,Female,Latino_Hispanic\n"
    truth = read_truth(write(tmp_path / "val.csv", text))
    assert [example.path for example in truth.examples] == [str(tmp_path / f"val/{n}.jpg") for n in (1, 2)]
    assert [dict(example.labels) for example in truth.examples] == [
        {"gender": "Male", "race": "Asian"}, {"gender": "Female", "race": "Latino_Hispanic"}
    ]  # fmt: skip
    assert not truth.lacking


def test_parquet_and_another_root(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["a.jpg"], "race": ["Middle Eastern"]}).to_parquet(tmp_path / "labels.parquet")
    (example,) = read_truth(tmp_path / "labels.parquet", root=Path("/data")).of(RACE)
    assert (example.path, example.labels["race"]) == ("/data/a.jpg", "Middle_Eastern")


def test_other_names_are_mapped(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "img_name,sex,group\na.jpg,f,B\n")
    names = Names.parse(["path=img_name", "gender=sex", "race=group", "gender:f=Female", "race:b=Black"])
    (example,) = read_truth(file, names=names).examples
    assert dict(example.labels) == {"gender": "Female", "race": "Black"}


def test_what_is_missing_or_not_ours_is_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "path,gender,race\na.jpg,,White\nb.jpg,Male,Martian\n,Male,White\nc.jpg,NA,NA\n")
    truth = read_truth(file)
    assert dict(truth.lacking) == {
        "no label for gender": 2, "race 'Martian' is no label of ours": 1, "no path": 1, "no label for race": 1
    }  # fmt: skip
    assert [len(truth.of(task)) for task in TASKS] == [1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [("name,gender\na.jpg,Male\n", "no column path: it has name, gender"), ("", "no table of labels"),
     ("path,age\na.jpg,3\n", "no label for perceived gender")],
)  # fmt: skip
def test_files_that_do_not_serve(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_truth(write(tmp_path / "x.csv", text)).of(GENDER)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"can't read nowhere\.csv"):
        read_truth(Path("nowhere.csv"))


@pytest.mark.parametrize("word", ["race", "age=years", "race:x=Martian", "path:x=y"])
def test_maps_that_are_none(word: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        Names.parse([word])
