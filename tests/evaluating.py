"""What the tests of evaluation share: predictions, files of results, and an evaluation that can be checked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from democlass.evaluate.evaluation import evaluate
from democlass.inputs.labels import LabelSet, read_labels
from democlass.output.formats import FORMATS, WriterOptions
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS

GENDER, RACE = TASKS
HOSTILE = "<b>&'\"hostile.jpg"


def prediction(path: str, female: float, race: str = "White") -> Prediction:
    """Return a prediction with these probabilities: `female` for Female, 0.9 for a race."""
    others = dict.fromkeys(RACE.labels, 0.1 / 5)
    return Prediction.of_image(
        path,
        {
            "gender": Outcome.choose({"Female": female, "Male": 1 - female}),
            "race": Outcome.choose({**others, race: 0.9}),
        },
    )


def results(folder: Path, predictions: list[Prediction], name: str = "results.csv") -> Path:
    """Write a file of results, in the format of its suffix."""
    with (folder / name).open("wb") as stream:
        writer = FORMATS[name.rpartition(".")[2]].writer(stream, WriterOptions())
        for each in predictions:
            writer.write(each)
        writer.close()
    return folder / name


def one_label(folder: Path) -> LabelSet:
    """Return the labels of one image, `a.jpg`."""
    (folder / "labels.csv").write_text("path,gender,race\na.jpg,Male,White\n")
    return read_labels(folder / "labels.csv")


def make_evaluation(folder: Path) -> dict[str, Any]:
    """Evaluate ten images labelled Female and ten labelled Male; three and one of them are predicted wrongly.

    One more image is unreadable, one has no prediction, and one has no labels.
    """
    lines, predictions = ["path,gender,race"], []
    for number in range(20):
        is_female, race = number < 10, "Black" if number % 2 else "White"
        is_wrong = number in (1, 3, 5, 11)
        lines.append(f"{number}.jpg,{'Female' if is_female else 'Male'},{race}")
        predictions.append(prediction(str(folder / f"{number}.jpg"), 0.8 if is_female != is_wrong else 0.2))
    lines += [f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",Male,White', "gone.jpg,Male,White", "bare.jpg,,"]
    predictions += [
        Prediction(str(folder / HOSTILE), error="truncated: <i>copy</i> it again"),
        prediction(str(folder / "bare.jpg"), 0.9),
    ]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return evaluate(read_labels(folder / "labels.csv"), results(folder, predictions))
