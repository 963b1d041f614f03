"""Knowledge distillation: a student learns from the outputs of a teacher, which are saved and used again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from democlass.errors import CheckpointError, DemoclassError, OutputError
from democlass.inputs.labels import Example
from democlass.networks.checkpoint_files import save
from democlass.train.image_reader import ImageReader
from democlass.train.job import TrainJob
from democlass.train.process_group import ProcessGroup
from democlass.train.run import train
from democlass.train.teacher import Teacher
from democlass.train.teacher_outputs import load_or_compute_outputs
from narrow_resnet import NarrowResNet
from training import (  # noqa: F401 (one_thread is an autouse fixture)
    GENDER,
    NARROW,
    RACE,
    TINY,
    StoppedError,
    have_same_weights,
    load_weights,
    make_faces,
    make_job,
    one_thread,
    remove_rows,
    save_teacher,
    stop_at,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training images, two validation images, and the checkpoint of a teacher, which all tests share."""
    faces = make_faces(tmp_path_factory.mktemp("faces"))
    remove_rows(faces, "labels", *range(4, 40))
    remove_rows(faces, "validation", *range(2, 16))
    save_teacher(faces / "teacher.pth")
    return faces


@pytest.fixture(scope="module")
def outputs(faces: Path) -> Path:
    """The file of the teacher's outputs for all training images."""
    with pytest.raises(StoppedError):
        train(job_with_teacher(faces, "outputs.pth"), stop_at(1))
    return faces / "outputs.pth.teacher"


def job_with_teacher(faces: Path, out: str, **fields: Any) -> TrainJob:
    return make_job(faces, out, **{"batch": 4, "teachers": (faces / "teacher.pth",), **fields})


def test_with_full_teacher_weight_the_labels_have_no_influence(faces: Path, outputs: Path) -> None:
    job = job_with_teacher(faces, "labels.pth", teacher_weight=1.0)
    opposite = {"Female": "Male", "Male": "Female"}
    examples = [Example(each.path, {"gender": opposite[each.labels["gender"]]}) for each in job.labels.examples]
    shutil.copy(outputs, faces / "labels.pth.teacher")
    train(job)
    shutil.copy(outputs, faces / "opposite.pth.teacher")
    train(replace(job, labels=replace(job.labels, examples=examples), out=faces / "opposite.pth"))
    assert have_same_weights(faces / "labels.pth", faces / "opposite.pth")
    train(job_with_teacher(faces, "without.pth", teachers=()))
    assert not have_same_weights(faces / "labels.pth", faces / "without.pth")


def test_a_training_with_teacher_features_can_be_resumed(faces: Path, outputs: Path) -> None:
    whole = job_with_teacher(faces, "whole.pth", task=NARROW, epochs=5, feature_weight=1.0)
    shutil.copy(outputs, faces / "whole.pth.teacher")
    train(whole)
    stopped = replace(whole, out=faces / "stopped.pth", save_minutes=0.0)
    shutil.copy(outputs, faces / "stopped.pth.teacher")
    with pytest.raises(StoppedError):
        train(stopped, stop_at(3))
    train(replace(stopped, resume=True))
    assert have_same_weights(faces / "whole.pth", faces / "stopped.pth")
    assert load_weights(faces / "whole.pth").keys() == NarrowResNet(2).state_dict().keys()


def test_the_teacher_runs_again_only_if_its_outputs_would_change(faces: Path, outputs: Path) -> None:
    teacher = faces / "other-teacher.pth"
    shutil.copy(faces / "teacher.pth", teacher)
    shutil.copy(outputs, faces / "again.pth.teacher")
    job = job_with_teacher(faces, "again.pth", teachers=(teacher,), epochs=4, overwrite=True)

    def runs_teacher(changed: TrainJob) -> bool:
        messages: list[str] = []
        with pytest.raises(StoppedError):
            train(changed, stop_at(1), log=messages.append)
        return any("running the teacher" in message for message in messages)

    assert not runs_teacher(job)
    reordered = replace(job.labels, examples=list(reversed(job.labels.examples)))
    assert runs_teacher(replace(job, labels=reordered))
    changed_image = faces / "labels3.png"
    before = changed_image.stat()
    os.utime(changed_image, (1, 1))
    assert runs_teacher(job)
    save_teacher(teacher, temperature=2.0)
    assert runs_teacher(job) and not runs_teacher(job)
    os.utime(changed_image, ns=(before.st_atime_ns, before.st_mtime_ns))
    save_teacher(teacher)
    with pytest.raises(OutputError, match="another training"):
        train(replace(job, overwrite=False, resume=True))


class OtherProcess(ProcessGroup):
    """Another process than the first, while the first one has written nothing."""

    def barrier(self) -> None:
        pass


def test_only_the_first_process_runs_the_teacher_and_writes(faces: Path) -> None:
    job = job_with_teacher(faces, "other-process.pth")
    teacher = Teacher(faces / "teacher.pth", GENDER, print)
    messages: list[str] = []
    with ImageReader(GENDER.geometry) as reader, pytest.raises(DemoclassError, match="process 1 does not find"):
        load_or_compute_outputs(
            [teacher],
            GENDER,
            job.labels.of(GENDER),
            torch.device("cpu"),
            OtherProcess(1, 2),
            reader,
            job.paths,
            log=messages.append,
        )
    assert not messages and not list(faces.glob("other-process.pth*"))


def test_another_file_in_place_of_the_teacher_outputs_is_kept(faces: Path) -> None:
    (faces / "new.pth.teacher").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"new.pth.teacher does not hold the outputs of a teacher"):
        train(job_with_teacher(faces, "new.pth"))
    assert (faces / "new.pth.teacher").read_bytes() == b"mine"


def test_the_order_of_the_teachers_labels_has_no_influence(faces: Path, outputs: Path) -> None:
    weights = load_weights(faces / "teacher.pth")
    swapped = {**weights, **{name: weights[name].flip(0) for name in ("fc.weight", "fc.bias")}}
    save(faces / "swapped.pth", swapped, labels=["Male", "Female"], temperature=1.0, card={})
    shutil.copy(outputs, faces / "by-teacher.pth.teacher")
    for name in ("teacher", "swapped"):
        train(job_with_teacher(faces, f"by-{name}.pth", epochs=1, teachers=(faces / f"{name}.pth",)))
    assert have_same_weights(faces / "by-teacher.pth", faces / "by-swapped.pth")


def test_teachers_that_do_not_fit_are_refused(faces: Path) -> None:
    save_teacher(faces / "race.pth", RACE)
    torch.save({"model_state_dict": load_weights(faces / "race.pth")}, faces / "unnamed.pth")
    save(faces / "tiny.pth", TINY.network(2).state_dict(), labels=GENDER.labels, temperature=1.0, card={})
    narrow = NarrowResNet(2).state_dict()
    save(faces / "narrow.pth", narrow, labels=GENDER.labels, temperature=1.0, card={})
    for name, reason in (
        ("race", "has the labels"),
        ("unnamed", "does not fit resnet18 with 2 outputs, which perceived gender needs"),
        ("tiny", "is not a ResNet"),
        ("narrow", "does not fit resnet18"),
        ("missing", "can't read|no such file"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            train(job_with_teacher(faces, "refused.pth", teachers=(faces / f"{name}.pth",)))
    assert not list(faces.glob("refused.pth*"))
