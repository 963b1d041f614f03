"""How much `--fast` changes probabilities and labels, compared with float32.

    python benchmarks/fast_accuracy.py FOLDER_OF_FACES

uses 2,000 images of the folder, and 200 large photos made from them: four by three faces each, enlarged to 4032x3024.
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
CLEAR_MARGIN = 0.1
"""A label must not change if the two highest float32 probabilities are further apart than this."""


def make_photos(faces: Sequence[Path], folder: Path) -> list[Path]:
    """Write large photos made of faces. A face is used again only after all others."""
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
    """Print the changes of probabilities and labels for each task."""
    for task in exact[0].outcomes:
        pairs = [(a.outcomes[task], b.outcomes[task]) for a, b in zip(exact, fast, strict=True)]
        changes = [abs(p - b.probabilities[label]) for a, b in pairs for label, p in a.probabilities.items()]
        changed = [sorted(a.probabilities.values()) for a, b in pairs if a.label != b.label]
        clear = sum(best - second > CLEAR_MARGIN for *_, second, best in changed)
        print(
            f"{name}, {task}: a probability changes by {max(changes):.4f} at most and "
            f"{sum(changes) / len(changes):.5f} on average; "
            f"{len(changed)} of {len(pairs)} labels change ({len(changed) / len(pairs):.2%}), {clear} of them clear"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    faces = sorted(parser.parse_args().folder.rglob("*.jpg"))[:FACES]
    exact, fast = Classifier.load(), Classifier.load(fast=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in (("faces", faces), ("12-megapixel photos", make_photos(faces, Path(folder)))):
            compare(f"{len(paths)} {name}", list(exact.classify(paths)), list(fast.classify(paths)))


if __name__ == "__main__":
    main()
