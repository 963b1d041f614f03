"""The options shared by `classify PATH` and `classify batch`: searching folders, and writing rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated

from democlass.cli.face_options import FaceOptions
from democlass.cli.option import FOLDERS, IMAGES, OUTPUT, option
from democlass.cli.options import NetworkOptions, SettingsOptions
from democlass.errors import UsageError
from democlass.inputs.local import Walk
from democlass.output.file_sink import WriteMode
from democlass.settings import Settings


class OutputFormat(str, Enum):
    """The format of rows."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True)
class FolderOptions:
    """How folders and lists of names are searched."""

    null: Annotated[
        bool,
        option("--null", "-0", panel=FOLDERS,
               help="Names on standard input end with a NUL byte. Default: with a line feed."),
    ] = False  # fmt: skip
    no_recursive: Annotated[
        bool, option("--no-recursive", panel=FOLDERS, env="NO_RECURSIVE", help="Do not search subfolders.")
    ] = False
    hidden: Annotated[
        bool, option("--hidden", panel=FOLDERS, env="HIDDEN", help="Also search hidden files and folders (.name).")
    ] = False
    include: Annotated[
        list[str] | None,
        option("--include", panel=FOLDERS, metavar="GLOB",
               help="In folders, classify only files that match, with any suffix. Repeatable. "
               "Default: files with the suffix of an image."),
    ] = None  # fmt: skip
    exclude: Annotated[
        list[str] | None,
        option("--exclude", panel=FOLDERS, metavar="GLOB",
               help="In folders, skip files and subfolders that match. Repeatable. Default: skip none."),
    ] = None  # fmt: skip

    def walk(self) -> Walk:
        """Return how folders are searched."""
        return Walk(not self.no_recursive, self.hidden, tuple(self.include or ()), tuple(self.exclude or ()))


@dataclass(frozen=True)
class OutputOptions:
    """Where rows are written, and what happens to files that exist."""

    format: Annotated[
        OutputFormat | None,
        option("--format", "-f", panel=OUTPUT, env="FORMAT",
               help="Format of the rows. Default: by the suffix of --out. Without --out: a table on a terminal, "
               "JSON Lines in a pipe; for batch, CSV."),
    ] = None  # fmt: skip
    out: Annotated[
        Path | None,
        option("--out", "-o", panel=OUTPUT, metavar="FILE",
               help="File for the rows. FILE.run.json next to it records how they were made. "
               "Default: standard output."),
    ] = None  # fmt: skip
    resume: Annotated[
        bool, option("--resume", panel=OUTPUT, help="Continue --out: classify the images that have no row yet.")
    ] = False
    retry_errors: Annotated[
        bool, option("--retry-errors", panel=OUTPUT, help="Like --resume, and classify its error rows again.")
    ] = False
    overwrite: Annotated[
        bool, option("--overwrite", panel=OUTPUT, help="Replace --out and --errors if they exist.")
    ] = False
    errors: Annotated[
        Path | None,
        option("--errors", panel=OUTPUT, metavar="FILE",
               help="CSV file for the images that could not be read: path, error. Written at the end of the run, from "
               "all rows of --out. Default: none."),
    ] = None  # fmt: skip

    def check(self) -> None:
        """Raise UsageError if the options contradict each other."""
        is_resumed = self.resume or self.retry_errors
        if self.overwrite and is_resumed:
            raise UsageError("--overwrite starts again, --resume and --retry-errors continue: give one of them")
        if self.out is None and is_resumed:
            raise UsageError("--resume and --retry-errors continue an --out FILE: give --out")
        if self.overwrite and not self.replaceable():
            raise UsageError("--overwrite replaces an --out FILE or an --errors FILE: give one of them")

    def replaceable(self) -> list[Path]:
        """Return the files and folders that --overwrite would replace."""
        return [path for path in (self.out, self.errors) if path is not None]

    def write_mode(self) -> WriteMode:
        """Return what may happen to an output file that exists."""
        return WriteMode(self.resume or self.retry_errors, self.overwrite, self.retry_errors)


@dataclass(frozen=True)
class RunOptions(NetworkOptions, SettingsOptions, FaceOptions, FolderOptions, OutputOptions):
    """All options of `classify PATH` and `classify batch`."""

    min_confidence: Annotated[
        float,
        option("--min-confidence", panel=IMAGES, env="MIN_CONFIDENCE", min=0.0, max=1.0, metavar="P",
               help="Labels with a confidence below P are replaced by 'uncertain'. Probabilities do not change."),
    ] = 0.0  # fmt: skip

    def replaceable(self) -> list[Path]:
        """Return the files and folders that --overwrite would replace."""
        return super().replaceable() + [path for path in (self.save_crops, self.annotate) if path is not None]

    def settings(self) -> Settings:
        """Return the options that affect results. Raises UsageError."""
        return replace(self.with_faces(super().settings()), min_confidence=self.min_confidence)
