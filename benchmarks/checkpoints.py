"""What checkpoints cost: a fit of a classifier on Parquet data with and without them.

Blocks of 500,000 x 20 float64, a checkpoint after every 10 of them. Each fit has a
process of its own, on dask's threads; the variants alternate. Besides the medians, the
median of the differences between neighbours is printed, since drifts of the machine
cancel out there, and the time that writing takes, in which no block is fitted. To run
it from the repository's root::

    python -m benchmarks.checkpoints

``ROWS`` is the number of rows (10_000_000), ``RUNS`` the runs of each (7), ``DEMO_DIR``
where the data goes (``demo``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

EVERY = 10
CLASSES = [0, 1]


def timed(owner: type, name: str, spent: dict[str, float]) -> None:
    """Add up what the calls of a method take."""
    method: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **options)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    setattr(owner, name, call)


def fit_once(checkpoint: str, folder: Path) -> dict[str, float]:
    """Fit in this process, which should be a fresh one, and return its seconds."""
    import dask
    from sklearn.linear_model import SGDClassifier

    from benchmarks.pipeline import read
    from incremental import Incremental
    from incremental._fit.checkpoints import Checkpoints

    X, y = read(folder, frames=False)
    model = Incremental(
        SGDClassifier(random_state=2),
        classes=CLASSES,
        shuffle_blocks=False,
        checkpoint=checkpoint or None,
        checkpoint_every=EVERY,
    )
    spent: dict[str, float] = {}
    timed(Checkpoints, "save", spent)
    start = time.perf_counter()
    with dask.config.set(scheduler="threads"):
        model.fit(X, y)
    return {"fit": time.perf_counter() - start, "save": 0.0, **spent}


def fit_in_process(folder: Path, *, checkpoint: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        where = directory if checkpoint else ""
        command = [sys.executable, "-m", __spec__.name, "fit", where, str(folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(rows: int, runs: int, folder: Path) -> float:
    """Measure, print and return the cost as a share of the fit."""
    environment = {"ROWS": str(rows), "DEMO_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "-m", "benchmarks.data"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    plain, saved = [], []
    for number in range(runs):
        for checkpoint in (False, True) if number % 2 == 0 else (True, False):
            found = fit_in_process(folder / "data", checkpoint=checkpoint)
            (saved if checkpoint else plain).append(found)
    base = median(one["fit"] for one in plain)
    differences = [b["fit"] - a["fit"] for a, b in zip(plain, saved, strict=True)]
    own = median(one["save"] for one in saved)
    print(f"{rows:,} rows, a checkpoint every {EVERY} blocks, medians of {runs} runs")
    print(f"without: {base:.2f} s, with: {median(one['fit'] for one in saved):.2f} s")
    print(f"median difference: {median(differences) / base:+.1%}")
    print(f"writing: {own:.3f} s, {own / base:.2%}")
    return own / base


def main() -> None:
    if sys.argv[1:2] == ["fit"]:
        print(json.dumps(fit_once(sys.argv[2], Path(sys.argv[3]))))
        return
    run(
        int(os.environ.get("ROWS", 10_000_000)),
        int(os.environ.get("RUNS", 7)),
        Path(os.environ.get("DEMO_DIR", "demo")),
    )


if __name__ == "__main__":
    main()
