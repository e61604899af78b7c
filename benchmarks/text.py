"""A text job: hashed words and a linear classifier, beside the loop written by hand.

Short documents of about ten words are stored as a Parquet column of strings. The loop
reads a partition, vectorises it and calls ``partial_fit``, one after the other.
`Incremental` of the pipeline of both vectorises in parallel, ahead of the serial fit;
``coef_`` must be the same bit by bit.

The vectoriser holds Python's lock, so that threads cannot run beside each other and
processes can: a cluster of two worker processes of one thread each, started before the
clock is, and dask's ``processes`` scheduler, which starts its processes within. Runs
alternate; medians count. To run it from the repository's root::

    python -m benchmarks.text

``DOCS`` is the number of documents (1_000_000), ``RUNS`` the runs of each (5),
``DEMO_DIR`` where the data goes (``demo``), ``ONLY`` a part of the names of the
schedulers to run (all).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from dask.utils import natural_sort_key
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from incremental import Incremental

N_FEATURES = 2**18
PARTITION_DOCS = 50_000
VOCABULARY = 50_000
CLASSES = [0, 1]
SEED = 20170916


def write_docs(folder: Path, docs: int) -> Path:
    """Write documents and their classes; a folder that holds them is left as it is."""
    folder = folder / "text"
    if not folder.exists() or _count(folder) != docs:
        starts = range(0, docs, PARTITION_DOCS)
        frame = dd.from_map(
            make_partition,
            range(len(starts)),
            [min(PARTITION_DOCS, docs - start) for start in starts],
            meta=make_partition(0, 1).iloc[:0],
        )
        frame.to_parquet(folder, overwrite=True, write_index=False)
    return folder


def make_partition(number: int, docs: int) -> pd.DataFrame:
    """Make documents of words that are as frequent as Zipf's law says."""
    rng = np.random.default_rng([SEED, number])
    words, weights = _vocabulary()
    frequency = 1 / np.arange(10, 10 + len(words))
    lengths = 1 + rng.poisson(9, docs)
    chosen = rng.choice(len(words), lengths.sum(), p=frequency / frequency.sum())
    ends = lengths.cumsum()
    text = [" ".join(doc) for doc in np.split(words[chosen], ends[:-1])]
    margin = np.add.reduceat(weights[chosen], ends - lengths) + rng.standard_normal(
        docs
    )
    return pd.DataFrame({"text": text, "y": (margin > 0).astype("int64")})


def _vocabulary() -> tuple[np.ndarray, np.ndarray]:
    """Make words of 2 to 9 letters, and the weight of each in the target."""
    rng = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words = [
        "".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(VOCABULARY)
    ]
    return np.array(words, dtype=object), rng.standard_normal(VOCABULARY)


def _count(folder: Path) -> int:
    return ds.dataset(folder, format="parquet").count_rows()


def make_steps() -> tuple[HashingVectorizer, SGDClassifier]:
    return HashingVectorizer(n_features=N_FEATURES), SGDClassifier(random_state=0)


def fit_by_hand(folder: Path) -> SGDClassifier:
    """Read, vectorise and fit one partition after the other, without dask."""
    vectorizer, classifier = make_steps()
    for file in sorted(map(str, folder.glob("*.parquet")), key=natural_sort_key):
        frame = pd.read_parquet(file)
        X = vectorizer.transform(frame["text"])
        classifier.partial_fit(X, frame["y"], classes=CLASSES)
    return classifier


def fit_incrementally(folder: Path) -> SGDClassifier:
    """Fit the pipeline on whatever scheduler is active."""
    frame = dd.read_parquet(folder)
    model = Incremental(
        make_pipeline(*make_steps()), classes=CLASSES, shuffle_blocks=False
    )
    return model.fit(frame["text"], frame["y"]).estimator_.steps[-1][1]


@contextmanager
def two_workers() -> Iterator[None]:
    """Open a cluster of two worker processes that have imported what they need."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as own,
        Client(own) as client,
    ):
        client.run(make_steps)
        yield


@contextmanager
def scheduler(name: str) -> Iterator[None]:
    with dask.config.set(scheduler=name, num_workers=2):
        yield


LOOP = "loop by hand"
SCHEDULERS: dict[str, Callable[[], Any]] = {
    "two workers": two_workers,
    "processes": lambda: scheduler("processes"),
    "threads": lambda: scheduler("threads"),
}


def measure(name: str, folder: Path) -> tuple[float, np.ndarray]:
    """Return the seconds of a fit and its coefficients."""
    if name == LOOP:
        start = time.perf_counter()
        coef = fit_by_hand(folder).coef_
        return time.perf_counter() - start, coef
    with SCHEDULERS[name]():
        start = time.perf_counter()
        coef = fit_incrementally(folder).coef_
        return time.perf_counter() - start, coef


def run(docs: int, runs: int, folder: Path, only: str = "") -> dict[str, float]:
    """Measure, print a line for each scheduler and return the median seconds."""
    data = write_docs(folder, docs)
    names = [LOOP, *(name for name in SCHEDULERS if only in name)]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(runs):
        # Each goes first and last in turn.
        found = {}
        for name in names if number % 2 == 0 else names[::-1]:
            took, found[name] = measure(name, data)
            seconds[name].append(took)
        for name, coef in found.items():
            if not np.array_equal(coef, found[LOOP]):
                raise RuntimeError(f"coef_ of {name!r} differs from the loop's.")
    results = {name: median(took) for name, took in seconds.items()}
    print(
        f"{docs:,} documents, {N_FEATURES:,} features, medians of {runs} runs; "
        "coef_ equal bit by bit"
    )
    print(f"{'':<16} fit s  ratio  documents/s")
    for name, took in results.items():
        print(f"{name:<16} {took:>5.2f}  {took / results[LOOP]:>5.2f}  ", end="")
        print(f"{docs / took:>11,.0f}")
    return results


def main() -> None:
    run(
        int(os.environ.get("DOCS", 1_000_000)),
        int(os.environ.get("RUNS", 5)),
        Path(os.environ.get("DEMO_DIR", "demo")),
        os.environ.get("ONLY", ""),
    )


if __name__ == "__main__":
    main()
