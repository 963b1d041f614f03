"""Labels files: read as they come, nothing left out in silence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from democlass.errors import UsageError
from democlass.inputs.labels import LabelSet, Names, read_labels
from democlass.tasks import TASKS

GENDER, RACE = TASKS


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def said(label_set: LabelSet, folder: Path) -> list[tuple[str, dict[str, str]]]:
    return [(str(Path(example.path).relative_to(folder)), dict(example.labels)) for example in label_set.examples]


PLAIN = "path,gender,race\na.jpg,Male,White\nb.jpg,Female,Black\n"
BOTH = [("a.jpg", {"gender": "Male", "race": "White"}), ("b.jpg", {"gender": "Female", "race": "Black"})]


def test_fairfaces_own_file_is_read_as_it_is(tmp_path: Path) -> None:
    text = "file,age,gender,race\nval/1.jpg,3-9,Male,East Asian\nval/2.jpg,30-39,Female,Latino_Hispanic\n"
    label_set = read_labels(write(tmp_path / "val.csv", text))
    assert [example.path for example in label_set.examples] == [str(tmp_path / f"val/{n}.jpg") for n in (1, 2)]
    assert [dict(example.labels) for example in label_set.examples] == [
        {"gender": "Male", "race": "Asian"}, {"gender": "Female", "race": "Latino_Hispanic"}
    ]  # fmt: skip
    assert not label_set.lacking


def test_parquet_and_another_root(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["a.jpg"], "race": ["Middle Eastern"]}).to_parquet(tmp_path / "labels.parquet")
    (example,) = read_labels(tmp_path / "labels.parquet", root=Path("/data")).of(RACE)
    assert (example.path, example.labels["race"]) == ("/data/a.jpg", "Middle_Eastern")


def test_other_names_are_mapped(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "img_name,sex,group\na.jpg,f,B\n")
    names = Names.parse(["path=img_name", "gender=Sex", "race=group", "gender:f=female", "race:b=Black"])
    (example,) = read_labels(file, names=names).examples
    assert dict(example.labels) == {"gender": "Female", "race": "Black"}


@pytest.mark.parametrize(
    "content",
    [PLAIN, *(PLAIN.replace(",", other) for other in ";\t|"), *(PLAIN.replace("\n", end) for end in ("\r\n", "\r")),
     PLAIN.encode("utf-8-sig"), PLAIN.encode("utf-16"), b"\xfe\xff" + PLAIN.encode("utf-16-be"),
     gzip.compress(PLAIN.encode()), "\n" + PLAIN.replace("\n", "\n\n"), PLAIN.replace("\n", ",\n"),
     "path, Gender ,RACE\na.jpg, male , White\nb.jpg, Female ,black\n",
     '"path" ; "gender" ; "race"\n"a.jpg" ; "MALE" ; "white"\n b.jpg ; female ; "Black" \n',
     'race,"file\nname",path,gender\nwhite,"1,\n2",a.jpg,male\nBLACK,,b.jpg,FEMALE\n'],
    ids=range(15),
)  # fmt: skip
def test_the_usual_variants_of_csv_are_understood(content: str | bytes, tmp_path: Path) -> None:
    label_set = read_labels(write(tmp_path / "x.csv", content))
    assert said(label_set, tmp_path) == BOTH
    assert not label_set.lacking


def test_a_path_is_text_whatever_it_looks_like(tmp_path: Path) -> None:
    paths = ["NA", "null", "None", "nan", "001", "1e5", " spaced ", "with\nline", "a,b.jpg", "caf\udce9.jpg"]
    lines = "".join(f'"{path}",Male\n' for path in paths)
    file = write(tmp_path / "x.csv", f"path,gender\n{lines},Male\n".encode("utf-8", "surrogateescape"))
    label_set = read_labels(file)
    assert [path for path, _ in said(label_set, tmp_path)] == paths
    assert dict(label_set.lacking) == {"no path": 1}


def test_a_missing_label_may_be_mapped(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "path,race\na.jpg,NA\nb.jpg,null\n")
    label_set = read_labels(file, names=Names.parse(["race:NA=black"]))
    assert said(label_set, tmp_path) == [("a.jpg", {"race": "Black"}), ("b.jpg", {})]


def test_an_image_that_several_rows_name_counts_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(".")
    lines = ["a.jpg,Male,White", "./a.jpg,Male,White", "d//../a.jpg,male,", f"/{tmp_path}/link/a.jpg,Male,white",
             "b.jpg,,Black", "b.jpg,Female,"]  # fmt: skip
    label_set = read_labels(write(tmp_path / "x.csv", "\n".join(["path,gender,race", *lines])))
    assert said(label_set, tmp_path) == BOTH
    assert label_set.lacking["an image that another row names: it counts once"] == 4


def test_labels_that_contradict_each_other_are_not_used(tmp_path: Path) -> None:
    lines = ["a.jpg,Male,White", "a.jpg,Male,Black", "./a.jpg,Male,White", "b.jpg,Female,Black"]
    label_set = read_labels(write(tmp_path / "x.csv", "\n".join(["path,gender,race", *lines])), root=Path())
    assert [(example.path, dict(example.labels)) for example in label_set.examples] == [
        ("a.jpg", {"gender": "Male"}), BOTH[1]
    ]  # fmt: skip
    assert dict(label_set.lacking) == {
        "race contradicts another row of the same image, neither is used (first: a.jpg)": 2
    }


def test_rows_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "path,gender\nmy, holiday.jpg,Male\na.jpg,Male\nb.jpg\n"
    label_set = read_labels(write(tmp_path / "x.csv", text))
    assert said(label_set, tmp_path) == [("a.jpg", {"gender": "Male"}), ("b.jpg", {})]
    assert dict(label_set.lacking) == {"more cells than columns": 1, "no label for gender": 1}


def test_very_many_unknown_labels_are_counted_together(tmp_path: Path) -> None:
    lines = "".join(f"{number}.jpg,{number}{'x' * 1000}\n" for number in range(300))
    lacking = read_labels(write(tmp_path / "x.csv", f"path,gender\n{lines}a.jpg,\n")).lacking
    assert len(lacking) == 22 and lacking.total() == 301
    assert lacking["another gender that is no label of ours"] == 280
    assert max(map(len, lacking)) < 100


def test_parquet_of_other_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"path": ["a.jpg", "b.jpg"], "gender": pd.Categorical(["Male", "Female"]), "race": [1.0, None]}
    )
    frame["race"] = frame["race"].astype(float)
    frame.set_index("path").to_parquet(tmp_path / "labels.PARQUET")
    label_set = read_labels(tmp_path / "labels.PARQUET", names=Names.parse(["race:1=White"]))
    assert said(label_set, tmp_path) == [BOTH[0], ("b.jpg", {"gender": "Female"})]
    pd.DataFrame({"path": [b"a.jpg", None, b"c\0"], "gender": [b"Male"] * 3}).to_parquet(tmp_path / "bytes.csv")
    label_set = read_labels(tmp_path / "bytes.csv")
    assert said(label_set, tmp_path) == [("a.jpg", {"gender": "Male"})]
    assert dict(label_set.lacking) == {"no path": 1, "a path with a NUL character": 1}


def test_parquet_that_does_not_serve(tmp_path: Path) -> None:
    pd.DataFrame({"image": [{"bytes": b"", "path": "a"}], "gender": ["Male"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match=r"its column image holds struct<.*, no text"):
        read_labels(tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    for content in (PLAIN.encode(), whole[:-30], b"PAR1" + bytes(99)):
        with pytest.raises(UsageError, match="no Parquet file, or damaged"):
            read_labels(write(tmp_path / "torn.parquet", content))


def test_what_is_missing_or_not_ours_is_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "path,gender,race\na.jpg,,White\nb.jpg,Male,Martian\n,Male,White\nc.jpg,NA,NA\n")
    label_set = read_labels(file)
    assert dict(label_set.lacking) == {
        "no label for gender": 2, "race 'Martian' is no label of ours": 1, "no path": 1, "no label for race": 1
    }  # fmt: skip
    assert [len(label_set.of(task)) for task in TASKS] == [1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [("name,gender\na.jpg,Male\n", r"no column of paths .*: its columns are name, gender; give --map path=COLUMN$"),
     ("path,age\na.jpg,3\n", r"no column of labels .*path, age; give --map gender=COLUMN --map race=COLUMN$"),
     ("name,age\na.jpg,3\n", r"no column of paths .* and no column of labels .*name, age; give .*path.*gender.*race"),
     (",".join(f"c{n}" for n in range(500)), r"c0, c1, .*, c19 and 480 more; give"),
     ("path,race\na.jpg,White\n", "no label for perceived gender: its columns are path, race; see --map gender="),
     ("path,gender,gender\na.jpg,Male,Female\n", "several columns gender, gender: rename one"),
     ("path,Gender,GENDER\na.jpg,Male,Female\n", "several columns Gender, GENDER: give --map gender=COLUMN"),
     ("", "no table of labels: it is empty"), ("\n \n", "no table of labels: it is empty"),
     ('path,gender\n"a.jpg,Male\nb.jpg,Male\n', "line 3: unexpected end of data"),
     (f"path,gender\n{'x' * 200_000},Male\n", "line 2: field larger"),
     (bytes(range(256)), "it is not text"), (PLAIN.encode("utf-16-le"), "it is not text"),
     (PLAIN.encode("utf-16")[:-1], "not valid UTF-16"),
     (PLAIN.encode() * 1000 + bytes(9), r"line 3,001 has a NUL character"),
     (gzip.compress(PLAIN.encode() * 1000)[:-30], "compressed data can't be read to the end")],
    ids=range(16),
)  # fmt: skip
def test_files_that_do_not_serve(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_labels(write(tmp_path / "x.csv", text)).of(GENDER)


def test_columns_that_are_mapped_to_and_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column sex \(--map gender=sex\): it has path, gender, race"):
        read_labels(write(tmp_path / "x.csv", PLAIN), names=Names.parse(["gender=sex"]))


def test_maps_that_contradict_each_other() -> None:
    for words in (["gender=a", "gender=b"], ["race:x=White", "race:X=Black"]):
        with pytest.raises(UsageError, match="another --map says"):
            Names.parse(words)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"can't read nowhere\.csv"):
        read_labels(Path("nowhere.csv"))


@pytest.mark.parametrize(
    "word", ["race", "age=years", "race:x=Martian", "path:x=y", "path=", "race=", "race:=White", "race:x=", "race:x"]
)
def test_maps_that_are_none(word: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        Names.parse([word])
