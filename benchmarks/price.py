"""What `--fast` costs: how far its probabilities are from float32's, and how many labels change.

    python benchmarks/price.py FOLDER_OF_FACES

takes 2,000 images of the folder, and 200 large photos made from them: four by three faces each, enlarged to 4032x3024.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from democlass.classifier import Classifier
from democlass.results import Prediction

FACES, PHOTOS = 2000, 200
GRID, PHOTO = (4, 3), (4032, 3024)
CLEAR = 0.1
"""Labels further apart than this, by the two best float32 probabilities, must never change."""


def make_photos(faces: Sequence[Path], folder: Path) -> list[Path]:
    """Write large photos, each of other faces as long as there are others."""
    endless = itertools.cycle(faces)
    side = PHOTO[0] // GRID[0]
    paths = []
    for number in range(PHOTOS):
        photo = Image.new("RGB", PHOTO)
        for row, column in itertools.product(range(GRID[1]), range(GRID[0])):
            with Image.open(next(endless)) as face:
                enlarged = face.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            photo.paste(enlarged, (column * side, row * side))
        paths.append(folder / f"{number}.jpg")
        photo.save(paths[-1], quality=90)
    return paths


def compare(name: str, exact: Sequence[Prediction], fast: Sequence[Prediction]) -> None:
    """Print, for each task, the changes of a probability and of labels."""
    for task in exact[0].outcomes:
        pairs = [(a.outcomes[task], b.outcomes[task]) for a, b in zip(exact, fast, strict=True)]
        changes = [abs(p - b.probabilities[label]) for a, b in pairs for label, p in a.probabilities.items()]
        turned = [sorted(a.probabilities.values()) for a, b in pairs if a.label != b.label]
        clear = sum(best - second > CLEAR for *_, second, best in turned)
        print(  # noqa: T201
            f"{name}, {task}: a probability changes by {max(changes):.4f} at most, "
            f"{sum(changes) / len(changes):.5f} on average; "
            f"{len(turned)} of {len(pairs)} labels change ({len(turned) / len(pairs):.2%}), {clear} clear ones"
        )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    faces = sorted(options.parse_args().folder.rglob("*.jpg"))[:FACES]
    exact, fast = Classifier.load(isolated=True), Classifier.load(isolated=True, fast=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in (("faces", faces), ("12-megapixel photos", make_photos(faces, Path(folder)))):
            compare(f"{len(paths)} {name}", list(exact.classify(paths)), list(fast.classify(paths)))


if __name__ == "__main__":
    main()
