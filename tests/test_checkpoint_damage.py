"""A damaged checkpoint is refused, or it is the same as before: no weight is ever another one silently."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import environment, tiny_tasks
from democlass.errors import CheckpointError
from democlass.networks.checkpoint_files import save
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location, locate
from democlass.tasks import TASKS, Task

GENDER = tiny_tasks()[0]
STATE = GENDER.network(2).state_dict()
DIRECTORY_ATTRIBUTE = 0x10


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.pth"


@pytest.fixture
def whole(file: Path) -> bytes:
    save(file, STATE, labels=["Female", "Male"], temperature=1.5, card={"data": ["FairFace", 2.5, None]})
    return file.read_bytes()


def refusal(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(Location(file), GENDER)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def is_same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.state.keys() == other.state.keys() and (
        (one.labels, one.labels_named, one.temperature, one.card, one.remarks)
        == (other.labels, other.labels_named, other.temperature, other.card, other.remarks)
        and all(torch.equal(value, other.state[name]) for name, value in one.state.items())
    )


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield the content with one bit changed, cut short, or with bytes overwritten, added or taken away."""
    directory = content.index(b"PK\x01\x02")
    for place in [*range(0, directory, 5), *range(directory, len(content))]:
        yield content[:place] + bytes([content[place] ^ 1 << (place % 8)]) + content[place + 1 :]
    for place in range(0, len(content), 97):
        yield content[:place]
        yield content[:place] + bytes(50) + content[place + 50 :]
        yield content[:place] + b"added" + content[place:]
        yield content[:place] + content[place + 3 :]


def test_every_damage_is_found_or_harmless(file: Path, whole: bytes) -> None:
    before, refused = load(Location(file), GENDER), 0
    for number, content in enumerate(damaged(whole)):
        file.write_bytes(content)
        try:
            after = load(Location(file), GENDER)
        except CheckpointError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert is_same(before, after), number
    assert refused > 500


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_bit_changed_in_the_weights_of_a_built_in_one(task: Task, file: Path) -> None:
    content = bytearray(locate(task).path.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged or incomplete.*checksum"):
        load(Location(file), task)


def test_members_marked_as_directories_of_which_torch_reads_nothing(file: Path, whole: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(file, "w") as after:
        for member in before.infolist():
            content = before.read(member)
            if member.filename.endswith("data/0"):
                member.external_attr |= DIRECTORY_ATTRIBUTE
            after.writestr(member, content)
    assert "damaged" in refusal(file)


def test_compressed_members_are_refused_so_that_no_file_unpacks_to_more_than_its_size(file: Path, whole: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
        after.writestr("archive/data/9", bytes(10**8))
    assert "its content is compressed" in refusal(file)


def test_members_that_share_their_bytes_are_refused(file: Path, whole: bytes) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        with zipfile.ZipFile(io.BytesIO(whole)) as before:
            for name in before.namelist():
                archive.writestr(name, before.read(name))
        archive.writestr("archive/large", bytes(10**5))
        archive.filelist += archive.filelist[-1:] * 100
        archive._didModify = True  # type: ignore[attr-defined]  # so that the directory is written with them
    assert "declares more bytes than it has" in refusal(file)


@pytest.mark.filterwarnings("ignore")  # torch warns that its own format is deprecated
def test_a_torchscript_archive_is_called_so(file: Path) -> None:
    torch.jit.script(nn.Linear(3, 2)).save(str(file))  # type: ignore[no-untyped-call]
    assert "TorchScript" in refusal(file)


def test_files_without_checksums_that_are_damaged_are_read_or_refused(file: Path) -> None:
    torch.save({"model_state_dict": STATE}, file, _use_new_zipfile_serialization=False)
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << (place % 8)]) + content[place + 1 :])
        try:
            load(Location(file), GENDER)
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_the_old_format_is_told_to_have_no_checksums(file: Path) -> None:
    torch.save({"model_state_dict": STATE, "labels": list(GENDER.labels)}, file, _use_new_zipfile_serialization=False)
    (remark,) = load(Location(file), GENDER).remarks
    assert "has no checksums" in remark


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04nonsense", b"\x08" + b"\0" * 7 + b"{nonsense", b"\x80\x02."]
)
def test_a_file_that_is_no_checkpoint(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    assert "no checkpoint" in refusal(file)


def test_a_file_larger_than_any_checkpoint(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, file)
    monkeypatch.setattr("democlass.networks.checkpoint_files.MAX_BYTES", 100)
    assert "larger than 100 bytes" in refusal(file)


def test_a_folder(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path)


def test_a_full_disk_leaves_the_file_as_it_was_and_nothing_beside_it(file: Path, whole: bytes) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from democlass.networks.checkpoint_files import write_on_card\n"
        "from democlass.errors import WriteError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "try:\n    write_on_card(Path(sys.argv[1]), 'evaluation', {'n': 1})\n"
        "except WriteError as error:\n    sys.exit(str(error))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(file)], env=environment(), capture_output=True, timeout=120
    )
    assert answer.stderr.decode() == f"can't write {file}: File too large\n"
    assert file.read_bytes() == whole and list(file.parent.iterdir()) == [file]
