"""Labels files in all usual variants; rows that are not used are counted."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from democlass.errors import UsageError
from democlass.inputs.label_mapping import LabelMapping
from democlass.inputs.labels import LabelSet, read_labels
from democlass.tasks import TASKS

GENDER, RACE = TASKS


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def labelled(label_set: LabelSet, folder: Path) -> list[tuple[str, dict[str, str]]]:
    return [(str(Path(example.path).relative_to(folder)), dict(example.labels)) for example in label_set.examples]


PLAIN = "path,gender,race\na.jpg,Male,White\nb.jpg,Female,Black\n"
BOTH = [("a.jpg", {"gender": "Male", "race": "White"}), ("b.jpg", {"gender": "Female", "race": "Black"})]


def test_fairface_files_need_no_mapping(tmp_path: Path) -> None:
    text = "file,age,gender,race\nval/1.jpg,3-9,Male,East Asian\nval/2.jpg,30-39,Female,Latino_Hispanic\n"
    label_set = read_labels(write(tmp_path / "val.csv", text))
    assert [example.path for example in label_set.examples] == [str(tmp_path / f"val/{n}.jpg") for n in (1, 2)]
    assert [dict(example.labels) for example in label_set.examples] == [
        {"gender": "Male", "race": "Asian"}, {"gender": "Female", "race": "Latino_Hispanic"}
    ]  # fmt: skip
    assert not label_set.excluded


def test_parquet_with_another_root(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["a.jpg"], "race": ["Middle Eastern"]}).to_parquet(tmp_path / "labels.parquet")
    (example,) = read_labels(tmp_path / "labels.parquet", root=Path("/data")).of(RACE)
    assert (example.path, example.labels["race"]) == ("/data/a.jpg", "Middle_Eastern")


def test_map_renames_columns_and_labels(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "img_name,sex,group\na.jpg,f,B\n")
    mapping = LabelMapping.parse(["path=img_name", "gender=Sex", "race=group", "gender:f=female", "race:b=Black"])
    (example,) = read_labels(file, mapping=mapping).examples
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
def test_variants_of_csv_have_the_same_content(content: str | bytes, tmp_path: Path) -> None:
    label_set = read_labels(write(tmp_path / "x.csv", content))
    assert labelled(label_set, tmp_path) == BOTH
    assert not label_set.excluded


def test_paths_that_look_like_missing_values_or_numbers_are_text(tmp_path: Path) -> None:
    paths = ["NA", "null", "None", "nan", "001", "1e5", " spaced ", "with\nline", "a,b.jpg", "caf\udce9.jpg"]
    lines = "".join(f'"{path}",Male\n' for path in paths)
    file = write(tmp_path / "x.csv", f"path,gender\n{lines},Male\n".encode("utf-8", "surrogateescape"))
    label_set = read_labels(file)
    assert [path for path, _ in labelled(label_set, tmp_path)] == paths
    assert dict(label_set.excluded) == {"no path": 1}


def test_map_can_give_a_meaning_to_na(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "path,race\na.jpg,NA\nb.jpg,null\n")
    label_set = read_labels(file, mapping=LabelMapping.parse(["race:NA=black"]))
    assert labelled(label_set, tmp_path) == [("a.jpg", {"race": "Black"}), ("b.jpg", {})]


def test_different_spellings_of_a_path_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(".")
    lines = ["a.jpg,Male,White", "./a.jpg,Male,White", "d//../a.jpg,male,", f"/{tmp_path}/link/a.jpg,Male,white",
             "b.jpg,,Black", "b.jpg,Female,"]  # fmt: skip
    label_set = read_labels(write(tmp_path / "x.csv", "\n".join(["path,gender,race", *lines])))
    assert labelled(label_set, tmp_path) == BOTH
    assert label_set.excluded["duplicate of another row; the image counts once"] == 4


def test_different_labels_of_one_image_are_not_used(tmp_path: Path) -> None:
    lines = ["a.jpg,Male,White", "a.jpg,Male,Black", "./a.jpg,Male,White", "b.jpg,Female,Black"]
    label_set = read_labels(write(tmp_path / "x.csv", "\n".join(["path,gender,race", *lines])), root=Path())
    assert [(example.path, dict(example.labels)) for example in label_set.examples] == [
        ("a.jpg", {"gender": "Male"}), BOTH[1]
    ]  # fmt: skip
    assert dict(label_set.excluded) == {
        "different race in another row of the same image; none is used (first: a.jpg)": 2
    }


def test_rows_with_too_many_cells_are_counted(tmp_path: Path) -> None:
    text = "path,gender\nmy, holiday.jpg,Male\na.jpg,Male\nb.jpg\n"
    label_set = read_labels(write(tmp_path / "x.csv", text))
    assert labelled(label_set, tmp_path) == [("a.jpg", {"gender": "Male"}), ("b.jpg", {})]
    assert dict(label_set.excluded) == {"more cells than columns": 1, "no label for gender": 1}


def test_many_unknown_labels_are_counted_together(tmp_path: Path) -> None:
    lines = "".join(f"{number}.jpg,{number}{'x' * 1000}\n" for number in range(300))
    excluded = read_labels(write(tmp_path / "x.csv", f"path,gender\n{lines}a.jpg,\n")).excluded
    assert len(excluded) == 22 and excluded.total() == 301
    assert excluded["other unknown gender"] == 280
    assert max(map(len, excluded)) < 100


def test_parquet_columns_of_other_types_are_converted(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"path": ["a.jpg", "b.jpg"], "gender": pd.Categorical(["Male", "Female"]), "race": [1.0, None]}
    )
    frame["race"] = frame["race"].astype(float)
    frame.set_index("path").to_parquet(tmp_path / "labels.PARQUET")
    label_set = read_labels(tmp_path / "labels.PARQUET", mapping=LabelMapping.parse(["race:1=White"]))
    assert labelled(label_set, tmp_path) == [BOTH[0], ("b.jpg", {"gender": "Female"})]
    pd.DataFrame({"path": [b"a.jpg", None, b"c\0"], "gender": [b"Male"] * 3}).to_parquet(tmp_path / "bytes.csv")
    label_set = read_labels(tmp_path / "bytes.csv")
    assert labelled(label_set, tmp_path) == [("a.jpg", {"gender": "Male"})]
    assert dict(label_set.excluded) == {"no path": 1, "a path with a NUL character": 1}


def test_parquet_with_nested_columns_or_damage_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"image": [{"bytes": b"", "path": "a"}], "gender": ["Male"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match=r"the column image holds struct<.*, not text"):
        read_labels(tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    for content in (PLAIN.encode(), whole[:-30], b"PAR1" + bytes(99)):
        with pytest.raises(UsageError, match="not a Parquet file, or is damaged"):
            read_labels(write(tmp_path / "torn.parquet", content))


def test_missing_and_unknown_labels_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "path,gender,race\na.jpg,,White\nb.jpg,Male,Martian\n,Male,White\nc.jpg,NA,NA\n")
    label_set = read_labels(file)
    assert dict(label_set.excluded) == {
        "no label for gender": 2, "unknown race 'Martian'": 1, "no path": 1, "no label for race": 1
    }  # fmt: skip
    assert [len(label_set.of(task)) for task in TASKS] == [1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [("name,gender\na.jpg,Male\n", r"no column of paths .*: its columns are name, gender; use --map path=COLUMN$"),
     ("path,age\na.jpg,3\n", r"no column of labels .*path, age; use --map gender=COLUMN --map race=COLUMN$"),
     ("name,age\na.jpg,3\n", r"no column of paths .* and no column of labels .*name, age; use .*path.*gender.*race"),
     (",".join(f"c{n}" for n in range(500)), r"c0, c1, .*, c19 and 480 more; use"),
     ("path,race\na.jpg,White\n", "no label for perceived gender: its columns are path, race; see --map gender="),
     ("path,gender,gender\na.jpg,Male,Female\n", "several columns for gender: gender, gender; rename one of them"),
     ("path,Gender,GENDER\na.jpg,Male,Female\n", "several columns for gender: Gender, GENDER; choose one with --map"),
     ("path,gender,Gender\na.jpg,Male,Female\n", "several columns for gender: gender, Gender; choose one with --map"),
     ("path,gender,Path\na.jpg,Male,b.jpg\n", "several columns for path: path, Path; choose one with --map"),
     ("", "not a labels file: it is empty"), ("\n \n", "not a labels file: it is empty"),
     ('path,gender\n"a.jpg,Male\nb.jpg,Male\n', "line 3: unexpected end of data"),
     (f"path,gender\n{'x' * 200_000},Male\n", "line 2: field larger"),
     (bytes(range(256)), "it is not text"), (PLAIN.encode("utf-16-le"), "it is not text"),
     (PLAIN.encode("utf-16")[:-1], "not valid UTF-16"),
     (PLAIN.encode() * 1000 + bytes(9), r"line 3,001 has a NUL character"),
     (gzip.compress(PLAIN.encode() * 1000)[:-30], "compressed data is incomplete")],
    ids=range(18),
)  # fmt: skip
def test_unusable_files_are_refused_with_the_reason(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read_labels(write(tmp_path / "x.csv", text)).of(GENDER)


def test_map_chooses_between_columns_that_differ_in_case(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "path,Gender,gender\na.jpg,Male,Female\n")
    for column, label in (("Gender", "Male"), ("gender", "Female")):
        (example,) = read_labels(file, mapping=LabelMapping.parse([f"gender={column}"])).examples
        assert example.labels["gender"] == label


def test_mapped_columns_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column sex \(--map gender=sex\): its columns are path, gender, race"):
        read_labels(write(tmp_path / "x.csv", PLAIN), mapping=LabelMapping.parse(["gender=sex"]))


def test_contradicting_map_options_are_refused() -> None:
    for arguments in (["gender=a", "gender=b"], ["race:x=White", "race:X=Black"]):
        with pytest.raises(UsageError, match="contradicts another --map"):
            LabelMapping.parse(arguments)


def test_missing_files_are_refused() -> None:
    with pytest.raises(UsageError, match=r"can't read nowhere\.csv"):
        read_labels(Path("nowhere.csv"))


@pytest.mark.parametrize(
    "argument",
    ["race", "age=years", "race:x=Martian", "path:x=y", "path=", "race=", "race:=White", "race:x=", "race:x"],
)
def test_invalid_map_options_are_refused(argument: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        LabelMapping.parse([argument])
