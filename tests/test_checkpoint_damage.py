"""A damaged checkpoint is refused, or gives the same result as before. No weight changes silently."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import tiny_tasks
from democlass.errors import CheckpointError, WriteError
from democlass.networks.checkpoint_files import save, write_card_entry
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location, locate
from democlass.tasks import TASKS, Task
from processes import file_size_limit

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
        (one.labels, one.labels_named, one.temperature, one.card, one.warnings)
        == (other.labels, other.labels_named, other.temperature, other.card, other.warnings)
        and all(torch.equal(value, other.state[name]) for name, value in one.state.items())
    )


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield the content with one bit changed, truncated, or with bytes overwritten, added or removed."""
    directory = content.index(b"PK\x01\x02")
    for position in [*range(0, directory, 5), *range(directory, len(content))]:
        yield content[:position] + bytes([content[position] ^ 1 << (position % 8)]) + content[position + 1 :]
    for position in range(0, len(content), 97):
        yield content[:position]
        yield content[:position] + bytes(50) + content[position + 50 :]
        yield content[:position] + b"added" + content[position:]
        yield content[:position] + content[position + 3 :]


def test_all_damage_is_detected_or_harmless(file: Path, whole: bytes) -> None:
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
def test_changed_bit_in_a_built_in_checkpoint_is_detected(task: Task, file: Path) -> None:
    content = bytearray(locate(task).path.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged or incomplete.*checksum"):
        load(Location(file), task)


def test_members_marked_as_directories_are_refused(file: Path, whole: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(file, "w") as after:
        for member in before.infolist():
            content = before.read(member)
            if member.filename.endswith("data/0"):
                member.external_attr |= DIRECTORY_ATTRIBUTE
            after.writestr(member, content)
    assert "damaged" in refusal(file)


def test_compressed_members_are_refused(file: Path, whole: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
        after.writestr("archive/data/9", bytes(10**8))
    assert "its content is compressed" in refusal(file)


def test_overlapping_members_are_refused(file: Path, whole: bytes) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        with zipfile.ZipFile(io.BytesIO(whole)) as before:
            for name in before.namelist():
                archive.writestr(name, before.read(name))
        archive.writestr("archive/large", bytes(10**5))
        archive.filelist += archive.filelist[-1:] * 100
        archive._didModify = True  # type: ignore[attr-defined]  # writes the changed directory
    assert "declares more bytes than it has" in refusal(file)


@pytest.mark.filterwarnings("ignore")  # torch warns that its own format is deprecated
def test_error_for_a_torchscript_archive(file: Path) -> None:
    torch.jit.script(nn.Linear(3, 2)).save(str(file))  # type: ignore[no-untyped-call]
    assert "TorchScript" in refusal(file)


def test_damaged_files_without_checksums_raise_no_other_error(file: Path) -> None:
    torch.save({"model_state_dict": STATE}, file, _use_new_zipfile_serialization=False)
    content = file.read_bytes()
    for position in range(0, len(content), 7):
        file.write_bytes(
            content[:position] + bytes([content[position] ^ 1 << (position % 8)]) + content[position + 1 :]
        )
        try:
            load(Location(file), GENDER)
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_warning_for_the_format_without_checksums(file: Path) -> None:
    torch.save({"model_state_dict": STATE, "labels": list(GENDER.labels)}, file, _use_new_zipfile_serialization=False)
    (warning,) = load(Location(file), GENDER).warnings
    assert "has no checksums" in warning


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04nonsense", b"\x08" + b"\0" * 7 + b"{nonsense", b"\x80\x02."]
)
def test_files_that_are_not_checkpoints_are_refused(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    assert "not a checkpoint" in refusal(file)


def test_too_large_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, file)
    monkeypatch.setattr("democlass.networks.checkpoint_files.MAX_BYTES", 100)
    assert "larger than 100 bytes" in refusal(file)


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path)


def test_full_disk_leaves_the_file_unchanged_and_no_temporary_file(file: Path, whole: bytes) -> None:
    with file_size_limit(500), pytest.raises(WriteError) as caught:
        write_card_entry(file, "evaluation", {"n": 1})
    assert str(caught.value) == f"can't write {file}: File too large"
    assert file.read_bytes() == whole and list(file.parent.iterdir()) == [file]
