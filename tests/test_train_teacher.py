"""Knowledge distillation: a student learns from the outputs of a teacher, which are saved and used again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

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
from narrow_resnet import NarrowResNet
from training import (
    GENDER,
    NARROW,
    RACE,
    TINY,
    StoppedError,
    have_same_weights,
    load_weights,
    make_faces,
    make_job,
    remove_rows,
    save_teacher,
    stop_at,
)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Eight training images and four validation images: running the teacher takes the time."""
    make_faces(tmp_path)
    remove_rows(tmp_path, "labels", *range(8, 40))
    remove_rows(tmp_path, "validation", *range(4, 16))
    return tmp_path


@pytest.fixture
def teacher(faces: Path) -> Path:
    save_teacher(faces / "teacher.pth")
    return faces / "teacher.pth"


def test_with_full_teacher_weight_the_labels_have_no_influence(faces: Path, teacher: Path) -> None:
    job = make_job(faces, "new.pth", teacher=teacher, teacher_weight=1.0)
    opposite = {"Female": "Male", "Male": "Female"}
    examples = [Example(each.path, {"gender": opposite[each.labels["gender"]]}) for each in job.labels.examples]
    train(job)
    train(replace(job, labels=replace(job.labels, examples=examples), out=faces / "opposite.pth"))
    assert have_same_weights(faces / "new.pth", faces / "opposite.pth")
    train(make_job(faces, "without.pth"))
    assert not have_same_weights(faces / "new.pth", faces / "without.pth")


def test_a_training_with_teacher_features_can_be_resumed(faces: Path, teacher: Path) -> None:
    whole = make_job(faces, "whole.pth", task=NARROW, epochs=5, teacher=teacher, feature_weight=1.0)
    train(whole)
    stopped = replace(whole, out=faces / "stopped.pth", save_minutes=0.0)
    with pytest.raises(StoppedError):
        train(stopped, stop_at(3))
    train(replace(stopped, resume=True))
    assert have_same_weights(faces / "whole.pth", faces / "stopped.pth")
    assert load_weights(faces / "whole.pth").keys() == NarrowResNet(2).state_dict().keys()


def test_the_teacher_runs_again_only_if_its_outputs_would_change(faces: Path, teacher: Path) -> None:
    job = make_job(faces, "new.pth", epochs=4, teacher=teacher)

    def runs_teacher(changed: TrainJob) -> bool:
        messages: list[str] = []
        with pytest.raises(StoppedError):
            train(changed, stop_at(1), log=messages.append)
        return any("running the teacher" in message for message in messages)

    assert runs_teacher(job)
    again = replace(job, overwrite=True)
    assert not runs_teacher(again)
    reordered = replace(job.labels, examples=list(reversed(job.labels.examples)))
    assert runs_teacher(replace(again, labels=reordered))
    os.utime(faces / "labels3.png", (1, 1))
    assert runs_teacher(again)
    save_teacher(teacher)
    assert not runs_teacher(again), "the content of the file is the same"
    save_teacher(teacher, temperature=2.0)
    assert runs_teacher(again)
    save_teacher(teacher)
    with pytest.raises(OutputError, match="another training"):
        train(replace(job, resume=True))


class OtherProcess(ProcessGroup):
    """Another process than the first, while the first one has written nothing."""

    def barrier(self) -> None:
        pass


def test_only_the_first_process_runs_the_teacher_and_writes(faces: Path, teacher: Path) -> None:
    job = make_job(faces, "new.pth", teacher=teacher)
    messages: list[str] = []
    with ImageReader(GENDER.geometry) as reader, pytest.raises(DemoclassError, match="process 1 does not find"):
        Teacher(teacher, GENDER, print).load_or_compute_outputs(
            job.labels.of(GENDER), torch.device("cpu"), OtherProcess(1, 2), reader, job.paths, log=messages.append
        )
    assert not messages and not list(faces.glob("new.pth*"))


def test_another_file_in_place_of_the_teacher_outputs_is_kept(faces: Path, teacher: Path) -> None:
    (faces / "new.pth.teacher").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"new.pth.teacher does not hold the outputs of a teacher"):
        train(make_job(faces, "new.pth", teacher=teacher))
    assert (faces / "new.pth.teacher").read_bytes() == b"mine"


def test_the_order_of_the_teachers_labels_has_no_influence(faces: Path, teacher: Path) -> None:
    weights = load_weights(teacher)
    swapped = {**weights, **{name: weights[name].flip(0) for name in ("fc.weight", "fc.bias")}}
    save(faces / "swapped.pth", swapped, labels=["Male", "Female"], temperature=1.0, card={})
    for name in ("teacher", "swapped"):
        train(make_job(faces, f"by-{name}.pth", epochs=1, teacher=faces / f"{name}.pth"))
    assert have_same_weights(faces / "by-teacher.pth", faces / "by-swapped.pth")


def test_teachers_that_do_not_fit_are_refused(faces: Path, teacher: Path) -> None:
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
            train(make_job(faces, "new.pth", teacher=faces / f"{name}.pth"))
    assert not list(faces.glob("new.pth*"))
