"""The pipeline: each row is written before it is counted, and memory does not grow with the number of images."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from conftest import environment, save_tiny_weights, tiny_tasks
from democlass.classifier import Classifier
from democlass.inputs.item import Item
from democlass.inputs.local import Walk, find
from democlass.output.record import RunRecord
from democlass.output.tally import Tally
from democlass.pipeline import run
from democlass.results import Prediction


class ListSink:
    """Keeps predictions in memory."""

    def __init__(self) -> None:
        self.written: list[Prediction] = []

    def begin(self, record: RunRecord) -> None: ...

    def remaining(self, items: Iterable[Item]) -> Iterator[Item]:
        return iter(items)

    def write(self, prediction: Prediction) -> None:
        self.written.append(prediction)

    def finish(self, skipped: Counter[str]) -> Tally:
        return Tally()

    def close(self) -> None: ...


class FullSink(ListSink):
    def write(self, prediction: Prediction) -> None:
        raise OSError("full")


def test_a_row_is_counted_and_reported_after_it_was_written(tiny: Callable[..., Classifier], photos: Path) -> None:
    (photos / "bad.jpg").touch()
    names = [str(name) for name in sorted(photos.glob("*.*"))]
    sink, tally = ListSink(), Tally()
    written = sink.written

    def watch(prediction: Prediction) -> None:
        assert written[-1] is prediction
        assert tally.classified + tally.unreadable.total() == len(written)

    run(map(Item.of, names), tiny(batch_size=2), sink, tally, watch)
    assert [each.path for each in written] == names
    assert tally.as_dict() == {"rows": 6, "classified": 5, "unreadable": {"empty file": 1}}


def test_a_file_deleted_before_it_is_read_gets_an_error_row(tiny: Callable[..., Classifier], photos: Path) -> None:
    def items_with_one_deleted() -> Iterator[Item]:
        for item in find([str(photos)], Walk(), Counter()):
            if str(item.name).endswith("b.jpg"):
                Path(str(item.name)).unlink()
            yield item

    sink = ListSink()
    written = sink.written
    names = [item.name for item in find([str(photos)], Walk(), Counter())]
    run(items_with_one_deleted(), tiny(), sink, Tally())
    assert [each.path for each in written] == names
    assert [each.path for each in written if each.error] == [str(photos / "b.jpg")]
    assert all(each.error.startswith("no such file") for each in written if each.error)


def test_a_failed_write_ends_the_run(tiny: Callable[..., Classifier], photos: Path) -> None:
    tally = Tally()
    with pytest.raises(OSError, match="full"):
        run([Item.of(photos / "a.jpg")] * 9, tiny(), FullSink(), tally)
    assert tally.classified == 0


RUN = """
import resource, sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from conftest import tiny_tasks
from democlass.classifier import Classifier
from democlass.output.file_sink import FileSink, WriteMode
from democlass.pipeline import run
from democlass.output.record import RunRecord
from democlass.inputs.item import ItemList
from democlass.inputs.local import Walk, find
from democlass.output.tally import Tally
from democlass.output.formats import FORMATS

folder, weights, out = map(Path, sys.argv[1:])
tasks = tiny_tasks()
classifier = Classifier.load(weights=weights, tasks=tasks, device="cpu")
with closing(FileSink(out, FORMATS[out.suffix[1:]], WriteMode(), tasks)) as output:
    items = ItemList(find([str(folder)], Walk(), Counter()))
    output.begin(RunRecord.of(classifier.networks, classifier.settings, out.suffix[1:]))
    run(output.remaining(items), classifier, output, Tally())
    print(output.finish(Counter()).classified, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(images: int, photo: Path, folder: Path) -> float:
    """Return the peak memory, in MB, of a run over `images` hard links to one photo."""
    collection = folder / str(images)
    collection.mkdir()
    for number in range(images):
        os.link(photo, collection / f"{number:05}.jpg")
    arguments: list[str | Path] = [
        sys.executable,
        "-c",
        RUN,
        collection,
        folder / "weights",
        folder / f"{images}.parquet",
    ]
    env = environment()
    env["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    result = subprocess.run(arguments, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows, kilobytes = result.stdout.split()
    assert int(rows) == images
    return int(kilobytes) / 1000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, portrait: Image.Image) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "weights").mkdir()
    save_tiny_weights(tmp_path / "weights", tiny_tasks())
    photo = tmp_path / "photo.jpg"
    portrait.resize((64, 48)).save(photo)
    few, many = peak_memory(300, photo, tmp_path), peak_memory(2500, photo, tmp_path)
    assert many - few < 65  # 30 kB per image, less than a decoded one
