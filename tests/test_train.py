"""Training: the same numbers whatever ends it, and a checkpoint that says what it is made of."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Run
from democlass.errors import CheckpointError, DemoclassError, OutputError, UsageError
from democlass.inputs.labels import Example, read_labels
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.train.calibrate import fit_temperature
from democlass.train.feed import Feed
from democlass.train.judge import Verdict
from democlass.train.lesson import Lesson
from democlass.train.reader import Reader
from democlass.train.recipe import Recipe, Stage
from democlass.train.run import train
from democlass.train.start import build, start, which
from democlass.train.teacher import Teaching
from democlass.train.together import Share
from democlass.train.trainer import moving
from democlass.train.views import crop, normalised, recoloured
from training import (
    GENDER,
    EnoughError,
    make_faces,
    one_thread,
    order,
    run_tiny,
    same,
    save_teacher,
    single_threaded,
    stop,
    tiny_command,
    weights,
    without,
    words,
)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return make_faces(tmp_path)


@pytest.fixture
def read() -> Iterator[Reader]:
    with Reader(GENDER.geometry) as reader:
        yield reader


def accuracy(faces: Path, out: str) -> float:
    return float(load(Location(faces / out, "test"), GENDER).card["choose"]["accuracy"])


def test_it_learns_and_its_checkpoint_is_ours(faces: Path, classify: Run) -> None:
    done = classify(*words(faces, "new.pth", "--float16", "--stages", "32:8:0.05-0.01"), env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr.decode()
    checkpoint = load(Location(faces / "new.pth", "test"), GENDER)
    assert checkpoint.labels == GENDER.labels and checkpoint.labels_named and checkpoint.temperature > 0
    card = checkpoint.card
    assert card["choose"]["n"] == 16 and np.sum(card["choose"]["confusion"]) == 16
    assert accuracy(faces, "new.pth") > 0.9
    assert card["command"].startswith("classify train gender labels.csv --choose choose.csv --out new.pth --init none")
    assert card["recipe"]["batch"] == 8
    assert weights(faces / "new.pth")["conv1.weight"].dtype == torch.float16
    assert weights(faces / "new.pth")["bn1.running_var"].dtype == torch.float32
    assert not (faces / "new.pth.state").exists()


def test_a_training_that_is_killed_comes_to_the_same_numbers(faces: Path) -> None:
    whole = order(faces, "whole.pth", passes=40)
    with one_thread():
        train(whole)
    asked = words(faces, "killed.pth", "--stages", "32:40:0.05-0.01", "--save-every", "0", "--quiet")
    state = faces / "killed.pth.state"
    process = subprocess.Popen(tiny_command(*asked), env=single_threaded(), stderr=subprocess.DEVNULL)
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was to be killed before its end"
    told: list[str] = []
    with one_thread():
        train(replace(whole, out=faces / "killed.pth", resume=True), note=told.append)
    assert any(text.startswith("going on at step") for text in told)
    assert same(faces / "whole.pth", faces / "killed.pth")


def test_another_training_is_not_resumed(faces: Path) -> None:
    begun = order(faces, "new.pth", minutes=0.0)
    with pytest.raises(EnoughError):
        train(begun, stop)
    with pytest.raises(OutputError, match=r"of another training \(batch: 8 then, 4 now\)"):
        train(replace(begun, recipe=replace(begun.recipe, batch=4), resume=True))


def test_a_teacher_of_full_weight_is_learned_from_whatever_the_labels_say(faces: Path) -> None:
    without(faces, "labels", *range(8, 40))
    save_teacher(faces / "teacher.pth")
    taught = order(faces, "taught.pth", teacher=faces / "teacher.pth", teacher_weight=1.0)
    labels = {"Female": "Male", "Male": "Female"}
    turned = [Example(each.path, {"gender": labels[each.labels["gender"]]}) for each in taught.label_set.examples]
    train(taught)
    train(replace(taught, label_set=replace(taught.label_set, examples=turned), out=faces / "turned.pth"))
    assert same(faces / "taught.pth", faces / "turned.pth")
    train(order(faces, "untaught.pth"))
    assert not same(faces / "taught.pth", faces / "untaught.pth")


def test_a_teachers_features_are_learned_too_and_resumed(faces: Path) -> None:
    without(faces, "labels", *range(32, 40))
    without(faces, "choose", *range(4, 16))
    save_teacher(faces / "teacher.pth")
    whole = order(faces, "whole.pth", task=GENDER, passes=1, teacher=faces / "teacher.pth", feature_weight=1.0)
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


@pytest.mark.parametrize(
    "text",
    [
        *("", "224", "224:1:0.1", "16:1:0.1-0.01", "224:0:0.1-0.01", "224:1:0.01-0.1", "a:b:c-d", "224:1:0.1-0.01,"),
        *("224:nan:0.1-0.01", "224:1e9:0.1-0.01", "224:1e999:0.1-0.01", "224:1:nan-nan", "224:1:1e999-0.1"),
        *("224:1:-0.1--0.2", "224:1:0-0", "224:1:1000-0", "9" * 5000 + ":1:0.1-0.01"),
    ],
)
def test_stages_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--stages"):
        Stage.parse(text)


def test_rates_may_have_an_exponent() -> None:
    assert Stage.parse("224:2.5:1e-2-2E-4") == Stage(224, 2.5, 0.01, 0.0002)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch", 0), ("batch", -8), ("average", 2.0), ("smoothing", float("nan")), ("prior", float("nan"))),
        *(("teacher_weight", 2.0), ("feature_weight", float("inf")), ("seed", -1), ("seed", 2**64)),
        ("decay", -1.0),
    ],
)
def test_numbers_of_a_recipe_that_are_none(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {value}: it is"):
        Recipe((Stage(32, 1, 0.1, 0.1),), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_time_between_saves_that_is_none(faces: Path, value: float) -> None:
    with pytest.raises(UsageError, match="--save-every"):
        order(faces, "new.pth", minutes=value).check()


def test_options_that_are_no_numbers_are_wrong_usage(faces: Path) -> None:
    for option, value in (("--seed", "-1"), ("--stages", "224")):
        done = run_tiny(*words(faces, "new.pth"), option, value)
        assert done.returncode == 2 and option in done.stderr and "Traceback" not in done.stderr


def test_features_without_a_teacher_are_refused(faces: Path) -> None:
    with pytest.raises(UsageError, match="give --teacher too"):
        order(faces, "new.pth", feature_weight=1.0).check()


class Diverging(torch.nn.Module):
    """A network whose answers are no numbers after its first steps."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, outputs)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        answer: torch.Tensor = self.fc(x.mean((2, 3)))
        return answer * (float("inf") if self.steps > 2 else 1.0)


def test_a_loss_that_is_no_number_ends_it_and_is_not_saved(faces: Path) -> None:
    diverging = order(faces, "new.pth", task=replace(GENDER, network=Diverging), minutes=60.0)
    said: list[str] = []
    with pytest.raises(DemoclassError, match="the loss is no number after step 3: begin again with lower rates"):
        train(diverging, say=said.append)
    assert not said and not list(faces.glob("new.pth*"))


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


def test_every_pass_has_every_image_once_and_each_in_another_order_and_crop(faces: Path, read: Reader) -> None:
    examples = read_labels(faces / "labels.csv").of(GENDER)
    feed = Feed(examples, GENDER, 8, 0, Share(), read)
    batches = list(feed.batches([32] * 10, 0))
    first, second = ([int(place) for _, _, places in half for place in places] for half in (batches[:5], batches[5:]))
    assert sorted(first) == sorted(second) == list(range(40)) and first != second
    (views, targets, places) = next(iter(feed.batches([32] * 10, 7)))
    assert torch.equal(views, batches[7][0]) and torch.equal(places, batches[7][2])
    assert [GENDER.labels[target] for target in targets] == [examples[place].labels["gender"] for place in places]


def test_shares_are_one_batch_together(faces: Path, read: Reader) -> None:
    examples = read_labels(faces / "labels.csv").of(GENDER)
    shares = (Share(), Share(0, 2), Share(1, 2))
    whole, *halves = (next(iter(Feed(examples, GENDER, 8, 0, share, read).batches([32], 0)))[2] for share in shares)
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


def test_a_start_from_a_checkpoint_with_another_kind_of_head(tmp_path: Path) -> None:
    state = {name: value for name, value in build("resnet18", 2).state_dict().items() if not name.startswith("fc.")}
    torch.save({"model_state_dict": {**state, "fc.0.weight": torch.zeros(3, 512)}}, tmp_path / "other.pth")
    begun = start(GENDER, None, str(tmp_path / "other.pth")).state_dict()
    assert torch.equal(begun["conv1.weight"], state["conv1.weight"]) and begun["fc.weight"].shape == (2, 512)


def test_labels_that_do_not_occur_do_not_count(faces: Path) -> None:
    verdict = Verdict(("a", "b", "c"), torch.tensor([[3, 1, 0], [0, 0, 0], [1, 0, 1]]))
    assert verdict.recalls == {"a": 0.75, "c": 0.5} and verdict.macro_recall == 0.625


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
