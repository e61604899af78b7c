"""Three scores of a classifier on Parquet data, beside dask-ml's.

Both wrap the same fitted classifier and get the same dask arrays. dask-ml computes one
score in each call; ours computes all three in one. Of dask-ml's scorers only accuracy
and the mean squared error run with this data and scikit-learn, so that its third call
computes accuracy again, where ours has F1. Each variant has a process of its
own, on dask's threads, so that the peak of the resident memory is that of the scores.
The variants alternate; medians count.

To run it from the repository's root::

    python -m benchmarks.scores

``ROWS`` is the number of rows (10_000_000), ``RUNS`` the runs of each variant (5),
``DEMO_DIR`` where the data goes (``demo``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PEER = "dask-ml, three calls"
PEERS = ["accuracy", "neg_mean_squared_error", "accuracy"]
SCORERS = ["accuracy", "neg_mean_squared_error", "f1"]
GATHERING = ["accuracy", "neg_mean_squared_error", "roc_auc"]
MB = 1e6


class Scored(NamedTuple):
    """What the scores took, and what they are."""

    seconds: float
    before: float
    peak: float
    scores: list[float]


def dask_ml(model: Any, X: Any, y: Any) -> list[float]:
    from dask_ml.wrappers import ParallelPostFit

    return [ParallelPostFit(model, scoring=name).score(X, y) for name in PEERS]


def three_calls(model: Any, X: Any, y: Any) -> list[float]:
    from incremental import ParallelPostFit

    return [ParallelPostFit(model, scoring=name).score(X, y) for name in SCORERS]


def one_call(model: Any, X: Any, y: Any, scoring: list[str]) -> list[float]:
    from incremental import ParallelPostFit

    return list(ParallelPostFit(model, scoring=scoring).score(X, y).values())


VARIANTS: dict[str, Callable[..., list[float]]] = {
    PEER: dask_ml,
    "ours, three calls": three_calls,
    "ours, one call": lambda *given: one_call(*given, SCORERS),
    "ours, one call, ROC AUC for the last": lambda *given: one_call(*given, GATHERING),
}


def score_once(name: str, folder: Path) -> Scored:
    """Score a variant in this process, which should be a fresh one."""
    import resource
    import time

    import dask

    from benchmarks.pipeline import read

    X, y = read(folder, frames=False)
    model = _fitted(X, y)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with dask.config.set(scheduler="threads"):
        scores = VARIANTS[name](model, X, y)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kilo = 1 if sys.platform == "darwin" else 1024
    return Scored(seconds, before * kilo, after * kilo, [float(one) for one in scores])


def _fitted(X: Any, y: Any) -> Any:
    """Fit a classifier on the first rows."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = SGDClassifier(loss="log_loss", random_state=0)
    model = make_pipeline(StandardScaler(), classifier)
    return model.fit(X[:10_000].compute(), y[:10_000].compute())


def run(rows: int, runs: int, folder: Path) -> dict[str, list[Scored]]:
    """Measure, print a line for each variant and return what was measured."""
    environment = os.environ | {"ROWS": str(rows), "DEMO_DIR": str(folder)}
    write = [sys.executable, "-m", "benchmarks.data"]
    subprocess.run(write, check=True, stdout=subprocess.DEVNULL, env=environment)
    results = defaultdict(list)
    for number in range(runs):
        # Each goes first and last in turn.
        for name in VARIANTS if number % 2 == 0 else reversed(VARIANTS):
            results[name].append(_in_process(name, folder / "data"))
    print(f"{rows:,} rows, {', '.join(SCORERS)}, medians of {runs} runs")
    print(f"{'':<38} score s  ratio  peak MB  held before  differs by")
    peer = results[PEER]
    for name, own in results.items():
        seconds = _median(own, "seconds")
        pairs = zip(own[0].scores[:2], peer[0].scores[:2], strict=True)
        differs = max(abs(one - other) for one, other in pairs)
        print(
            f"{name:<38} {seconds:>7.2f}  {seconds / _median(peer, 'seconds'):>5.2f}  "
            f"{_median(own, 'peak') / MB:>7,.0f}  {_median(own, 'before') / MB:>11,.0f}"
            f"  {differs:>10.1e}"
        )
    return results


def _in_process(name: str, folder: Path) -> Scored:
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, name, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Scored(*json.loads(done.stdout.splitlines()[-1]))


def _median(scored: list[Scored], field: str) -> float:
    return median(getattr(one, field) for one in scored)


def main() -> None:
    if len(sys.argv) > 1:
        name, folder = sys.argv[1:]
        print(json.dumps(score_once(name, Path(folder))))
        return
    run(
        int(os.environ.get("ROWS", 10_000_000)),
        int(os.environ.get("RUNS", 5)),
        Path(os.environ.get("DEMO_DIR", "demo")),
    )


if __name__ == "__main__":
    main()
