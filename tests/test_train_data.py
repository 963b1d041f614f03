"""The data of a training: images that can't be read, labels that are missing, images that are in both files."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from democlass.errors import CheckpointError, DemoclassError, OutputError, UsageError
from democlass.inputs.labels import Example, read_labels
from democlass.networks.checkpoint_files import save
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.tasks import TASKS
from democlass.train import checks
from democlass.train.checks import check_labels, count_common
from democlass.train.digests import labels_digest
from democlass.train.order import Order
from democlass.train.reader import Reader
from democlass.train.run import train
from democlass.train.start import build
from democlass.train.teacher import Teacher
from democlass.train.together import Share
from democlass.train.trainer import Progress
from training import (
    GENDER,
    TINY,
    EnoughError,
    make_faces,
    one_thread,
    order,
    run_tiny,
    same,
    save_teacher,
    stop,
    without,
    words,
)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return make_faces(tmp_path)


def damage(faces: Path) -> None:
    (faces / "labels3.png").write_bytes(b"no image")
    (faces / "labels7.png").unlink()
    (faces / "choose2.png").write_bytes((faces / "choose2.png").read_bytes()[:500])


def test_images_that_can_not_be_read_are_all_named_before_the_first_step(faces: Path) -> None:
    damage(faces)
    steps: list[Progress] = []
    with pytest.raises(UsageError, match=r"2 of 40 images of .*labels.csv can't be read") as found:
        train(order(faces, "new.pth"), steps.append)
    for said in ("labels3.png (not an image: ", "labels7.png (no such file: ", "--skip-unreadable"):
        assert said in str(found.value)
    assert not steps and not list(faces.glob("new.pth*"))


def test_one_unreadable_image_to_choose_by_is_found_before_the_first_step(faces: Path) -> None:
    (faces / "choose2.png").write_bytes(b"no image")
    steps: list[Progress] = []
    with pytest.raises(UsageError, match=r"1 of 16 images of .*choose.csv can't be read: .*choose2\.png"):
        train(order(faces, "new.pth"), steps.append)
    assert not steps


def test_many_unreadable_images_are_counted(faces: Path) -> None:
    for number in range(30):
        (faces / f"labels{number}.png").unlink()
    with pytest.raises(UsageError, match=r"30 of 40 images .*labels19\.png \([^)]*\) and 10 more\. "):
        train(order(faces, "new.pth"))


def test_skipped_images_are_listed_and_the_rest_is_a_training_of_its_own(faces: Path) -> None:
    damage(faces)
    done = run_tiny(*words(faces, "new.pth", "--skip-unreadable", "--stages", "32:2:0.05-0.01", "--seed", "0"))
    assert done.returncode == 0, done.stderr
    assert f"warning: 2 of 40 images of {faces}/labels.csv can't be read and are left out: " in done.stderr
    assert f"warning: 1 of 16 images of {faces}/choose.csv can't be read and are left out: " in done.stderr
    with (faces / "new.pth.skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(faces / f"{n}.png") for n in ("labels3", "labels7", "choose2")]
    assert rows[0]["error"].startswith("not an image: ")
    card = load(Location(faces / "new.pth", "test"), TINY).card
    assert card["data"] == "labels.csv: 38 images" and card["choose"]["n"] == 15
    assert card["left out"] == "3 images that can't be read"
    assert "--skip-unreadable" in card["command"]

    without(faces, "labels", 3, 7)
    without(faces, "choose", 2)
    with one_thread():
        train(order(faces, "same.pth"))
    assert same(faces / "new.pth", faces / "same.pth")


def test_images_skipped_at_the_beginning_stay_skipped_when_it_is_resumed(faces: Path) -> None:
    damage(faces)
    skipping = order(faces, "whole.pth", skip_unreadable=True)
    train(skipping)
    begun = replace(skipping, out=faces / "new.pth")
    with pytest.raises(EnoughError):
        train(begun, stop)
    Image.new("RGB", (48, 48)).save(faces / "labels3.png")
    train(replace(begun, resume=True))
    assert same(faces / "whole.pth", faces / "new.pth")


def test_an_image_that_is_lost_meanwhile_ends_it_with_its_steps_saved(faces: Path) -> None:
    said: list[str] = []

    def lose(progress: Progress) -> None:
        if progress.step == 5:
            for number in range(40):
                (faces / f"labels{number}.png").rename(faces / f"lost{number}.png")

    lossy = order(faces, "new.pth", passes=4, minutes=60.0)
    with pytest.raises(UsageError, match=r"labels\d+\.png can't be read any more: no such file: .*--resume"):
        train(lossy, lose, say=said.append)
    assert len(said) == 1 and "new.pth.state is saved at step" in said[0]
    for number in range(40):
        (faces / f"lost{number}.png").rename(faces / f"labels{number}.png")
    train(replace(lossy, resume=True))
    train(replace(lossy, out=faces / "whole.pth"))
    assert same(faces / "whole.pth", faces / "new.pth")


@pytest.mark.parametrize("name", ["labels", "choose"])
def test_data_of_one_label_is_refused(faces: Path, name: str) -> None:
    without(faces, name, *range(0, 40, 2))
    with pytest.raises(UsageError, match=f"{name}.csv has only Female for perceived gender"):
        train(order(faces, "new.pth"))


def test_labels_that_do_not_occur_are_warned_of() -> None:
    race = next(task for task in TASKS if task.name == "race")
    examples = [Example(str(n), {"race": label}) for n, label in enumerate(race.labels[:4])]
    said: list[str] = []
    check_labels(examples, race, Path("labels.csv"), said.append, lack="bad luck")
    assert said == ["labels.csv has no image labelled Middle_Eastern, White: bad luck"]
    check_labels(examples * 2, replace(race, labels=race.labels[:4]), Path("labels.csv"), said.append, lack="none")
    assert len(said) == 1


def linked(faces: Path) -> Order:
    shutil.copy(faces / "labels.csv", faces / "copy.csv")
    return replace(order(faces, "new.pth"), choose=read_labels(faces / "copy.csv"))


def copied(faces: Path) -> Order:
    (faces / "copy").mkdir()
    for file in [faces / "labels.csv", *faces.glob("labels*.png")]:
        shutil.copy(file, faces / "copy")
    return replace(order(faces, "new.pth"), choose=read_labels(faces / "copy" / "labels.csv"))


def the_same(faces: Path) -> Order:
    return replace(order(faces, "new.pth"), choose=read_labels(faces / "labels.csv"))


@pytest.mark.parametrize("make", [the_same, linked, copied])
def test_images_to_choose_by_that_are_those_to_train_on_are_refused(faces: Path, make: Callable[[Path], Order]) -> None:
    with pytest.raises(UsageError, match=r"--choose .* has the images of .*labels.csv"):
        train(make(faces))


def test_images_in_both_files_are_counted(faces: Path) -> None:
    os.link(faces / "labels0.png", faces / "choose0b.png")
    shutil.copy(faces / "labels1.png", faces / "choose1b.png")
    with (faces / "choose.csv").open("a") as file:
        file.write("choose0b.png,Male\nchoose1b.png,Female\nlabels2.png,Male\n")
    said: list[str] = []
    with pytest.raises(EnoughError):
        train(order(faces, "new.pth"), stop, say=said.append)
    assert said[0].startswith("warning: 3 of 19 images of --choose ") and "labels.csv too" in said[0]


def test_contents_are_not_compared_where_much_would_have_to_be_read(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = copied(faces)
    train_on, choose = images.label_set.of(GENDER), images.choose.of(GENDER)
    assert count_common(train_on, choose) == 40
    monkeypatch.setattr(checks, "MOST_COMPARED", 1000)
    assert count_common(train_on, choose) == 0


def test_a_digest_knows_folders_but_not_where_they_are() -> None:
    def digest(*paths: str) -> str:
        return labels_digest([Example(path, {"gender": "Male"}) for path in paths], GENDER)

    assert digest("/data/a/1.jpg", "/data/b/2.jpg") == digest("here/a/1.jpg", "here/b/2.jpg")
    assert digest("/data/a/1.jpg", "/data/b/2.jpg") != digest("/data/b/1.jpg", "/data/a/2.jpg")
    assert digest("a/1.jpg", "b/2.jpg") != digest("b/2.jpg", "a/1.jpg")
    assert digest("1.jpg", "a/2.jpg") == digest("/x/1.jpg", "/x/a/2.jpg")
    assert digest("/x/1.jpg", "2.jpg") != digest("/y/1.jpg", "2.jpg")


def test_images_that_change_places_between_folders_are_another_training(faces: Path) -> None:
    for folder in ("a", "b"):
        (faces / folder).mkdir()
        shutil.copy(faces / "labels0.png", faces / folder / "0.png")
    begun = order(faces, "new.pth")
    extra = [
        Example(str(faces / folder / "0.png"), {"gender": label}) for folder, label in (("a", "Male"), ("b", "Female"))
    ]
    swapped = [replace(one, path=two.path) for one, two in zip(extra, reversed(extra), strict=True)]
    begun = replace(begun, label_set=replace(begun.label_set, examples=[*begun.label_set.examples, *extra]))
    with pytest.raises(EnoughError):
        train(begun, stop)
    with pytest.raises(OutputError, match="is of another training"):
        other = replace(begun.label_set, examples=[*begun.label_set.examples[:-2], *swapped])
        train(replace(begun, label_set=other, resume=True))


def test_a_state_of_another_version_is_refused(faces: Path) -> None:
    torch.save({"made_by": {}, "step": 1}, faces / "new.pth.state")
    with pytest.raises(OutputError, match="of another version of democlass"):
        train(order(faces, "new.pth", resume=True))
    (faces / "new.pth.state").write_bytes(b"nonsense")
    with pytest.raises(OutputError, match="no state of a training"):
        train(order(faces, "new.pth", resume=True))


def test_a_teacher_is_asked_again_where_the_images_are_others(faces: Path) -> None:
    without(faces, "labels", *range(8, 40))
    save_teacher(faces / "teacher.pth")
    taught = order(faces, "new.pth", passes=4, teacher=faces / "teacher.pth")

    def asked(changed: Order) -> bool:
        notes: list[str] = []
        with pytest.raises(EnoughError):
            train(changed, stop, note=notes.append)
        return any("asking the teacher" in note for note in notes)

    assert asked(taught)
    again = replace(taught, overwrite=True)
    assert not asked(again)
    reordered = replace(taught.label_set, examples=list(reversed(taught.label_set.examples)))
    assert asked(replace(again, label_set=reordered))
    assert asked(again) and not asked(again)
    os.utime(faces / "labels3.png", (1, 1))
    assert asked(again)
    save_teacher(faces / "teacher.pth")
    assert not asked(again)
    state = torch.load(faces / "teacher.pth", weights_only=True)
    torch.save({**state, "temperature": 2.0}, faces / "teacher.pth")
    assert asked(again)
    with pytest.raises(OutputError, match="another training"):
        save_teacher(faces / "teacher.pth")
        train(replace(taught, resume=True))


class OnlyProcess(Share):
    """Another process than the first, whose first process has done nothing."""

    def wait(self) -> None:
        pass


def test_only_the_first_process_asks_the_teacher_and_writes(faces: Path) -> None:
    save_teacher(faces / "teacher.pth")
    taught = order(faces, "new.pth", teacher=faces / "teacher.pth")
    teacher = Teacher(faces / "teacher.pth", GENDER, print)
    notes: list[str] = []
    with Reader(GENDER.geometry) as read, pytest.raises(DemoclassError, match="is not there for process 1"):
        examples = taught.label_set.of(GENDER)
        teacher.teach(examples, torch.device("cpu"), OnlyProcess(1, 2), read, taught.places, note=notes.append)
    assert not notes and not list(faces.glob("new.pth*"))


def test_a_file_in_the_place_of_a_teachers_answers_is_kept(faces: Path) -> None:
    save_teacher(faces / "teacher.pth")
    (faces / "new.pth.teacher").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"new.pth.teacher does not hold a teacher's answers"):
        train(order(faces, "new.pth", teacher=faces / "teacher.pth"))
    assert (faces / "new.pth.teacher").read_bytes() == b"mine"


def test_a_teacher_with_its_labels_in_another_order_teaches_the_same(faces: Path) -> None:
    without(faces, "labels", *range(8, 40))
    save_teacher(faces / "teacher.pth")
    content = torch.load(faces / "teacher.pth", weights_only=True)
    state = content["model_state_dict"]
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name].flip(0)
    torch.save({**content, "model_state_dict": state, "labels": ["Male", "Female"]}, faces / "turned.pth")
    for name in ("teacher", "turned"):
        train(order(faces, f"by-{name}.pth", passes=1, teacher=faces / f"{name}.pth"))
    assert same(faces / "by-teacher.pth", faces / "by-turned.pth")


def test_teachers_that_do_not_fit(faces: Path) -> None:
    race = next(task for task in TASKS if task.name == "race")
    save_teacher(faces / "race.pth", race)
    bare = torch.load(faces / "race.pth", weights_only=True)["model_state_dict"]
    torch.save({"model_state_dict": bare}, faces / "unnamed.pth")
    tiny = TINY.network(2).state_dict()
    save(faces / "tiny.pth", tiny, labels=GENDER.labels, temperature=1.0, card={})
    narrow = build("resnet18", 2).state_dict()
    wide = {name: torch.cat([value, value]) if value.ndim else value for name, value in narrow.items()}
    save(faces / "wide.pth", wide, labels=GENDER.labels, temperature=1.0, card={})
    for name, reason in (
        ("race", "has the labels"),
        ("unnamed", "does not fit resnet18 with 2 outputs, as perceived gender needs it"),
        ("tiny", "is of no ResNet"),
        ("wide", "does not fit resnet18"),
        ("none", "can't read|no such file"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            train(order(faces, "new.pth", teacher=faces / f"{name}.pth"))
    assert not list(faces.glob("new.pth*"))
