"""A table of ways to make a data set, and estimators that account for every row.

Every row has an id. Its target and its weight follow from that, so that a row that is
lost, used twice or paired with another one's target shows.
"""

import sys

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.pipeline import make_pipeline

from incremental import Incremental, iter_blocks

N_ROWS = 120
FEATURES = ["id", "k"]


def make_frame(n_partitions):
    """Make the data set: the target is the parity of the id, the weight is one more."""
    ids = np.random.default_rng(1).permutation(N_ROWS)
    frame = pd.DataFrame({"id": ids, "k": ids % 7, "y": ids % 2, "w": ids + 1.0})
    frame[FEATURES] = frame[FEATURES].astype(float)
    return dd.from_pandas(frame, npartitions=n_partitions, sort=False)


def shuffle_each(part):
    return part.sample(frac=1)


def add_nothing(part):
    return part.assign(k=part["k"] + 0)


def merge_with_itself(frame):
    right = frame[["id"]].assign(extra=1.0)
    return frame.merge(right.shuffle("extra"), on="id").drop(columns="extra")


OPERATIONS = {
    "shuffle": lambda frame: frame.shuffle("k"),
    "disk shuffle": lambda frame: frame.shuffle("k", shuffle_method="disk"),
    "merge": merge_with_itself,
    "sort": lambda frame: frame.sort_values("k"),
    "set_index": lambda frame: frame.assign(i=frame["k"]).set_index("i"),
    "reset_index": lambda frame: frame.reset_index(drop=True),
    "sample": lambda frame: frame.sample(frac=0.7),
    "sample each": lambda frame: frame.map_partitions(shuffle_each),
    "map_partitions": lambda frame: frame.map_partitions(add_nothing),
    "filter": lambda frame: frame[frame["k"] > 1],
    "repartition": lambda frame: frame.repartition(npartitions=2),
}


def _frames(frame):
    return frame[FEATURES], frame["y"], frame["w"]


def _separate_arrays(frame):
    return tuple(piece.to_dask_array() for piece in _frames(frame))


def _one_array(frame):
    rows = frame[[*FEATURES, "y", "w"]].to_dask_array()
    return rows[:, :2], rows[:, 2], rows[:, 3]


def _shuffled_array(frame):
    X, y, w = _one_array(frame)
    rows = da.concatenate([X, y[:, None], w[:, None]], 1, allow_unknown_chunksizes=True)
    rows = rows.rechunk({1: -1}).map_blocks(np.random.permutation, dtype=float)
    return rows[:, :2], rows[:, 2], rows[:, 3]


def _frame_and_arrays(frame):
    X, y, w = _frames(frame)
    return X, y.to_dask_array(), w


def _array_and_frames(frame):
    X, y, w = _frames(frame)
    return X.to_dask_array(), y, w


def _bags(frame):
    X, y, w = _one_array(frame)
    return X, dd.from_dask_array(y).to_bag(), w


KINDS = {
    "frames": _frames,
    "one array": _one_array,
    "shuffled array": _shuffled_array,
    "separate arrays": _separate_arrays,
    "frame and array": _frame_and_arrays,
    "array and frames": _array_and_frames,
    "bag": _bags,
}
# Arrays of dataframes that a cluster shuffles from peer to peer are refused.
WITHOUT_P2P = {"dataframe.shuffle.method": "tasks"}
ALWAYS_PAIR = ("frames", "one array", "shuffled array")


class Keep(TransformerMixin, BaseEstimator):
    """Learns how many rows there are, and yields them as they are."""

    def partial_fit(self, X, y=None):
        self.n_seen_ = getattr(self, "n_seen_", 0) + len(X)
        self.ids_ = [*getattr(self, "ids_", []), *np.asarray(X)[:, 0].tolist()]
        return self

    def transform(self, X):
        return np.asarray(X, dtype=float) + 0.0


class Ledger(ClassifierMixin, BaseEstimator):
    """Keeps each row with its target and its weight; predicts the parity of the id."""

    def partial_fit(self, X, y, sample_weight=None, classes=None):
        self.classes_ = np.array([0, 1])
        columns = np.asarray(X)[:, 0], np.asarray(y), np.asarray(sample_weight)
        rows = np.stack(columns, axis=1).astype(float)
        self.rows_ = [
            *getattr(self, "rows_", []),
            *(tuple(map(float, r)) for r in rows),
        ]
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0].astype(int) % 2


def expected_ids(operations):
    """Return the ids that are left, or None if chance decides."""
    if "sample" in operations:
        return None
    ids = np.arange(N_ROWS)
    return sorted(ids[ids % 7 > 1] if "filter" in operations else ids)


def check_ids(ids, operations):
    """Check that each row is there once."""
    ids = sorted(int(one) for one in ids)
    assert len(ids) == len(set(ids)), "rows are there twice"
    expected = expected_ids(operations)
    assert ids, "no rows"
    if expected is not None:
        assert ids == expected, f"{len(ids)} rows of {len(expected)}"


def check_rows(rows, operations):
    """Check that each row is there once, with its own target and weight."""
    for number, target, weight in rows:
        assert (target, weight) == (number % 2, number + 1), "a row is mispaired"
    check_ids([number for number, _, _ in rows], operations)


def make_data(n_partitions, operations, kind):
    frame = make_frame(n_partitions)
    for operation in operations:
        frame = OPERATIONS[operation](frame)
    return KINDS[kind](frame)


def account(n_partitions, operations, kind, stages, config=None):
    """Fit, score, predict and iterate, and account for every row."""
    with dask.config.set(config or {}):
        X, y, w = make_data(n_partitions, operations, kind)
    ledger = Incremental(Ledger(), classes=[0, 1])
    pipe = make_pipeline(*(Incremental(Keep()) for _ in range(stages - 1)), ledger)
    name = pipe.steps[-1][0]
    pipe.fit(X, y, **{f"{name}__sample_weight": w})
    check_rows(pipe[-1].rows_, operations)
    for _, keep in pipe.steps[:-1]:
        check_ids(keep.ids_, operations)
    assert pipe.score(X, y) == 1.0
    assert pipe.score(X, y, sample_weight=w) == 1.0
    pipe[-1].scoring = "balanced_accuracy"
    assert pipe.score(X, y) == 1.0
    blocks = [tuple(map(np.asarray, block)) for block in iter_blocks(X, y, w)]
    rows = [
        row for a, b, c in blocks for row in zip(a[:, 0].tolist(), b, c, strict=True)
    ]
    check_rows(rows, operations)
    if stages > 1:
        kept = pipe[:-1].transform(X).compute()
        check_ids(kept[:, 0], operations)
    assert set(pipe.predict(X).compute().tolist()) == {0, 1}


def main(where, seed):
    """Account for the rows of many data sets, other ones for each seed."""
    rng = np.random.default_rng(seed)
    names = list(OPERATIONS)
    if where == "cluster":  # where it is refused
        names.remove("disk shuffle")
    for number in range(12 if where == "threads" else 3):
        kind = ALWAYS_PAIR[number % len(ALWAYS_PAIR)]
        # On a cluster each operation costs seconds.
        most = 4 if where == "threads" else 2
        operations = list(rng.choice(names, size=rng.integers(1, most)))
        case = int(rng.integers(1, 6)), operations, kind, int(rng.integers(1, 4))
        try:
            account(*case, config=WITHOUT_P2P if where == "cluster" else None)
        except BaseException as error:
            error.add_note(f"in the case {case}")
            raise


if __name__ == "__main__":
    if sys.argv[1] == "cluster":
        from distributed import Client, LocalCluster

        with (
            LocalCluster(2, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster),
            dask.config.set(WITHOUT_P2P),
        ):
            main("cluster", int(sys.argv[2]))
    else:
        with dask.config.set(scheduler="threads"):
            main("threads", int(sys.argv[2]))
