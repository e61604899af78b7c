"""The fit of a scaler and a classifier on Parquet data, beside dask-ml's.

Both get the same dask arrays, in the same order of blocks, and make the same calls of
the classifier's ``partial_fit``; dask-ml's scaler is its own, ours is scikit-learn's.
Each fit has a process of its own, on dask's threads, so that the peak of the resident
memory is the fit's; ``held before`` is what the process held when the fit began. The
variants alternate; medians count. ``coef_`` is compared to that of dask-ml.

To run it from the repository's root::

    python -m benchmarks.pipeline

``ROWS`` is the number of rows (10_000_000), ``RUNS`` the runs of each variant (5),
``DEMO_DIR`` where the data goes (``demo``), ``ONLY`` a part of the names of the
variants to run (all).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

CLASSES = [0, 1]
BATCH = 50_000
MB = 1e6


class Fit(NamedTuple):
    """What one fit took, and the classifier's coefficients (none of a scaler)."""

    seconds: float
    user: float
    system: float
    before: float
    peak: float
    coef: list[float]


def dask_ml_pipeline() -> Any:
    import dask_ml.preprocessing
    from dask_ml.wrappers import Incremental
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        dask_ml.preprocessing.StandardScaler(),
        Incremental(_classifier(), shuffle_blocks=False),
    )


def dask_ml_scaler() -> Any:
    import dask_ml.preprocessing

    return dask_ml.preprocessing.StandardScaler()


def pipeline(batch_size: int | None = None) -> Any:
    from sklearn.pipeline import make_pipeline

    from incremental import Incremental

    classifier = Incremental(
        _classifier(), classes=CLASSES, shuffle_blocks=False, batch_size=batch_size
    )
    return make_pipeline(scaler(batch_size), classifier)


def one_pass(batch_size: int | None = None) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from incremental import Incremental

    return Incremental(
        make_pipeline(StandardScaler(), _classifier()),
        classes=CLASSES,
        shuffle_blocks=False,
        batch_size=batch_size,
    )


def scaler(batch_size: int | None = None) -> Any:
    from sklearn.preprocessing import StandardScaler

    from incremental import Incremental

    return Incremental(StandardScaler(), batch_size=batch_size, shuffle_blocks=False)


class Variant(NamedTuple):
    """What is fitted, on arrays or on frames, and the variant it is compared to."""

    make: Callable[[], Any]
    peer: str
    frames: bool = False


PEER, SCALER_PEER = "dask-ml", "scaler alone: dask-ml"
VARIANTS = {
    PEER: Variant(dask_ml_pipeline, PEER),
    "ours": Variant(pipeline, PEER),
    "ours, on dataframes": Variant(pipeline, PEER, frames=True),
    f"ours, batch_size={BATCH:_}": Variant(lambda: pipeline(BATCH), PEER),
    "ours, one pass": Variant(one_pass, PEER),
    f"ours, one pass, batch_size={BATCH:_}": Variant(lambda: one_pass(BATCH), PEER),
    SCALER_PEER: Variant(dask_ml_scaler, SCALER_PEER),
    "scaler alone: ours": Variant(scaler, SCALER_PEER),
    f"scaler alone: ours, batch_size={BATCH:_}": Variant(
        lambda: scaler(BATCH), SCALER_PEER
    ),
}


def fit_once(name: str, folder: Path) -> Fit:
    """Fit a variant in this process, which should be a fresh one."""
    import dask

    variant = VARIANTS[name]
    model = variant.make()
    X, y = read(folder, frames=variant.frames)
    params = {"incremental__classes": CLASSES} if name == PEER else {}
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    with dask.config.set(scheduler="threads"):
        model.fit(X, y, **params)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Fit(
        seconds,
        after.ru_utime - before.ru_utime,
        after.ru_stime - before.ru_stime,
        _bytes(before.ru_maxrss),
        _bytes(after.ru_maxrss),
        _coef(model),
    )


def read(folder: Path, *, frames: bool) -> tuple[Any, Any]:
    """Read features and target, as dataframes or as arrays of known chunks."""
    import dask
    import dask.dataframe as dd

    from benchmarks.data import FEATURES

    frame = dd.read_parquet(folder)
    if frames:
        return frame[FEATURES], frame["y"]
    # dask would cut the target, a small selection of columns, into fewer blocks.
    with dask.config.set({"optimization.tune.active": False}):
        lengths = list(frame["y"].map_partitions(len).compute())
        X, y = frame[FEATURES], frame["y"]
        return X.to_dask_array(lengths=lengths), y.to_dask_array(lengths=lengths)


def fit_in_process(name: str, folder: Path) -> Fit:
    """Fit a variant in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, name, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Fit(*json.loads(done.stdout.splitlines()[-1]))


def run(rows: int, runs: int, folder: Path, only: str = "") -> dict[str, list[Fit]]:
    """Measure, print a line for each variant and return what was measured."""
    names = [name for name in VARIANTS if only in name or name == VARIANTS[name].peer]
    write = [sys.executable, "-m", "benchmarks.data"]
    environment = {"ROWS": str(rows), "DEMO_DIR": str(folder)}
    # Not in this process, whose memory those that it starts would count as theirs.
    subprocess.run(
        write, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment
    )
    results = defaultdict(list)
    for number in range(runs):
        # Each goes first and last in turn.
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(fit_in_process(name, folder / "data"))
    print(f"{rows:,} rows, medians of {runs} runs")
    print(
        f"{'':<38} fit s  ratio  CPU s (user, system)  "
        "peak MB  ratio  held before  coef_ differs by"
    )
    for name in names:
        _report(name, results)
    return results


def _report(name: str, results: dict[str, list[Fit]]) -> None:
    fits, peers = results[name], results[VARIANTS[name].peer]
    seconds, peak = _median(fits, "seconds"), _median(fits, "peak")
    differs = ""
    if fits[0].coef:
        own, other = np.array(fits[0].coef), np.array(peers[0].coef)
        differs = f"{np.linalg.norm(own - other) / np.linalg.norm(other):>16.1e}"
    print(
        f"{name:<38} {seconds:>5.2f}  {seconds / _median(peers, 'seconds'):>5.2f}  "
        f"{_median(fits, 'user'):>12.2f}, {_median(fits, 'system'):>6.2f}  "
        f"{peak / MB:>7,.0f}  {peak / _median(peers, 'peak'):>5.2f}  "
        f"{_median(fits, 'before') / MB:>11,.0f}  {differs}".rstrip()
    )


def _median(fits: list[Fit], field: str) -> float:
    return median(getattr(fit, field) for fit in fits)


def _classifier() -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(random_state=2)


def _coef(model: Any) -> list[float]:
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    estimator = getattr(last, "estimator_", last)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return getattr(last, "coef_", np.empty(0)).ravel().tolist()


def _bytes(maxrss: int) -> int:
    return maxrss if sys.platform == "darwin" else maxrss * 1024


def main() -> None:
    if len(sys.argv) > 1:
        name, folder = sys.argv[1:]
        print(json.dumps(fit_once(name, Path(folder))))
        return
    run(
        int(os.environ.get("ROWS", 10_000_000)),
        int(os.environ.get("RUNS", 5)),
        Path(os.environ.get("DEMO_DIR", "demo")),
        os.environ.get("ONLY", ""),
    )


if __name__ == "__main__":
    main()
