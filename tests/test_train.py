"""Training: the same numbers whatever ends it, and a checkpoint that says what it is made of."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Run, command, environment
from democlass.checkpoints import load
from democlass.errors import CheckpointError, OutputError, UsageError
from democlass.locations import Location
from democlass.tasks import TASKS
from democlass.train.calibrate import fit_temperature
from democlass.train.feed import Feed, Share
from democlass.train.lesson import Lesson
from democlass.train.recipe import Recipe, Stage
from democlass.train.run import Order, train
from democlass.train.start import build, start, which
from democlass.train.teacher import Teaching
from democlass.train.trainer import Progress, moving
from democlass.train.views import crop, normalised, recoloured
from democlass.truth import Example, read_truth

GENDER = TASKS[0]
QUICK = ["--init", "none", "--stages", "32:12:0.05-0.01", "--batch", "8", "--average", "0.5", "--device", "cpu"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Forty images that red and blue tell apart, with labels: a task that a network learns at once."""
    chance = np.random.default_rng(0)
    lines = ["path,gender"]
    for number in range(40):
        pixels = chance.integers(0, 120, (48, 48, 3), dtype=np.uint8)
        pixels[..., 0 if number % 2 else 2] += 120
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'Female' if number % 2 else 'Male'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def train_words(faces: Path, out: str, *more: str) -> list[str]:
    labels = str(faces / "labels.csv")
    return ["train", "gender", labels, "--choose", labels, "--out", str(faces / out), *QUICK, *more]


def weights(file: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(file, weights_only=True)["model_state_dict"])


def same(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def order(faces: Path, out: str, **more: Any) -> Order:
    truth = read_truth(faces / "labels.csv")
    stages = (Stage(32, more.pop("passes", 12), 0.05, 0.01),)
    decided = {name: more.pop(name) for name in ("teacher_weight", "feature_weight") if name in more}
    recipe = Recipe(stages, batch=8, average=0.5, **decided)
    return Order(GENDER, truth, truth, recipe, faces / out, **{"init": "none", "device": "cpu", **more})


def accuracy(faces: Path, out: str) -> float:
    return float(load(Location(faces / out, "test"), GENDER).card["choose"]["accuracy"])


class EnoughError(Exception):
    """Ends a training from within."""


def stop(progress: Progress) -> None:
    if progress.step == 3:
        raise EnoughError


def test_it_learns_and_its_checkpoint_is_ours(faces: Path, classify: Run) -> None:
    done = classify(*train_words(faces, "new.pth", "--float16"))
    assert done.returncode == 0, done.stderr.decode()
    checkpoint = load(Location(faces / "new.pth", "test"), GENDER)
    assert checkpoint.labels == GENDER.labels and checkpoint.labels_named and checkpoint.temperature > 0
    card = checkpoint.card
    assert card["choose"]["n"] == 40 and np.sum(card["choose"]["confusion"]) == 40
    assert accuracy(faces, "new.pth") > 0.9
    assert card["command"].startswith("classify train gender labels.csv --choose labels.csv --out new.pth --init none")
    assert card["recipe"]["batch"] == 8
    assert weights(faces / "new.pth")["conv1.weight"].dtype == torch.float16
    assert weights(faces / "new.pth")["bn1.running_var"].dtype == torch.float32
    assert not (faces / "new.pth.state").exists()


def test_a_training_that_is_killed_comes_to_the_same_numbers(faces: Path) -> None:
    train(order(faces, "whole.pth"))
    words = train_words(faces, "killed.pth", "--save-every", "0.01")
    state = faces / "killed.pth.state"
    process = subprocess.Popen(command(*words), env=environment(), stderr=subprocess.DEVNULL)
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was to be killed before its end"
    said: list[str] = []
    train(order(faces, "killed.pth", resume=True), say=said.append)
    assert any(text.startswith("going on at step") for text in said)
    assert same(faces / "whole.pth", faces / "killed.pth")


def test_two_processes_share_the_work(faces: Path) -> None:
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    words = [*program, *map(str, command(*train_words(faces, "shared.pth")))]
    done = subprocess.run(words, env=environment(OMP_NUM_THREADS="1"), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert accuracy(faces, "shared.pth") > 0.9


def test_nothing_is_overwritten_unasked_and_nothing_resumed_that_is_not_there(faces: Path) -> None:
    (faces / "new.pth").write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite begins again"):
        train(order(faces, "new.pth"))
    assert (faces / "new.pth").read_bytes() == b"mine"
    with pytest.raises(OutputError, match="nothing to resume"):
        train(order(faces, "other.pth", resume=True))


def test_another_training_is_not_resumed(faces: Path) -> None:
    begun = order(faces, "new.pth", minutes=0.0)
    with pytest.raises(EnoughError):
        train(begun, stop)
    with pytest.raises(OutputError, match=r"of another training \(batch: 8 then, 4 now\)"):
        train(replace(begun, recipe=replace(begun.recipe, batch=4), resume=True))


def test_a_teacher_of_full_weight_is_learned_from_whatever_the_labels_say(faces: Path) -> None:
    train(order(faces, "teacher.pth", passes=1))
    taught = order(faces, "taught.pth", passes=2, teacher=faces / "teacher.pth", teacher_weight=1.0)
    turned = [Example(each.path, {"gender": "Male"}) for each in taught.truth.examples]
    train(taught)
    train(replace(taught, truth=replace(taught.truth, examples=turned), out=faces / "turned.pth"))
    assert same(faces / "taught.pth", faces / "turned.pth")
    train(order(faces, "untaught.pth", passes=2))
    assert not same(faces / "taught.pth", faces / "untaught.pth")


def test_a_teachers_features_are_learned_too_and_resumed(faces: Path) -> None:
    train(order(faces, "teacher.pth", passes=1))
    whole = order(faces, "whole.pth", passes=2, teacher=faces / "teacher.pth", feature_weight=1.0)
    train(whole)
    broken = replace(whole, out=faces / "broken.pth", minutes=0.0)
    with pytest.raises(EnoughError):
        train(broken, stop)
    train(replace(broken, resume=True))
    assert same(faces / "whole.pth", faces / "broken.pth")
    assert weights(faces / "whole.pth").keys() == weights(faces / "teacher.pth").keys()


def test_a_pupil_comes_to_guess_its_teachers_features() -> None:
    torch.manual_seed(0)
    recipe = Recipe((Stage(32, 1, 0.1, 0.1),), feature_weight=1.0)
    teaching = Teaching(torch.zeros(8, 2), torch.rand(8, 16).half())
    lesson = Lesson(recipe, torch.tensor([0.5, 0.5]), teaching, torch.device("cpu"))
    pupil = lesson.pupil(build("resnet18", 2))
    images, targets, places = torch.randn(8, 3, 32, 32), torch.arange(8) % 2, torch.arange(8)
    optimizer = torch.optim.SGD(pupil.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(20):
        loss = lesson.loss(pupil(images), targets, places)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    centred = teaching.features.float() - teaching.features.float().mean(0)
    assert losses[-1] < losses[0]
    assert torch.nn.functional.cosine_similarity(pupil(images)[1], centred).mean() > 0.95


def test_an_image_that_can_not_be_read_ends_it_with_its_name(faces: Path) -> None:
    (faces / "3.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"3\.png can't be learned from"):
        train(order(faces, "new.pth"))


@pytest.mark.parametrize("text", ["224", "224:1:0.1", "16:1:0.1-0.01", "224:0:0.1-0.01", "224:1:0.01-0.1", "a:b:c-d"])
def test_stages_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--stages"):
        Stage.parse(text)


def test_the_average_of_a_short_training_has_forgotten_its_start() -> None:
    start, end = torch.zeros(1), torch.ones(1)
    take_in = moving(0.999)
    for steps in range(1, 200):
        take_in([start], [end], torch.tensor(steps))
    assert start.item() > 0.99


def test_the_average_of_a_long_training_is_of_its_last_steps() -> None:
    average = torch.zeros(1)
    moving(0.999)([average], [torch.ones(1)], torch.tensor(100_000))
    assert average.item() == pytest.approx(0.001)


def test_every_pass_has_every_image_once_and_each_in_another_order_and_crop(faces: Path) -> None:
    examples = read_truth(faces / "labels.csv").of(GENDER)
    feed = Feed(examples, GENDER, 8, 0, Share())
    batches = list(feed.batches([32] * 10, 0))
    first, second = ([int(place) for _, _, places in half for place in places] for half in (batches[:5], batches[5:]))
    assert sorted(first) == sorted(second) == list(range(40)) and first != second
    (views, targets, places) = next(iter(feed.batches([32] * 10, 7)))
    assert torch.equal(views, batches[7][0]) and torch.equal(places, batches[7][2])
    assert [GENDER.labels[target] for target in targets] == [examples[place].labels["gender"] for place in places]


def test_shares_are_one_batch_together(faces: Path) -> None:
    examples = read_truth(faces / "labels.csv").of(GENDER)
    whole = next(iter(Feed(examples, GENDER, 8, 0, Share()).batches([32], 0)))[2]
    halves = [next(iter(Feed(examples, GENDER, 8, 0, Share(rank, 2)).batches([32], 0)))[2] for rank in (0, 1)]
    assert torch.equal(torch.stack(halves, 1).flatten(), whole)


def test_a_view_is_decided_by_its_chance_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    one, two, other = (crop(pixels, 96, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (96, 96, 3) and np.array_equal(one, two) and not np.array_equal(one, other)
    batch = normalised(torch.from_numpy(np.stack([one, other])))
    assert torch.equal(recoloured(batch, 3), recoloured(batch, 3))
    assert not torch.equal(recoloured(batch, 3), recoloured(batch, 4))


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_answers_were_made_with_is_found(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 6, generator=generator)
    targets = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * true, targets) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_a_state_tells_its_resnet(name: str) -> None:
    assert which(build(name, 2).state_dict()) == name


def test_a_start_from_a_checkpoint_keeps_all_but_outputs_that_do_not_fit(tmp_path: Path) -> None:
    other = build("resnet18", 9)
    torch.save({"model_state_dict": other.state_dict()}, tmp_path / "other.pth")
    begun = start(GENDER, None, str(tmp_path / "other.pth")).state_dict()
    assert torch.equal(begun["conv1.weight"], other.state_dict()["conv1.weight"])
    assert begun["fc.weight"].shape == (2, 512)
    with pytest.raises(CheckpointError, match="does not fit resnet50"):
        start(GENDER, "resnet50", str(tmp_path / "other.pth"))


def test_imagenet_weights_are_torchvisions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision.models import ResNet18_Weights

    state = build("resnet18", 1000).state_dict()
    (tmp_path / "checkpoints").mkdir()
    name = Path(ResNet18_Weights.DEFAULT.url).name
    torch.save(state, tmp_path / "checkpoints" / name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    begun: dict[str, Any] = start(GENDER, None, "imagenet").state_dict()
    assert torch.equal(begun["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert begun["fc.weight"].shape == (2, 512)
