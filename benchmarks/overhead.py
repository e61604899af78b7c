"""The time that the graph costs for each block, beside dask-ml's `Incremental`.

An estimator that only counts is fitted on tiny blocks, so that all the time is
overhead: planning, scheduling and bookkeeping, on dask's default threads. Runs of both
alternate; medians count. To run it from the repository's root::

    python -m benchmarks.overhead

``BLOCKS`` are the numbers of blocks (``1000,10000``), ``RUNS`` the runs of each of them
(``9,3``).
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import dask.array as da
from sklearn.base import BaseEstimator

import incremental

MICRO = 1e6
ROWS, COLUMNS = 10, 4


class Counter(BaseEstimator):
    """Count the blocks."""

    def fit(self, X: Any, y: Any = None) -> Counter:
        """Count one block."""
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: Any = None) -> Counter:
        """Count one block more."""
        self.n_blocks_ = getattr(self, "n_blocks_", 0) + 1
        return self

    def score(self, X: Any, y: Any) -> float:
        """Be there for wrappers that ask for it."""
        return 0.0


def ours() -> Any:
    return incremental.Incremental(Counter())


def dask_ml() -> Any:
    from dask_ml.wrappers import Incremental

    return Incremental(Counter())


def per_block(make: Callable[[], Any], n_blocks: int) -> float:
    """Fit once and return the seconds for each block."""
    X = da.zeros((n_blocks * ROWS, COLUMNS), chunks=(ROWS, COLUMNS))
    y = da.zeros(n_blocks * ROWS, chunks=ROWS)
    gc.collect()
    start = time.perf_counter()
    model = make().fit(X, y)
    seconds = time.perf_counter() - start
    if model.estimator_.n_blocks_ != n_blocks:
        raise RuntimeError(f"Fitted {model.estimator_.n_blocks_} of {n_blocks} blocks.")
    return seconds / n_blocks


def compare(n_blocks: int, runs: int) -> tuple[float, float]:
    """Return the median seconds for each block, ours and dask-ml's."""
    seconds: dict[Callable[[], Any], list[float]] = {ours: [], dask_ml: []}
    for number in range(runs):
        # Each goes first in turn.
        for make in sorted(seconds, key=[ours, dask_ml].index, reverse=number % 2 == 1):
            seconds[make].append(per_block(make, n_blocks))
    return median(seconds[ours]), median(seconds[dask_ml])


def run(sizes: Sequence[int], runs: Sequence[int]) -> list[tuple[float, float]]:
    """Measure every size, print a line for each and return the seconds."""
    compare(min(*sizes, 10), 1)
    print("blocks    ours µs/block    dask-ml µs/block    ratio")
    results = []
    for n_blocks, n_runs in zip(sizes, runs, strict=True):
        own, other = compare(n_blocks, n_runs)
        results.append((own, other))
        print(
            f"{n_blocks:>6}    {own * MICRO:>13,.0f}    {other * MICRO:>16,.0f}    "
            f"{own / other:>5.2f}"
        )
    growth = results[-1][0] / results[0][0]
    print(f"ours grows by {growth:.2f} from {sizes[0]:,} to {sizes[-1]:,} blocks")
    return results


def _integers(variable: str, default: str) -> list[int]:
    return [int(part) for part in os.environ.get(variable, default).split(",")]


def main() -> None:
    run(_integers("BLOCKS", "1000,10000"), _integers("RUNS", "9,3"))


if __name__ == "__main__":
    main()
