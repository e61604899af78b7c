"""Replicas: the quality and the time of a fit beside those of a serial one.

A classifier is fitted on noisy classes with 1, 2 and 4 replicas, in 1, 2 and 5 passes.
Accuracy and log-loss are on rows that are held out; times are relative to that of the
serial fit with as many passes. All data are in memory, so that a fit consists of
learning alone; the fits are interleaved. To run it from the repository's root::

    python -m benchmarks.replicas

``ROWS`` is the number of rows (2_000_000), ``RUNS`` the seeds of each (3).
"""

from __future__ import annotations

import os
import time
from statistics import mean, median
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss

from incremental import Incremental

BLOCKS = 64
COLUMNS = 20
HELD_OUT = 100_000
PASSES = (1, 2, 5)
REPLICAS = (1, 2, 4)
THREADS = 2


class Result(NamedTuple):
    """The quality on held-out rows, and the seconds of a fit."""

    accuracy: float
    log_loss: float
    seconds: float


def make_rows(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make features of different scales, and classes from a noisy line."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(COLUMNS)
    X = rng.standard_normal((rows, COLUMNS)) * 10 ** rng.uniform(-1, 0.5, COLUMNS)
    margin = X @ weights + 3 * rng.standard_normal(rows)
    return X, (margin > 0).astype("int64")


def measure(
    data: tuple[np.ndarray, np.ndarray], passes: int, replicas: int, seed: int
) -> Result:
    """Fit on all rows but those that are held out, and score on these."""
    X, y = data
    chunk = -(-(len(X) - HELD_OUT) // BLOCKS)
    blocks = da.from_array(X[HELD_OUT:], chunks=(chunk, COLUMNS))
    classes = da.from_array(y[HELD_OUT:], chunks=chunk)
    model = Incremental(
        SGDClassifier(loss="log_loss", random_state=seed),
        classes=[0, 1],
        random_state=seed,
        max_iter=passes,
        replicas=replicas,
    )
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        began = time.perf_counter()
        model.fit(blocks, classes)
        seconds = time.perf_counter() - began
    fitted = model.estimator_
    return Result(
        accuracy_score(y[:HELD_OUT], fitted.predict(X[:HELD_OUT])),
        log_loss(y[:HELD_OUT], fitted.predict_proba(X[:HELD_OUT])),
        seconds,
    )


def run(rows: int, runs: int) -> dict[tuple[int, int], Result]:
    """Measure all, print a line for each and return what was measured."""
    found: dict[tuple[int, int], list[Result]] = {}
    for seed in range(runs):
        data = make_rows(rows + HELD_OUT, seed)
        for passes in PASSES:
            for replicas in REPLICAS:
                result = measure(data, passes, replicas, seed)
                found.setdefault((passes, replicas), []).append(result)
    print(
        f"{rows:,} rows of {COLUMNS} columns in {BLOCKS} blocks, {THREADS} threads, "
        f"means of {runs} seeds\n"
    )
    print("| passes | replicas | accuracy | log-loss | time, the serial fit is 1 |")
    print("|---|---|---|---|---|")
    results = {}
    for (passes, replicas), own in found.items():
        serial = found[passes, 1]
        result = Result(
            mean(one.accuracy for one in own),
            mean(one.log_loss for one in own),
            median(
                one.seconds / alone.seconds
                for one, alone in zip(own, serial, strict=True)
            ),
        )
        results[passes, replicas] = result
        print(
            f"| {passes} | {replicas} | {result.accuracy:.4f} | "
            f"{result.log_loss:.4f} | {result.seconds:.2f} |"
        )
    return results


def main() -> None:
    run(int(os.environ.get("ROWS", 2_000_000)), int(os.environ.get("RUNS", 3)))


if __name__ == "__main__":
    main()
