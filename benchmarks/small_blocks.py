"""A fit on many small blocks, beside dask-ml's `Incremental` and a plain loop.

`SGDClassifier` is fitted on blocks of 1,000 rows of 6 columns in memory, so that calls
and tasks count, and not the data. Runs alternate; medians count. To run it from the
repository's root::

    python -m benchmarks.small_blocks

``BLOCKS`` is the number of blocks (1000), ``RUNS`` the number of runs of each way (9).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import dask.array as da
import numpy as np
from sklearn.linear_model import SGDClassifier

from incremental import Incremental

ROWS, COLUMNS, BATCH = 1000, 6, 50_000
CLASSES = [0, 1]
PEER = "dask-ml"


def ways(X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """Return the ways to fit the data, by name."""
    lazy = [da.from_array(one, chunks=(ROWS, *one.shape[1:])) for one in (X, y)]

    def ours(batch_size: int | None = None) -> Any:
        model = Incremental(SGDClassifier(random_state=0), batch_size=batch_size)
        return model.fit(*lazy, classes=CLASSES)

    def dask_ml() -> Any:
        from dask_ml.wrappers import Incremental as Peer

        return Peer(SGDClassifier(random_state=0)).fit(*lazy, classes=CLASSES)

    def loop() -> Any:
        model = SGDClassifier(random_state=0)
        for start in range(0, len(X), ROWS):
            rows = slice(start, start + ROWS)
            model.partial_fit(X[rows], y[rows], classes=CLASSES)
        return model

    return {
        "ours": ours,
        f"ours, batch_size={BATCH:_}": lambda: ours(BATCH),
        PEER: dask_ml,
        "a loop": loop,
    }


def run(n_blocks: int, runs: int) -> dict[str, float]:
    """Time each way, print a line for each and return the median seconds."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_blocks * ROWS, COLUMNS))
    y = (X[:, 0] > 0).astype(int)
    seconds: dict[str, list[float]] = {}
    # The first round warms up.
    for number in range(runs + 1):
        for name, fit in ways(X, y).items():
            start = time.perf_counter()
            fit()
            if number:
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    medians = {name: median(found) for name, found in seconds.items()}
    for name, found in medians.items():
        ratio = found / medians[PEER]
        print(f"{name:<26} {found:6.2f} s    {ratio:5.2f} of {PEER}'s time")
    return medians


if __name__ == "__main__":
    run(int(os.environ.get("BLOCKS", "1000")), int(os.environ.get("RUNS", "9")))
