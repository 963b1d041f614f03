"""How well faces are found in photos, and what finding them costs in accuracy, by perceived gender and race.

    python benchmarks/faces.py LABELS.csv [--root FOLDER] [--map path=file] [--backgrounds FOLDER]

The labels file lists face crops, such as FairFace's, with `gender` and `race`. They are pasted into photos of 1200x900
pixels at known places: at several sizes, turned by up to 8 degrees, with every EXIF orientation, on plain, noisy and
real backgrounds (photos without people, of `--backgrounds` and of scikit-learn). The last lines say whether the limits
hold; if not, the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from face_chart import draw_chart
from face_matching import Found, match, recall_table
from face_photos import PHOTO, SIZES, Pasted, compose
from PIL import Image

from democlass.classifier import Classifier
from democlass.inputs.label_mapping import LabelMapping
from democlass.inputs.labels import read_labels
from democlass.tasks import TASKS

FACE_SIZES = (640, 960)
MEDIUM = (60, 80, 120)
"""Sizes at which groups are compared: there faces begin to be missed."""

LARGE = 80
"""Pixels from which the floor of the recall and the accuracy are measured."""

MIN_RECALL, MAX_UNMATCHED, MAX_GAP, MAX_LOSS = 0.95, 0.05, 5.0, 1.5
ROTATIONS = (30, 45, 90)


def detect(photos: Sequence[Path], pasted: Sequence[Pasted], face_size: int) -> tuple[list[Found], float]:
    """Return the pasted faces with what was found of each, and the number of other faces found per photo."""
    with Classifier.load(device="cpu", faces=True, face_size=face_size, min_face=1) as classifier:
        predictions = {prediction.path: prediction for prediction in classifier.classify(photos)}
    found, unmatched = match(pasted, predictions)
    return found, unmatched / len(photos)


def add_direct(found: Iterable[Found]) -> None:
    """Add what the networks say of each crop alone."""
    faces = list(found)
    with Classifier.load(device="cpu") as classifier:
        for face, prediction in zip(faces, classifier.classify([face.pasted.patch for face in faces]), strict=True):
            face.direct = prediction.outcomes


def loss(found: Sequence[Found], task: str) -> tuple[float, float, float]:
    """Return the accuracy on found faces in percent: of crops given directly, of faces, and the difference."""
    usable = [face for face in found if face.face is not None and face.pasted.side >= LARGE]
    direct = 100 * sum(face.direct[task].label == face.pasted.labels[task] for face in usable) / len(usable)
    cut = 100 * sum(face.outcomes[task].label == face.pasted.labels[task] for face in usable) / len(usable)
    return direct, cut, direct - cut


def bare(backgrounds: Sequence[Image.Image], folder: Path, face_size: int) -> tuple[int, int]:
    """Return the number of photos without faces, and the number of faces found in them."""
    paths = []
    for number, image in enumerate(backgrounds):
        paths.append(folder / f"bare-{number}.png")
        image.save(paths[-1])
    with Classifier.load(device="cpu", faces=True, face_size=face_size, min_face=1) as classifier:
        return len(paths), sum(len(prediction.faces) for prediction in classifier.classify(paths))


def read_backgrounds(folder: Path | None) -> list[Image.Image]:
    """Return the photos of a folder, and those of scikit-learn if it is installed."""
    paths = [] if folder is None else sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    try:
        import sklearn.datasets

        paths += sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))
    except ImportError:
        pass
    return [Image.open(path).convert("RGB") for path in paths]


def main() -> int:
    """Compose, detect, and print the tables; return the exit code."""
    options = parse_options()
    labels = read_labels(options.labels, root=options.root, mapping=LabelMapping.parse(options.map))
    examples = [example for example in labels.examples if len(example.labels) == len(TASKS)][: options.faces]
    backgrounds = read_backgrounds(options.backgrounds)
    report: dict[str, Any] = {"faces": len(examples), "backgrounds": len(backgrounds), "photo": PHOTO}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pasted = list(compose(examples, backgrounds, folder, rotations=(0,), seed=0))
        photos = sorted({face.photo for face in pasted})
        for face_size in FACE_SIZES:
            found, unmatched = detect(photos, pasted, face_size)
            add_direct(face for face in found if face.face is not None)
            report[str(face_size)] = describe(found, unmatched, bare(backgrounds, folder, face_size))
        part = examples[: max(len(examples) // 4, 1)]
        report["rotations"] = {}
        for rotation in ROTATIONS:
            (folder / str(rotation)).mkdir()
            place = folder / str(rotation)
            turned = list(compose(part, backgrounds, place, rotations=(rotation,), seed=1))
            found, _ = detect(sorted({face.photo for face in turned}), turned, FACE_SIZES[0])
            report["rotations"][rotation] = recall_of_large(found)
        (folder / "border").mkdir()
        cut_off = list(compose(part, backgrounds, folder / "border", rotations=(0,), seed=2, at_border=True))
        report["border"] = {}
        for face_size in FACE_SIZES:
            found, _ = detect(sorted({face.photo for face in cut_off}), cut_off, face_size)
            report["border"][str(face_size)] = recall_of_large(found)
    if options.svg:
        draw_chart(report[str(FACE_SIZES[0])]["recall by size and race"], options.svg)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return print_report(report)


def recall_of_large(found: Sequence[Found]) -> float:
    """Return the share of the faces from 80 pixels that were found, or NaN if there are none."""
    large = [face.face is not None for face in found if face.pasted.side >= LARGE]
    return sum(large) / len(large) if large else math.nan


def describe(found: Sequence[Found], unmatched: float, bare_counts: tuple[int, int]) -> dict[str, Any]:
    """Return all figures for one size of the searched image."""
    medium = [face for face in found if face.pasted.side in MEDIUM]
    return {
        "recall by size": recall_table(found, lambda face: str(face.pasted.side)),
        "recall by race": recall_table(medium, lambda face: face.pasted.labels["race"]),
        "recall by size and race": {
            race: recall_table(
                [face for face in found if face.pasted.labels["race"] == race], lambda face: str(face.pasted.side)
            )
            for race in sorted({face.pasted.labels["race"] for face in found})
        },
        "recall by gender": recall_table(medium, lambda face: face.pasted.labels["gender"]),
        "unmatched per photo": unmatched,
        "bare photos": bare_counts,
        "accuracy": {task.name: loss(found, task.name) for task in TASKS},
    }


def print_report(report: dict[str, Any]) -> int:
    """Print Markdown tables and the limits; return 1 if a limit does not hold."""
    sizes = [str(size) for size in SIZES]
    print(f"{report['faces']:,} faces in photos of {PHOTO[0]}x{PHOTO[1]} pixels\n")
    print(
        f"| recall | {' | '.join(f'{size} px' for size in sizes)} | others found per photo | in photos without faces |"
    )
    print("|" + " --- |" * (len(sizes) + 3))
    for name in map(str, FACE_SIZES):
        each = report[name]
        cells = [f"{each['recall by size'][size][0]:.3f}" for size in sizes]
        count, faces = each["bare photos"]
        print(
            f"| `--face-size {name}` | {' | '.join(cells)} | {each['unmatched per photo']:.3f} | {faces} in {count} |"
        )
    print("\n| recall at 60 to 120 px | 640 | 960 | faces |\n| --- | --- | --- | --- |")
    for kind in ("recall by race", "recall by gender"):
        for group, (recall, count) in report["640"][kind].items():
            print(f"| {group} | {recall:.3f} | {report['960'][kind][group][0]:.3f} | {count} |")
    print("\n| accuracy from 80 px | crops given directly | found faces | loss in points |\n| --- | --- | --- | --- |")
    for name in map(str, FACE_SIZES):
        for task, (direct, cut, lost) in report[name]["accuracy"].items():
            print(f"| perceived {task}, `--face-size {name}` | {direct:.1f} % | {cut:.1f} % | {lost:+.1f} |")
    print("\n| turned by | recall from 80 px |\n| --- | --- |")
    for rotation, recall in report["rotations"].items():
        print(f"| {rotation} degrees | {recall:.2f} |")
    print("\n| 5 to 20 % of the crop cut off at a border | recall from 80 px |\n| --- | --- |")
    for name, recall in report["border"].items():
        print(f"| `--face-size {name}` | {recall:.2f} |")
    print()
    return print_limits(report)


def print_limits(report: dict[str, Any]) -> int:
    """Print whether each limit holds; return 1 if one does not."""
    failures = 0
    for name in map(str, FACE_SIZES):
        each = report[name]
        recalls = {size: each["recall by size"][str(size)][0] for size in SIZES if size >= LARGE}
        races = [recall for recall, _ in each["recall by race"].values()]
        limits = {
            f"recall from 80 px is at least {MIN_RECALL}": min(recalls.values()) >= MIN_RECALL,
            f"at most {MAX_UNMATCHED} other faces per photo": each["unmatched per photo"] <= MAX_UNMATCHED,
            f"gap between perceived races is at most {MAX_GAP:g} points": 100 * (max(races) - min(races)) <= MAX_GAP,
            **{
                f"perceived {task} loses at most {MAX_LOSS} points": lost <= MAX_LOSS
                for task, (_, _, lost) in each["accuracy"].items()
            },
        }
        for text, holds in limits.items():
            print(f"{'holds' if holds else 'FAILS'}: {text} (--face-size {name})")
            failures += not holds
    return 1 if failures else 0


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="labels file of face crops")
    parser.add_argument("--root", type=Path, help="folder of the images; default: that of the labels file")
    parser.add_argument("--map", action="append", default=[], help="as for classify evaluate, such as path=file")
    parser.add_argument("--backgrounds", type=Path, help="folder of photos without people")
    parser.add_argument("--faces", type=int, default=100_000, help="number of faces; default: all")
    parser.add_argument("--svg", type=Path, help="file for a picture of the recall by size and perceived race")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
