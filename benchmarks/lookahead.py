"""The time and the memory of a fit slower than the reads, beside dask-ml's.

Blocks of 32 MB are made in no time and fitted by an estimator that sleeps for 0.1 s.

On two worker processes, a fresh cluster for each run, measured are the time against
that of the sleeps alone and the peak memory in blocks: ``managed`` is what the
scheduler knows to be in the workers' memory, ``process`` what their processes hold
above what they held before the fit (reported by the workers twice a second, so that
short peaks escape). On threads, measured are the time and the most blocks alive at
once.

To run it from the repository's root::

    python -m benchmarks.lookahead

``BLOCKS`` is the number of blocks (100).
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from sklearn.base import BaseEstimator

import incremental

COLUMNS = 10
BLOCK_BYTES = 32_000_000
SLEEP = 0.1
PREFETCH = 2
SAMPLES_EVERY = 0.05


class Sleeper(BaseEstimator):
    """Take a while for each block."""

    def __init__(self, seconds: float = SLEEP) -> None:
        self.seconds = seconds

    def fit(self, X: Any, y: Any = None) -> Sleeper:
        """Take a while."""
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: Any = None) -> Sleeper:
        """Take a while, and count the rows."""
        time.sleep(self.seconds)
        self.n_rows_ = getattr(self, "n_rows_", 0) + len(X)
        return self

    def score(self, X: Any, y: Any) -> float:
        """Be there for wrappers that ask for it."""
        return 0.0


class LiveBlocks:
    """Count the blocks of this process that are alive, and the most there were."""

    def __init__(self) -> None:
        # A finalizer may run while the same thread holds the lock.
        self._lock = threading.RLock()
        self._now = 0
        self.peak = 0

    def add(self, block: np.ndarray) -> None:
        """Count a block until it is freed."""
        self._change(1)
        weakref.finalize(block, self._change, -1)

    def _change(self, by: int) -> None:
        with self._lock:
            self._now += by
            self.peak = max(self.peak, self._now)


class OnCluster(NamedTuple):
    """Seconds, and blocks at the peak."""

    seconds: float
    managed: float
    process: float


class OnThreads(NamedTuple):
    """Seconds, and blocks at the peak."""

    seconds: float
    live: int


def with_two(seconds: float) -> Any:
    return incremental.Incremental(Sleeper(seconds), prefetch=PREFETCH)


def with_auto(seconds: float) -> Any:
    return incremental.Incremental(Sleeper(seconds), prefetch="auto")


def with_dask_ml(seconds: float) -> Any:
    from dask_ml.wrappers import Incremental

    return Incremental(Sleeper(seconds))


RIVALS = {
    f"ours, prefetch={PREFETCH}": with_two,
    'ours, prefetch="auto"': with_auto,
    "dask-ml": with_dask_ml,
}


def make_data(
    n_blocks: int, block_bytes: int, live: LiveBlocks | None = None
) -> tuple[Any, Any]:
    """Make lazy X and y; each block of X is counted if `live` is given."""
    rows = block_bytes // (8 * COLUMNS)
    starts = da.arange(n_blocks, chunks=1)
    X = starts.map_blocks(
        _make_block,
        rows=rows,
        live=live,
        dtype=float,
        chunks=((rows,) * n_blocks, (COLUMNS,)),
        new_axis=1,
        meta=np.empty((0, 0)),
    )
    return X, da.zeros(n_blocks * rows, chunks=rows, dtype="int8")


def on_cluster(
    make: Callable[[float], Any], n_blocks: int, block_bytes: int, seconds: float
) -> OnCluster:
    """Fit on two worker processes of a fresh cluster."""
    from distributed import Client, LocalCluster
    from distributed.diagnostics import MemorySampler

    managed, process = MemorySampler(), MemorySampler()
    X, y = make_data(n_blocks, block_bytes)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as own,
        Client(own),
    ):
        make(0.0).fit(*make_data(2, 8 * COLUMNS))
        with (
            managed.sample("managed", measure="managed", interval=SAMPLES_EVERY),
            process.sample("process", measure="process", interval=SAMPLES_EVERY),
        ):
            # For the workers to report what they hold before.
            time.sleep(1)
            start = time.perf_counter()
            make(seconds).fit(X, y)
            took = time.perf_counter() - start
    return OnCluster(
        took,
        managed.to_pandas()["managed"].max() / block_bytes,
        _rise(process.to_pandas()["process"]) / block_bytes,
    )


def on_threads(
    make: Callable[[float], Any], n_blocks: int, block_bytes: int, seconds: float
) -> OnThreads:
    """Fit on dask's threads."""
    live = LiveBlocks()
    X, y = make_data(n_blocks, block_bytes, live)
    start = time.perf_counter()
    make(seconds).fit(X, y)
    return OnThreads(time.perf_counter() - start, live.peak)


def run(
    n_blocks: int, block_bytes: int = BLOCK_BYTES, seconds: float = SLEEP
) -> dict[str, tuple[OnCluster, OnThreads]]:
    """Measure all, print a line for each and return what was measured."""
    serial = n_blocks * seconds
    print(
        f"{n_blocks} blocks of {block_bytes / 1e6:,.1f} MB, {seconds} s for each: "
        f"{serial:.1f} s in all"
    )
    results = {}
    for name, make in RIVALS.items():
        cluster = on_cluster(make, n_blocks, block_bytes, seconds)
        threads = on_threads(make, n_blocks, block_bytes, seconds)
        results[name] = cluster, threads
        print(
            f"{name:<23} two processes: {cluster.seconds:5.1f} s "
            f"({cluster.seconds / serial:.2f} x), peak in blocks: "
            f"managed {cluster.managed:5.1f}, process {cluster.process:5.1f}; "
            f"threads: {threads.seconds:5.1f} s, {threads.live:3d} blocks"
        )
    return results


def _make_block(
    start: np.ndarray, rows: int, live: LiveBlocks | None = None
) -> np.ndarray:
    block = np.full((rows, COLUMNS), float(start[0]))
    if live is not None:
        live.add(block)
    return block


def _rise(samples: Any) -> float:
    return float(samples.max() - samples.iloc[0])


def main() -> None:
    run(int(os.environ.get("BLOCKS", 100)))


if __name__ == "__main__":
    main()
