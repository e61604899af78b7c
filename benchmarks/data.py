"""The demo's data: Parquet files of 20 features and a 0/1 target from a noisy line.

Made partition by partition in parallel, so any number of rows fits in memory. To write
it alone, from the repository's root: ``python -m benchmarks.data`` (``ROWS``,
``DEMO_DIR`` as for `benchmarks.demo`).
"""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds

FEATURES = [f"f{number}" for number in range(20)]
MAX_PARTITION_ROWS = 500_000
MIN_PARTITIONS = 8
NOISE = 0.6
SEED = 20170916


def write_data(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write `rows` to fit and a tenth as many that are held out; return the folders.

    Folders that hold these rows already are left as they are.
    """
    fitted, held_out = folder / "data", folder / "held-out"
    _write(fitted, rows, MIN_PARTITIONS, seed=SEED)
    _write(held_out, max(rows // 10, 1), 1, seed=SEED + 1)
    return fitted, held_out


def partition_rows(rows: int, at_least: int) -> list[int]:
    """Cut rows into partitions of nearly the same length."""
    n = min(max(at_least, ceil(rows / MAX_PARTITION_ROWS)), rows)
    return [rows // n + (number < rows % n) for number in range(n)]


def make_partition(number: int, rows: int, seed: int) -> pd.DataFrame:
    """Make the rows of one partition; the same ones for the same arguments."""
    rng = np.random.default_rng([seed, number])
    unit = rng.standard_normal((rows, len(FEATURES)))
    means, scales, weights = _line()
    margin = unit @ weights + NOISE * rng.standard_normal(rows)
    frame = pd.DataFrame(unit * scales + means, columns=FEATURES)
    return frame.assign(y=(margin > 0).astype("int64"))


def _line() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each feature's mean and scale, and its weight in the target."""
    rng = np.random.default_rng(SEED)
    size = len(FEATURES)
    means, scales = rng.uniform(-50, 50, size), 10 ** rng.uniform(-1, 2, size)
    return means, scales, rng.standard_normal(size)


def _write(folder: Path, rows: int, at_least: int, seed: int) -> None:
    if folder.exists() and _count_rows(folder) == rows:
        return
    sizes = partition_rows(rows, at_least)
    frame = dd.from_map(
        make_partition,
        range(len(sizes)),
        sizes,
        seed=seed,
        meta=make_partition(0, 1, seed).iloc[:0],
    )
    # A dictionary of values pays for none of these columns.
    frame.to_parquet(folder, overwrite=True, write_index=False, use_dictionary=False)


def _count_rows(folder: Path) -> int:
    files = sorted(map(str, folder.glob("*.parquet")))
    return ds.dataset(files, format="parquet").count_rows() if files else 0


if __name__ == "__main__":
    size = int(os.environ.get("ROWS", 2_000_000))
    print(*write_data(Path(os.environ.get("DEMO_DIR", "demo")), size), sep="\n")
