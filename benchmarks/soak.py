"""Many passes on threads, to see whether memory, a thread, a file or a task is left.

A classifier is fitted in passes over blocks that are made anew in each; every tenth
block it writes a checkpoint. After each pass the resident memory is read. To run it
from the repository's root::

    python -m benchmarks.soak

``PASSES`` is the number of passes (30), ``BLOCKS`` the blocks of each (200).
"""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import psutil
from dask.callbacks import Callback
from sklearn.linear_model import SGDClassifier

from benchmarks.memory import resident
from incremental import Incremental

ROWS, COLUMNS = 5_000, 20
MB = 1e6
FIRST = 5


class Left(NamedTuple):
    """What a process holds."""

    threads: int
    files: int
    arrays: int


class Growth:
    """A callback of scikit-learn that reads the memory after each pass."""

    def __init__(self) -> None:
        self.resident: list[int] = []

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Read the memory if a pass is over."""
        if context.task_name == "pass":
            self.resident.append(resident(children=False))


class Tasks(Callback):
    """Count the tasks that began and those that ended."""

    def __init__(self) -> None:
        super().__init__(pretask=self._begin, posttask=self._end)
        self.begun = self.ended = 0

    def _begin(self, *args: Any) -> None:
        self.begun += 1

    def _end(self, *args: Any) -> None:
        self.ended += 1


def make_block(position: int) -> np.ndarray:
    return np.random.default_rng(position).normal(size=(ROWS, COLUMNS))


def make_data(blocks: int) -> tuple[da.Array, da.Array]:
    """Make blocks that are made each time they are read."""
    made = [
        da.from_delayed(dask.delayed(make_block)(at), (ROWS, COLUMNS), dtype=float)
        for at in range(blocks)
    ]
    X = da.concatenate(made)
    return X, (X[:, 0] > 0).astype(int)


def held() -> Left:
    gc.collect()
    arrays = sum(
        isinstance(one, np.ndarray) and one.size >= ROWS for one in gc.get_objects()
    )
    return Left(threading.active_count(), len(psutil.Process().open_files()), arrays)


def fit(passes: int, blocks: int) -> tuple[Growth, Tasks]:
    """Fit and tell what was seen."""
    X, y = make_data(blocks)
    growth, tasks = Growth(), Tasks()
    with (
        tempfile.TemporaryDirectory() as folder,
        dask.config.set(scheduler="threads"),
        tasks,
    ):
        model = Incremental(
            SGDClassifier(random_state=0),
            classes=[0, 1],
            random_state=0,
            max_iter=passes,
            checkpoint=folder,
        )
        model.set_callbacks(growth).fit(X, y)
    return growth, tasks


def run(passes: int, blocks: int) -> float:
    """Measure, print and return the growth after the fifth pass."""
    fit(1, 2)  # dask's own threads stay
    before = held()
    growth, tasks = fit(passes, blocks)
    after = held()
    first = min(FIRST, passes) - 1
    grown = growth.resident[-1] / growth.resident[first] - 1
    print(f"{passes} passes over {blocks} blocks of {ROWS:,} x {COLUMNS}, threads")
    print(
        f"resident memory: {growth.resident[0] / MB:,.0f} MB after pass 1, "
        f"{growth.resident[first] / MB:,.0f} MB after pass {first + 1}, "
        f"{max(growth.resident) / MB:,.0f} MB at most, "
        f"{growth.resident[-1] / MB:,.0f} MB at the end: {grown:+.1%}"
    )
    print(f"tasks: {tasks.begun:,} begun, {tasks.ended:,} ended")
    print(f"before: {before}, after: {after}")
    if after != before or tasks.begun != tasks.ended:
        raise RuntimeError("The fit left something behind.")
    return grown


def main() -> None:
    run(int(os.environ.get("PASSES", 30)), int(os.environ.get("BLOCKS", 200)))


if __name__ == "__main__":
    main()
