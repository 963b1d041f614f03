"""Error and coverage of the estimates of `classify report`, on collections whose true shares are known.

    classify batch FOLDER --out results.csv
    python benchmarks/coverage.py LABELS.csv RESULTS.csv [--root FOLDER] [--map path=file] [--draws 200]

More pairs of files are given with `--also LABELS.csv RESULTS.csv`. In each draw the images are split into two halves
anew. The confusion matrix comes from one half. A collection with known shares is drawn with replacement from the other
half; a repeated image counts as several faces of one photo. Printed are the mean absolute error of the shares in points
and the share of 95 % intervals that contain the true share. The last lines say whether the limits hold; if not, the
exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from democlass.inputs.label_mapping import LabelMapping
from democlass.inputs.labels import read_labels
from democlass.report.correction import corrected
from democlass.report.estimates import PhotoSums, Shares, counted, mean_probability
from democlass.report.powered import Stratum, powered
from democlass.tasks import TASKS, Task

GENDER, RACE = TASKS
SIZES = (500, 5000)
LABELLED = 200
CORRECTION_DRAWS = 1000
LIMITS = {"corrected": (0.92, 0.98), "labelled": (0.93, 0.97)}
ESTIMATES = ("counted", "mean probability", "corrected", "labelled")


@dataclass(frozen=True)
class Scenario:
    """A collection: the share of each label of a task. Labels that are not named share the rest equally."""

    name: str
    task: Task
    named: Mapping[str, float]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The shares of all labels: float64 K."""
        rest = (1 - sum(self.named.values())) / max(1, len(self.task.labels) - len(self.named))
        return np.array([self.named.get(label, rest) for label in self.task.labels])

    @property
    def is_skewed(self) -> bool:
        """Whether the shares differ."""
        return float(np.ptp(self.shares)) > 1e-9


SCENARIOS = (
    Scenario("uniform", RACE, {}),
    Scenario("80 % Male", GENDER, {"Female": 0.2, "Male": 0.8}),
    Scenario("10 % Black, 50 % White", RACE, {"Black": 0.1, "White": 0.5}),
    Scenario("40 % Middle_Eastern", RACE, {"Middle_Eastern": 0.4}),
    Scenario("2 % Indian", RACE, {"Indian": 0.02}),
    Scenario("90 % White", RACE, {"White": 0.9}),
    Scenario("60 % Asian, 2 % Latino_Hispanic", RACE, {"Asian": 0.6, "Latino_Hispanic": 0.02}),
    Scenario("95 % Female", GENDER, {"Female": 0.95, "Male": 0.05}),
)


@dataclass(frozen=True)
class Data:
    """The labels (int64 N) and probabilities (float64 N x K) of one task."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def main() -> int:
    """Print the tables; return the exit code."""
    arguments = parse_arguments()
    data = {task.name: read(task, arguments) for task in TASKS}
    failures = 0
    with ProcessPoolExecutor(arguments.processes) as pool:
        for size in SIZES:
            print(f"\n{size:,} faces, {arguments.draws} draws\n")
            print("| collection | " + " | ".join(f"{name}: error, coverage" for name in ESTIMATES) + " |")
            print("| --- |" + " --- |" * len(ESTIMATES), flush=True)
            for scenario in SCENARIOS:
                run = partial(run_draw, data[scenario.task.name], scenario, size)
                draws = list(pool.map(run, range(arguments.draws), chunksize=5))
                errors, covered = (np.mean([draw[index] for draw in draws], 0) for index in (0, 1))
                cells = [f"{100 * error:.1f}, {share:.1%}" for error, share in zip(errors, covered, strict=True)]
                print(f"| {scenario.name} | {' | '.join(cells)} |", flush=True)
                found = dict(zip(ESTIMATES, zip(errors, covered, strict=True), strict=True))
                for failure in find_failures(scenario, found):
                    failures += 1
                    print(f"FAILS: {scenario.name}, {size:,} faces: {failure}", file=sys.stderr)
    print("\nall limits hold" if not failures else f"\n{failures} limits do not hold")
    return int(failures > 0)


def run_draw(data: Data, scenario: Scenario, size: int, seed: int) -> tuple[list[float], list[float]]:
    """Return the mean absolute error and the coverage of each of ESTIMATES in one draw."""
    rng = np.random.default_rng((seed, size))
    order = rng.permutation(len(data.labels))
    known, rest = order[: len(order) // 2], order[len(order) // 2 :]
    labels = len(scenario.task.labels)
    confusion = np.zeros((labels, labels), np.int64)
    np.add.at(confusion, (data.labels[known], data.probabilities[known].argmax(1)), 1)
    collection = draw_collection(data.labels[rest], scenario.shares, size, rng)
    photos = rest[collection]
    truth = scenario.shares
    errors, covered = [], []
    for shares in estimate(data, photos, confusion, rng):
        errors.append(float(np.abs(shares.share - truth).mean()))
        covered.append(float(((shares.low <= truth) & (truth <= shares.high)).mean()))
    return errors, covered


def draw_collection(
    labels: NDArray[np.int64], shares: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the indices of `size` images, drawn with replacement so that each face has a label with its share."""
    drawn = rng.choice(len(shares), size, p=shares)
    indices = np.empty(size, np.int64)
    for label in range(len(shares)):
        is_label = drawn == label
        indices[is_label] = rng.choice(np.flatnonzero(labels == label), int(is_label.sum()))
    return indices


def estimate(
    data: Data, faces: NDArray[np.int64], confusion: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[Shares]:
    """Yield the estimates for a collection of images, which may be repeated, in the order of ESTIMATES."""
    images, repeats = np.unique(faces, return_counts=True)
    weights = repeats.astype(np.float64)
    labels = len(confusion)
    predicted = np.eye(labels)[data.probabilities.argmax(1)]
    sums = PhotoSums.of(predicted[images] * weights[:, None], weights)
    yield counted(sums)
    yield mean_probability(PhotoSums.of(data.probabilities[images] * weights[:, None], weights))
    yield corrected(sums, confusion, draws=CORRECTION_DRAWS).shares
    yield powered(label_sample(data, faces, predicted, rng))


def label_sample(
    data: Data, faces: NDArray[np.int64], predicted: NDArray[np.float64], rng: np.random.Generator
) -> Sequence[Stratum]:
    """Return the strata, by predicted label, of a collection with LABELLED labelled faces, at least 2 in each."""
    chosen = data.probabilities[faces].argmax(1)
    truth = np.eye(predicted.shape[1])
    strata = []
    for label in np.unique(chosen):
        members = faces[chosen == label]
        count = min(len(members), max(2, round(LABELLED * len(members) / len(faces))))
        if count < 2:
            continue
        sample = rng.choice(members, count, replace=False)
        scores = data.probabilities[members]
        strata.append(
            Stratum(scores.mean(0), scores.var(0), len(members), data.probabilities[sample], truth[data.labels[sample]])
        )
    return strata


def find_failures(scenario: Scenario, found: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Yield a message for each limit that fails. `found` has the error and the coverage of each of ESTIMATES."""
    for name, (least, most) in LIMITS.items():
        coverage = found[name][1]
        if not least <= coverage <= most:
            yield f"{name}: coverage {coverage:.1%}, not {least:.0%} to {most:.0%}"
    if scenario.is_skewed and found["corrected"][0] >= found["counted"][0]:
        yield "the corrected shares have no smaller error than the counted ones"


def read(task: Task, arguments: argparse.Namespace) -> Data:
    """Return the data of all pairs of labels and results."""
    parts = []
    for labels_file, results_file in [(arguments.labels, arguments.results), *(arguments.also or [])]:
        label_set = read_labels(labels_file, root=arguments.root, mapping=LabelMapping.parse(arguments.map))
        labels = {Path(example.path).resolve(): example.labels[task.name] for example in label_set.of(task)}
        results = pd.read_csv(results_file)
        results = results[results["status"] == "ok"]
        columns = [f"{task.name}_{label}" for label in task.labels]
        found = [labels.get(Path(path).resolve()) for path in results["path"]]
        has_label = np.array([label is not None for label in found])
        targets = np.array([task.labels.index(label) for label in found if label is not None])
        parts.append(Data(targets, results[columns].to_numpy(np.float64)[has_label]))
    return Data(np.concatenate([each.labels for each in parts]), np.concatenate([each.probabilities for each in parts]))


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="labels file")
    parser.add_argument("results", type=Path, help="results of `classify batch` for its images, CSV")
    parser.add_argument("--also", type=Path, nargs=2, action="append", metavar=("LABELS", "RESULTS"))
    parser.add_argument("--root", type=Path, help="folder of the images; default: that of the labels file")
    parser.add_argument("--map", action="append", default=[], help="as for classify evaluate, such as path=file")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
