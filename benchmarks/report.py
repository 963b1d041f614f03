"""Time and memory of `classify report` for many rows.

    python benchmarks/report.py [--rows 10000000] [--faces-per-photo 1]

Writes synthetic results as Parquet, runs the command, and prints its time and the largest memory of its process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from democlass.tasks import TASKS

_ROWS_AT_ONCE = 100_000


def main() -> None:
    """Write the results, run the command, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--faces-per-photo", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.parquet"
        write_results(file, arguments.rows, arguments.faces_per_photo)
        start = time.perf_counter()
        command = [sys.executable, "-m", "democlass", "report", str(file), "--by", "folder"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        seconds = time.perf_counter() - start
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    print(f"{arguments.rows:,} rows: {seconds:.0f} s, {megabytes:,.0f} MB")


def write_results(file: Path, rows: int, faces: int) -> None:
    """Write random results with a number of faces in each photo, in ten folders."""
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, _ROWS_AT_ONCE):
        numbers = np.arange(start, min(rows, start + _ROWS_AT_ONCE))
        columns: dict[str, object] = {
            "path": [f"folder{number // faces % 10}/{number // faces}.jpg" for number in numbers],
            "status": ["ok"] * len(numbers),
        }
        if faces > 1:
            columns["face"] = (numbers % faces).astype(np.int32)
        for task in TASKS:
            values = rng.dirichlet(np.full(len(task.labels), 0.3), len(numbers)).astype(np.float32)
            columns[task.name] = np.array(task.labels)[values.argmax(1)]
            columns |= {f"{task.name}_{label}": values[:, index] for index, label in enumerate(task.labels)}
        table = pa.table(columns)
        writer = writer or pyarrow.parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    main()
