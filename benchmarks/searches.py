"""Eight candidates on one read of Parquet data, and a search by Hyperband.

The candidates differ in `alpha`. They are fitted in one read by `fit_many`, as searches
do it; one after the other by `Incremental`; and by a loop written by hand, which reads
a block with dask and calls ``partial_fit`` of each candidate with it, in the same
batches. The coefficients must be the same bit by bit.

`HyperbandSearchCV` gets a fifth as many rows. Beside it scikit-learn's
`RandomizedSearchCV` fits as many candidates, drawn alike, on data in memory. Each makes
as many passes as the longest of Hyperband's, and each core has a process.

Each has a process of its own. The variants alternate; medians count. To run it from the
repository's root::

    python -m benchmarks.searches

``ROWS`` is the number of rows (10_000_000), ``RUNS`` the runs of each variant (3),
``DEMO_DIR`` where the data goes (``demo``), ``ONLY`` a part of the names of the
variants to run (all).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data import FEATURES, write_data
from benchmarks.pipeline import read

ALPHAS = [10.0**-power for power in np.linspace(1, 7, 8)]
CLASSES = [0, 1]
MAX_ITER = 27


# How many blocks were read, and what tells the result.
Result = tuple[int, list[float]]


class Done(NamedTuple):
    """What one run took, how many blocks it read, and what tells its result."""

    seconds: float
    cpu: float
    n_read: int
    result: list[float]


def one_read(X: Any, y: Any, parts: int) -> Result:
    from incremental import fit_many

    models = fit_many(_wrappers(X, parts), X, y, classes=CLASSES)
    return X.numblocks[0], [float(model.coef_.sum()) for model in models]


def one_by_one(X: Any, y: Any, parts: int) -> Result:
    models = [model.fit(X, y, classes=CLASSES) for model in _wrappers(X, parts)]
    n_read = X.numblocks[0] * len(models)
    return n_read, [float(model.coef_.sum()) for model in models]


def by_hand(X: Any, y: Any, parts: int) -> Result:
    import dask

    models = [_classifier(alpha) for alpha in ALPHAS]
    for at in range(X.numblocks[0]):
        rows, targets = dask.compute(X.blocks[at], y.blocks[at])
        size = len(rows) // parts
        for start in range(0, len(rows), size):
            batch = np.ascontiguousarray(rows[start : start + size])
            for model in models:
                model.partial_fit(batch, targets[start : start + size], classes=CLASSES)
    return X.numblocks[0], [float(model.coef_.sum()) for model in models]


def hyperband(X: Any, y: Any) -> Result:
    from scipy.stats import loguniform

    from incremental import HyperbandSearchCV

    search = HyperbandSearchCV(
        _classifier(1e-4),
        {"alpha": loguniform(1e-7, 1e-1)},
        max_iter=MAX_ITER,
        random_state=0,
        verbose=1,
    )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        search.fit(X, y)
    last = printed.getvalue().splitlines()[-1]
    return int(last.split(" blocks read")[0].split()[-1]), [search.best_score_]


def in_memory_search(X: Any, y: Any) -> Result:
    import dask
    from joblib.externals.loky import get_reusable_executor
    from scipy.stats import loguniform
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV

    from incremental import HyperbandSearchCV

    n_models = HyperbandSearchCV(None, {}, max_iter=MAX_ITER).metadata["n_models"]
    n_blocks = X.numblocks[0]
    held_out = np.repeat([0] + [-1] * (n_blocks - 1), X.chunks[0])
    search = RandomizedSearchCV(
        _classifier(1e-4).set_params(max_iter=-(-MAX_ITER // (n_blocks - 1)), tol=None),
        {"alpha": loguniform(1e-7, 1e-1)},
        n_iter=n_models,
        cv=PredefinedSplit(held_out),
        refit=False,
        random_state=0,
        n_jobs=os.cpu_count(),
    )
    search.fit(*dask.compute(X, y))
    # Only then do the processes count as ended.
    get_reusable_executor().shutdown(wait=True)
    return n_blocks, [float(search.best_score_)]


class Variant(NamedTuple):
    """What is run, and the variants that it is compared to."""

    run: Callable[[Any, Any], Result]
    peers: tuple[str, ...] = ()
    searches: bool = False


def _variants() -> dict[str, Variant]:
    found = {}
    for parts, name in ((1, "whole blocks"), (10, "batches of a tenth")):
        separate, loop = f"{name}: 8 fits", f"{name}: a loop by hand"
        found[separate] = Variant(partial(one_by_one, parts=parts))
        found[loop] = Variant(partial(by_hand, parts=parts))
        together = Variant(partial(one_read, parts=parts), (separate, loop))
        found[f"{name}: 8 in one read"] = together
    in_memory = "search: one by one, in memory"
    found[in_memory] = Variant(in_memory_search, searches=True)
    found["search: Hyperband"] = Variant(hyperband, (in_memory,), searches=True)
    return found


def _wrappers(X: Any, parts: int) -> list[Any]:
    from incremental import Incremental

    batch_size = None if parts == 1 else X.chunks[0][0] // parts
    return [
        Incremental(_classifier(alpha), shuffle_blocks=False, batch_size=batch_size)
        for alpha in ALPHAS
    ]


def _classifier(alpha: float) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(alpha=alpha, random_state=2)


VARIANTS = _variants()


def run_once(name: str, folder: Path) -> Done:
    """Run a variant in this process, which should be a fresh one."""
    # What is imported here is not timed.
    import dask
    import sklearn.linear_model  # noqa: F401

    import incremental  # noqa: F401

    variant = VARIANTS[name]
    where = folder / "searches" if variant.searches else folder
    X, y = read(where / "data", frames=False)
    start, before = time.perf_counter(), _cpu()
    with dask.config.set(scheduler="threads"):
        n_read, result = variant.run(X, y)
    return Done(time.perf_counter() - start, _cpu() - before, n_read, result)


def _cpu() -> float:
    """Return the seconds of all cores so far, with those of processes that ended."""
    return sum(os.times()[:4])


def run_in_process(name: str, folder: Path) -> Done:
    """Run a variant in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, name, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Done(*json.loads(done.stdout.splitlines()[-1]))


def run(rows: int, runs: int, folder: Path, only: str = "") -> dict[str, list[Done]]:
    """Measure, print a line for each variant and return what was measured."""
    names = [name for name in VARIANTS if only in name]
    write_data(folder, rows)
    write_data(folder / "searches", rows // 5)
    results = defaultdict(list)
    for number in range(runs):
        # Each goes first and last in turn.
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(run_in_process(name, folder))
    print(f"{rows:,} x {len(FEATURES)}, {rows // 5:,} for searches; {runs} runs")
    print(f"{'':<36} seconds  of all cores  blocks read  ratios of seconds")
    for name in names:
        _report(name, results)
    return results


def _report(name: str, results: dict[str, list[Done]]) -> None:
    seconds, cpu = _median(results[name]), median(one.cpu for one in results[name])
    peers = [peer for peer in VARIANTS[name].peers if peer in results]
    ratios = "  ".join(f"{seconds / _median(results[peer]):.2f}" for peer in peers)
    n_read = results[name][0].n_read
    print(f"{name:<36} {seconds:>7.2f}  {cpu:>12.2f}  {n_read:>11}  {ratios}".rstrip())
    for peer in peers if not VARIANTS[name].searches else ():
        if results[peer][0].result != results[name][0].result:
            print(f"  its coefficients differ from those of {peer!r}")


def _median(runs: list[Done]) -> float:
    return median(one.seconds for one in runs)


def main() -> None:
    if len(sys.argv) > 1:
        name, folder = sys.argv[1:]
        print(json.dumps(run_once(name, Path(folder))))
        return
    run(
        int(os.environ.get("ROWS", 10_000_000)),
        int(os.environ.get("RUNS", 3)),
        Path(os.environ.get("DEMO_DIR", "demo")),
        os.environ.get("ONLY", ""),
    )


if __name__ == "__main__":
    main()
