"""The data of a training: unreadable images, missing labels, and images that are in both labels files."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from democlass.errors import OutputError, UsageError
from democlass.inputs.labels import Example, read_labels
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.train import label_checks
from democlass.train.fingerprints import find_changed, labels_fingerprint
from democlass.train.job import TrainJob
from democlass.train.label_checks import check_labels, count_shared_images
from democlass.train.run import train
from democlass.train.trainer import Progress
from training import (  # noqa: F401 (one_thread is an autouse fixture)
    GENDER,
    RACE,
    TINY,
    StoppedError,
    copy_labels,
    have_same_weights,
    make_faces,
    make_job,
    one_thread,
    remove_rows,
    stop_at,
)

pytestmark = pytest.mark.slow


def damage_images(faces: Path) -> None:
    (faces / "labels3.png").write_bytes(b"no image")
    (faces / "labels7.png").unlink()
    (faces / "validation2.png").write_bytes((faces / "validation2.png").read_bytes()[:500])


def test_unreadable_images_are_named_before_the_first_step(faces: Path) -> None:
    damage_images(faces)
    steps: list[Progress] = []
    with pytest.raises(UsageError, match=r"2 of 40 images of .*labels.csv can't be read") as error:
        train(make_job(faces, "new.pth"), steps.append)
    for text in ("labels3.png (not an image: ", "labels7.png (no such file: ", "--skip-unreadable"):
        assert text in str(error.value)
    assert not steps and not list(faces.glob("new.pth*"))


def test_an_unreadable_validation_image_is_named_before_the_first_step(faces: Path) -> None:
    (faces / "validation2.png").write_bytes(b"no image")
    steps: list[Progress] = []
    with pytest.raises(UsageError, match=r"1 of 16 images of .*validation.csv can't be read: .*validation2\.png"):
        train(make_job(faces, "new.pth"), steps.append)
    assert not steps


def test_many_unreadable_images_are_counted(faces: Path) -> None:
    for number in range(30):
        (faces / f"labels{number}.png").unlink()
    with pytest.raises(UsageError, match=r"30 of 40 images .*labels19\.png \([^)]*\) and 10 more\. "):
        train(make_job(faces, "new.pth"))


def test_skipped_images_are_listed_and_have_no_influence(faces: Path) -> None:
    damage_images(faces)
    messages: list[str] = []
    train(make_job(faces, "new.pth", skip_unreadable=True), notify=messages.append)
    assert f"warning: 2 of 40 images of {faces}/labels.csv can't be read and are skipped: " in messages[0]
    assert f"warning: 1 of 16 images of {faces}/validation.csv can't be read and are skipped: " in messages[1]
    with (faces / "new.pth.skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(faces / f"{n}.png") for n in ("labels3", "labels7", "validation2")]
    assert rows[0]["error"].startswith("not an image: ")
    card = load(Location(faces / "new.pth", "test"), TINY).card
    assert card["data"] == "labels.csv: 38 images" and card["choose"]["n"] == 15
    assert card["left out"] == "3 images that can't be read"

    remove_rows(faces, "labels", 3, 7)
    remove_rows(faces, "validation", 2)
    train(make_job(faces, "same.pth"))
    assert have_same_weights(faces / "new.pth", faces / "same.pth")


def test_skipped_images_stay_skipped_when_the_training_is_resumed(faces: Path) -> None:
    damage_images(faces)
    whole = make_job(faces, "whole.pth", skip_unreadable=True)
    train(whole)
    stopped = replace(whole, out=faces / "new.pth")
    with pytest.raises(StoppedError):
        train(stopped, stop_at(3))
    Image.new("RGB", (48, 48)).save(faces / "labels3.png")
    train(replace(stopped, resume=True))
    assert have_same_weights(faces / "whole.pth", faces / "new.pth")


@pytest.mark.parametrize("name", ["labels", "validation"])
def test_a_training_is_not_resumed_with_changed_images(name: str, faces: Path) -> None:
    what = {"labels": "training", "validation": "validation"}[name]
    job = make_job(faces, "new.pth")
    with pytest.raises(StoppedError):
        train(job, stop_at(3))
    image, state = faces / f"{name}3.png", (faces / "new.pth.state").read_bytes()
    content, status = image.read_bytes(), image.stat()

    for changed in (content[::-1], content + b"longer"):
        image.write_bytes(changed)
        with pytest.raises(OutputError, match=rf"can't resume \S+: 1 {what} image changed since the training began"):
            train(replace(job, resume=True))
    assert (faces / "new.pth.state").read_bytes() == state

    image.write_bytes(content)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    train(replace(job, resume=True))


def test_a_training_is_resumed_with_copies_of_its_images(faces: Path) -> None:
    job = make_job(faces, "new.pth")
    with pytest.raises(StoppedError):
        train(job, stop_at(3))
    for image in faces.glob("*.png"):
        os.utime(image)
    (faces / "labels5.png").write_bytes(b"another size")
    with pytest.raises(OutputError, match="1 training image changed"):
        train(replace(job, resume=True))


@pytest.mark.parametrize("before", [None, [], [[1, 1]], [1, 2], "nonsense"])
def test_all_files_changed_if_a_state_has_no_list_of_them(before: object) -> None:
    assert find_changed(before, [[1, 1], [2, 2]]) == [0, 1]


def test_changed_files_are_found_by_size_and_by_time_unless_all_times_differ() -> None:
    before = [[1, 10], [2, 20], []]
    assert find_changed(before, before) == []
    assert find_changed(before, [[1, 10], [2, 21], []]) == [1]
    assert find_changed(before, [[1, 11], [2, 21], []]) == [0, 1]
    assert find_changed(before, [[1, 11], [2, 21], []], ignored={2}) == []
    assert find_changed(before, [[1, 11], [3, 21], [5, 5]], ignored={2}) == [1]
    assert find_changed(before, [[1, 10], [2, 20], [5, 5]]) == [2]


def test_an_image_that_is_lost_during_the_training_ends_it_after_saving(faces: Path) -> None:
    messages: list[str] = []

    def lose_images(progress: Progress) -> None:
        if progress.step == 5:
            for number in range(40):
                (faces / f"labels{number}.png").rename(faces / f"lost{number}.png")

    job = make_job(faces, "new.pth", epochs=4, save_minutes=60.0)
    with pytest.raises(UsageError, match=r"labels\d+\.png can't be read any more: no such file: .*--resume"):
        train(job, lose_images, notify=messages.append)
    assert len(messages) == 1 and "new.pth.state is saved at step" in messages[0]
    for number in range(40):
        (faces / f"lost{number}.png").rename(faces / f"labels{number}.png")
    train(replace(job, resume=True))
    train(replace(job, out=faces / "whole.pth"))
    assert have_same_weights(faces / "whole.pth", faces / "new.pth")


@pytest.mark.parametrize("name", ["labels", "validation"])
def test_data_with_a_single_label_is_refused(faces: Path, name: str) -> None:
    remove_rows(faces, name, *range(0, 40, 2))
    with pytest.raises(UsageError, match=f"{name}.csv has only Female for perceived gender"):
        train(make_job(faces, "new.pth"))


def test_labels_without_examples_are_warned_of() -> None:
    examples = [Example(str(n), {"race": label}) for n, label in enumerate(RACE.labels[:4])]
    messages: list[str] = []
    check_labels(examples, RACE, Path("labels.csv"), messages.append, consequence="so what")
    assert messages == ["labels.csv has no image labelled Middle_Eastern, White: so what"]
    four_labels = replace(RACE, labels=RACE.labels[:4])
    check_labels(examples * 2, four_labels, Path("labels.csv"), messages.append, consequence="none")
    assert len(messages) == 1


def with_same_file(faces: Path) -> TrainJob:
    return replace(make_job(faces, "new.pth"), validation=read_labels(faces / "labels.csv"))


def with_copied_labels_file(faces: Path) -> TrainJob:
    shutil.copy(faces / "labels.csv", faces / "copy.csv")
    return replace(make_job(faces, "new.pth"), validation=read_labels(faces / "copy.csv"))


def with_copied_images(faces: Path) -> TrainJob:
    return replace(make_job(faces, "new.pth"), validation=read_labels(copy_labels(faces, "copy")))


@pytest.mark.parametrize("make", [with_same_file, with_copied_labels_file, with_copied_images])
def test_validation_on_the_training_images_is_refused(faces: Path, make: Callable[[Path], TrainJob]) -> None:
    with pytest.raises(UsageError, match=r"--validation .* has the same images as .*labels.csv"):
        train(make(faces))


def test_images_in_both_files_are_counted(faces: Path) -> None:
    os.link(faces / "labels0.png", faces / "validation0b.png")
    shutil.copy(faces / "labels1.png", faces / "validation1b.png")
    with (faces / "validation.csv").open("a") as file:
        file.write("validation0b.png,Male\nvalidation1b.png,Female\nlabels2.png,Male\n")
    messages: list[str] = []
    with pytest.raises(StoppedError):
        train(make_job(faces, "new.pth"), stop_at(1), notify=messages.append)
    assert messages[0].startswith("warning: 3 of 19 images of --validation ") and "labels.csv: the" in messages[0]


def test_contents_are_not_compared_if_too_much_must_be_read(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = with_copied_images(faces)
    examples, validation_examples = job.labels.of(GENDER), job.validation.of(GENDER)
    assert count_shared_images(examples, validation_examples) == 40
    monkeypatch.setattr(label_checks, "MAX_COMPARED_BYTES", 1000)
    assert count_shared_images(examples, validation_examples) == 0


def test_a_fingerprint_does_not_depend_on_the_common_parent_folder() -> None:
    def fingerprint(*paths: str) -> str:
        return labels_fingerprint([Example(path, {"gender": "Male"}) for path in paths], GENDER)

    assert fingerprint("/data/a/1.jpg", "/data/b/2.jpg") == fingerprint("here/a/1.jpg", "here/b/2.jpg")
    assert fingerprint("/data/a/1.jpg", "/data/b/2.jpg") != fingerprint("/data/b/1.jpg", "/data/a/2.jpg")
    assert fingerprint("a/1.jpg", "b/2.jpg") != fingerprint("b/2.jpg", "a/1.jpg")
    assert fingerprint("1.jpg", "a/2.jpg") == fingerprint("/x/1.jpg", "/x/a/2.jpg")
    assert fingerprint("/x/1.jpg", "2.jpg") != fingerprint("/y/1.jpg", "2.jpg")


def test_images_that_swapped_folders_are_other_data(faces: Path) -> None:
    for folder in ("a", "b"):
        (faces / folder).mkdir()
        shutil.copy(faces / "labels0.png", faces / folder / "0.png")
    job = make_job(faces, "new.pth")
    extra = [
        Example(str(faces / folder / "0.png"), {"gender": label}) for folder, label in (("a", "Male"), ("b", "Female"))
    ]
    swapped = [replace(one, path=other.path) for one, other in zip(extra, reversed(extra), strict=True)]
    job = replace(job, labels=replace(job.labels, examples=[*job.labels.examples, *extra]))
    with pytest.raises(StoppedError):
        train(job, stop_at(1))
    with pytest.raises(OutputError, match="belongs to another training"):
        other = replace(job.labels, examples=[*job.labels.examples[:-2], *swapped])
        train(replace(job, labels=other, resume=True))
