"""One pass or several: the accuracy and the reads of both, by the order of the rows.

A scaler and a classifier are fitted on features whose means drift from the first row
to the last, as in a log; some features are a thousand times larger than others. With
one pass for each stage the classifier learns from data scaled by the mean and variance
of all rows; with one pass in all, from blocks scaled by those of the rows so far. Rows
that are held out come from all times. Data as it comes (``sorted``), with its blocks in
a random order, and with its rows in one. To run it from the repository's root::

    python -m benchmarks.order

``ROWS`` is the number of rows (500_000), ``RUNS`` the seeds of each (5).
"""

from __future__ import annotations

import os
import threading
from statistics import mean
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental

BLOCKS = 20
COLUMNS = 20
DRIFT = 5.0
NOISE = 1.0
ORDERS = ("sorted", "blocks shuffled", "rows shuffled")


class Result(NamedTuple):
    """The accuracy on held-out rows, and how often each block was read."""

    accuracy: float
    reads: float


class Reads:
    """Count the blocks that are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Return the block."""
        with self._lock:
            self.count += 1
        return block


def one_pass_each(shuffle_blocks: bool, seed: int) -> Any:
    scaler = Incremental(
        StandardScaler(), shuffle_blocks=shuffle_blocks, random_state=seed
    )
    return make_pipeline(scaler, _incremental(_classifier(seed), shuffle_blocks, seed))


def one_pass_in_all(shuffle_blocks: bool, seed: int) -> Any:
    pipeline = make_pipeline(StandardScaler(), _classifier(seed))
    return _incremental(pipeline, shuffle_blocks, seed)


MODES = {"one pass per step": one_pass_each, "one pass in all": one_pass_in_all}


def make_rows(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make features whose means drift, and classes from a noisy line."""
    rng = np.random.default_rng(seed)
    weights, drift = rng.standard_normal((2, COLUMNS))
    scales = 10 ** rng.uniform(-1, 2, COLUMNS)
    when = np.linspace(-0.5, 0.5, rows)[:, None]
    unit = rng.standard_normal((rows, COLUMNS)) + DRIFT * drift * when
    margin = unit @ weights + NOISE * rng.standard_normal(rows)
    return unit * scales, (margin > 0).astype("int64")


def measure(mode: str, order: str, rows: int, seed: int) -> Result:
    """Fit on nine tenths of the rows and score on the others."""
    X, y = make_rows(rows, seed)
    held_out = np.random.default_rng(seed + 1).random(rows) < 0.1
    chosen = np.flatnonzero(~held_out)
    if order == "rows shuffled":
        np.random.default_rng(seed + 2).shuffle(chosen)
    reads = Reads()
    chunk = -(-len(chosen) // BLOCKS)
    blocks = da.from_array(X[chosen], chunks=(chunk, COLUMNS)).map_blocks(
        reads, meta=np.empty((0, 0)), dtype=float
    )
    model = MODES[mode](order == "blocks shuffled", seed)
    model.fit(blocks, da.from_array(y[chosen], chunks=chunk))
    n_reads = reads.count / BLOCKS
    return Result(model.score(X[held_out], y[held_out]), n_reads)


def run(rows: int, runs: int) -> dict[tuple[str, str], Result]:
    """Measure all, print a line for each and return what was measured."""
    print(f"{rows:,} rows in {BLOCKS} blocks, means of {runs} seeds\n")
    print("| order of the data | " + " | ".join(MODES) + " |")
    print("|---|" + "---|" * len(MODES))
    results = {}
    for order in ORDERS:
        cells = [order]
        for mode in MODES:
            found = [measure(mode, order, rows, seed) for seed in range(runs)]
            result = Result(
                mean(one.accuracy for one in found), mean(one.reads for one in found)
            )
            results[mode, order] = result
            cells.append(f"{result.accuracy:.4f}, {result.reads:g} reads of each block")
        print("| " + " | ".join(cells) + " |")
    return results


def _classifier(seed: int) -> SGDClassifier:
    return SGDClassifier(random_state=seed)


def _incremental(estimator: Any, shuffle_blocks: bool, seed: int) -> Incremental:
    return Incremental(
        estimator, classes=[0, 1], shuffle_blocks=shuffle_blocks, random_state=seed
    )


def main() -> None:
    run(int(os.environ.get("ROWS", 500_000)), int(os.environ.get("RUNS", 5)))


if __name__ == "__main__":
    main()
