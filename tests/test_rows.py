"""Every row is used once, with its own target and weight, wherever it came from."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import delayed
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from incremental import Incremental, ParallelPostFit, iter_blocks
from tests.rows import (
    ALWAYS_PAIR,
    FEATURES,
    KINDS,
    N_ROWS,
    OPERATIONS,
    WITHOUT_P2P,
    Keep,
    Ledger,
    account,
    check_ids,
    check_rows,
    make_data,
    make_frame,
)

REFUSED = "cannot be paired|blocks but|index labels|same number of rows"


def account_or_refuse(n_partitions, operations, kind, stages):
    """Account for all rows; only collections that are apart may be refused."""
    try:
        account(n_partitions, operations, kind, stages)
    except ValueError as error:
        if kind in ALWAYS_PAIR or not re.search(REFUSED, str(error)):
            raise


ANY_DATA = {
    "n_partitions": st.integers(1, 5),
    "operations": st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=3),
    "kind": st.sampled_from(sorted(KINDS)),
    "stages": st.integers(1, 3),
}


@settings(max_examples=10, deadline=None)
@given(**ANY_DATA)
def test_every_row_is_used_once_with_its_own_target_and_weight(**data):
    account_or_refuse(**data)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(**ANY_DATA)
def test_every_row_of_many_data_sets_is_used_once(**data):
    account_or_refuse(**data)


def every_other_is_slow(*choices):
    """Combine choices; each two of different kinds meet in a case that is not slow."""
    cases = []
    for case in product(*map(enumerate, choices)):
        numbers, values = zip(*case, strict=True)
        marks = [pytest.mark.slow] if sum(numbers) % 2 else []
        cases.append(pytest.param(*values, marks=marks))
    return cases


@pytest.mark.parametrize(
    ("kind", "stages", "operations"),
    every_other_is_slow(ALWAYS_PAIR, (1, 2), ("shuffle", "sample each and merge")),
)
@pytest.mark.parametrize(
    "scheduler",
    ["threads", "synchronous"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("processes", "distributed")
    ],
    indirect=True,
)
def test_rows_pair_on_every_scheduler(kind, stages, operations, scheduler):
    remote = scheduler == "distributed" and kind != "frames"
    config = WITHOUT_P2P if remote else None
    account(3, operations.split(" and "), kind, stages, config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "seed"), [(("threads", "cluster")[seed % 2], seed) for seed in range(8)]
)
def test_rows_pair_whatever_the_hashes_of_names_are(where, seed):
    """The order of what dask keeps in sets depends on the seed of Python's hashes."""
    subprocess.run(
        [sys.executable, "-m", "tests.rows", where, str(seed)],
        check=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONWARNINGS": "ignore"},
        timeout=500,
    )


def test_no_row_of_an_array_that_was_shuffled_on_disk_is_lost():
    shuffled = make_frame(4).shuffle("k")[["id"]].to_dask_array()
    blocks = [block for (block,) in iter_blocks(shuffled)]
    check_ids(np.concatenate(blocks)[:, 0], [])


def test_no_row_is_lost_where_shuffled_rows_are_put_below_others():
    shuffled = make_frame(4).shuffle("k")[FEATURES].to_dask_array()
    few = da.full((10, 2), 1000.0, chunks=(5, 2)) + da.arange(10, chunks=5)[:, None]
    X = da.concatenate([few, shuffled], allow_unknown_chunksizes=True)
    keep = Incremental(Keep()).fit(X)
    ids = [one for one in keep.ids_ if one < 1000]
    assert len(keep.ids_) - len(ids) == 10
    check_ids(ids, [])


def test_a_statistic_of_shuffled_rows_is_that_of_all(scheduler):
    if scheduler == "distributed":
        pytest.skip("rows shuffled on the disk of one machine are refused there")
    rows = make_frame(4).shuffle("k")[FEATURES].to_dask_array()
    ids = np.concatenate([block for (block,) in iter_blocks(rows - rows.sum(axis=0))])
    check_ids(ids[:, 0] + sum(range(N_ROWS)), [])


def test_rows_shuffled_on_disk_are_refused_on_a_cluster(client):
    X, y, _ = make_data(4, ["disk shuffle"], "frames")
    with pytest.raises(ValueError, match="not safe on a cluster.*tasks"):
        Incremental(Ledger(), classes=[0, 1]).fit(X, y)


@pytest.mark.parametrize(
    "kind", ["separate arrays", "frame and array", "array and frames"]
)
def test_what_was_shuffled_apart_is_refused_before_any_read(kind, no_compute):
    X, y, w = make_data(4, ["shuffle"], kind)
    model = Incremental(Ledger(), classes=[0, 1])
    with pytest.raises(ValueError, match="cannot be paired.*Pass dataframes"):
        model.fit(X, y, sample_weight=w)
    with pytest.raises(ValueError, match="cannot be paired.*persist"):
        iter_blocks(X, y)


def test_what_a_wrapper_yields_is_refused_if_it_was_sliced(no_compute):
    X, y, _ = make_data(4, ["shuffle"], "frames")
    scaler = MaxAbsScaler().fit(pd.DataFrame([[1.0, 1.0]], columns=FEATURES))
    scaled = ParallelPostFit(scaler).transform(X)
    assert len(iter_blocks(scaled, y)) == 4
    with pytest.raises(ValueError, match="once it is sliced.*step of a pipeline"):
        iter_blocks(scaled[:, :1], y)


def test_two_frames_shuffled_on_disk_apart_are_refused():
    frame = make_frame(4)
    X = frame[FEATURES].shuffle("k", shuffle_method="disk")
    y = frame[["k", "y"]].shuffle("k", shuffle_method="disk")["y"]
    with pytest.raises(ValueError, match="X and y cannot be paired"):
        Incremental(Ledger(), classes=[0, 1]).fit(X, y)


def test_a_persisted_shuffle_pairs_as_arrays():
    rows = make_frame(4).shuffle("k").persist()
    X, y, w = (rows[names].to_dask_array() for names in (FEATURES, "y", "w"))
    model = Incremental(Ledger(), classes=[0, 1]).fit(X, y, sample_weight=w)
    check_rows(model.rows_, [])


def test_a_prediction_pairs_with_the_frame_it_was_made_from():
    X, _, w = make_data(4, ["shuffle"], "frames")
    model = Incremental(Ledger(), classes=[0, 1]).fit(X, X["id"] % 2, sample_weight=w)
    check_rows(model.fit(X, model.predict(X), sample_weight=w).rows_, [])


class Reads:
    """Ways to give X and y, whose reads of each block are counted."""

    def __init__(self, n_blocks=6, rows=5):
        self.counts = Counter()
        self._n_blocks, self._rows = n_blocks, rows

    def _read(self, block):
        self.counts[block] += 1
        ids = np.random.permutation(self._rows) + float(self._rows * block)
        return np.stack([ids, ids * 0, ids % 2], axis=1)

    def parts(self):
        return [delayed(self._read, pure=False)(n) for n in range(self._n_blocks)]

    def array(self):
        shape = (self._rows, 3)
        rows = [da.from_delayed(part, shape, dtype=float) for part in self.parts()]
        return da.concatenate(rows)

    def arrays(self):
        rows = self.array()
        return rows[:, :2], rows[:, 2]

    def mapped_arrays(self):
        rows = da.zeros((30, 3), chunks=(5, 3)).map_blocks(
            lambda block, block_info: self._read(block_info[0]["chunk-location"][0]),
            dtype=float,
            meta=np.empty((0, 3)),
        )
        return rows[:, :2], rows[:, 2]

    def frame(self):
        def read(block):
            return pd.DataFrame(self._read(block), columns=["id", "k", "y"])

        meta = pd.DataFrame(columns=["id", "k", "y"], dtype=float)
        return dd.from_map(read, range(self._n_blocks), meta=meta)

    def frames(self):
        frame = self.frame()
        return frame[FEATURES], frame["y"]

    def frames_as_arrays(self):
        X, y = self.frames()
        return X.to_dask_array(), y.to_dask_array()

    def frame_and_array(self):
        X, y = self.frames()
        return X, y.to_dask_array()

    def array_and_bag(self):
        parts = self.parts()
        shape = (self._rows, 2)
        take = delayed(lambda part, columns: part[:, columns], pure=True)
        X = [da.from_delayed(take(p, slice(0, 2)), shape, dtype=float) for p in parts]
        y = db.from_delayed([take(part, 2) for part in parts])
        return da.concatenate(X), y

    def bags(self):
        rows = db.from_delayed(self.parts())
        return rows.map(lambda row: f"w{int(row[0])}"), rows.map(lambda row: row[2])


READS = [name for name in vars(Reads) if not name.startswith("_")]
PAIRS = [name for name in READS if name not in ("parts", "array", "frame")]


class Documents(Ledger):
    """A ledger of documents, each of one word that has the id in it."""

    def partial_fit(self, X, y, classes=None):
        ids = np.array([[float(word[1:])] for word in X])
        return super().partial_fit(ids, np.asarray(y, dtype=float), ids[:, 0] + 1)

    def predict(self, X):
        return super().predict(np.array([[float(word[1:])] for word in X]))


def rows_of(ledger):
    return [(number, target, number + 1) for number, target, _ in ledger.rows_]


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("kind", PAIRS)
def test_each_block_is_read_once_at_every_stage(kind, stages):
    reads = Reads()
    X, y = getattr(reads, kind)()
    if kind == "bags" and stages > 1:
        pytest.skip("a stage before it would make arrays of the bag")
    last = Documents() if kind == "bags" else Weightless()
    steps = [Incremental(Keep()) for _ in range(stages - 1)]
    pipe = make_pipeline(*steps, Incremental(last, classes=[0, 1])).fit(X, y)
    assert reads.counts == dict.fromkeys(range(6), stages)
    rows = rows_of(pipe[-1])
    check_rows_of_reads(rows)
    reads.counts.clear()
    assert pipe.score(X, y) == 1.0
    assert reads.counts == dict.fromkeys(range(6), 1)
    reads.counts.clear()
    pipe[-1].scoring = "balanced_accuracy"
    assert pipe.score(X, y) == 1.0
    assert reads.counts == dict.fromkeys(range(6), 1)
    reads.counts.clear()
    for _, target in iter_blocks(X, y):
        assert len(target) == 5
    assert reads.counts == dict.fromkeys(range(6), 1)


class Weightless(Ledger):
    """A ledger without weights."""

    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(X, y, np.asarray(X)[:, 0] + 1)


def check_rows_of_reads(rows):
    assert sorted(number for number, _, _ in rows) == list(range(30))
    assert all(target == number % 2 for number, target, _ in rows)


SOURCES = {
    "parquet": lambda path, frame: (
        frame.to_parquet(path / "one.parquet"),
        dd.read_parquet(path / "one.parquet"),
    )[1],
    "csv": lambda path, frame: (
        frame.to_csv(path / "one.csv", index=False),
        dd.read_csv(path / "one.csv"),
    )[1],
    "pandas": lambda path, frame: dd.from_pandas(frame, npartitions=1),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_data_set_of_one_partition_works(source, tmp_path, rng):
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    frame["y"] = (frame["a"] > 0).astype(int)
    lazy = SOURCES[source](tmp_path, frame)
    X, y = lazy[["a", "b"]], lazy["y"]
    pipe = make_pipeline(
        Incremental(StandardScaler()), Incremental(SGDClassifier(random_state=0))
    )
    assert pipe.fit(X, y).score(X, y) > 0.8
    expected = pipe[-1].estimator_.predict(
        pipe[0].estimator_.transform(frame[["a", "b"]])
    )
    np.testing.assert_array_equal(pipe.predict(X).compute(), expected)
    np.testing.assert_array_equal(pipe.predict(X).to_dask_dataframe(), expected)


@pytest.mark.parametrize("meta", [None, pd.Series(dtype=float)])
def test_one_block_of_a_prediction_can_be_picked(meta, rng):
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    model = ParallelPostFit(
        LinearRegression().fit(frame, frame["a"]), predict_meta=meta
    )
    lazy = dd.from_pandas(frame, npartitions=4) + 0
    predicted = model.predict(lazy)
    part = predicted.blocks[1] if meta is None else predicted.partitions[1]
    np.testing.assert_allclose(part.compute(), frame["a"][10:20], atol=1e-12)
    values = part if meta is None else part.to_dask_array()
    np.testing.assert_allclose(values.compute(), frame["a"][10:20], atol=1e-12)


def shuffled_rows():
    """Make an array whose rows are drawn anew whenever they are read."""
    ids = da.arange(120, chunks=20).astype(float)
    rows = da.stack([ids, ids * 0], axis=1).rechunk({1: -1})
    return rows.map_blocks(np.random.permutation, dtype=float, meta=np.empty((0, 2)))


RECHUNKED = {
    "fewer": lambda rows: (rows, rows[:, 0].rechunk(60)),
    "one": lambda rows: (rows, rows[:, 0].rechunk(-1)),
    "there and back": lambda rows: (
        rows,
        rows[:, 0].rechunk(-1).map_blocks(np.copy).rechunk(20),
    ),
    "X": lambda rows: (rows.rechunk((60, -1)), rows[:, 0]),
    "a column": lambda rows: (
        rows,
        da.concatenate([rows, rows[:, :1].rechunk((-1, 1)).rechunk((20, 1))], axis=1)[
            :, 2
        ],
    ),
}


@pytest.mark.parametrize("case", RECHUNKED)
def test_rows_pair_whatever_the_chunks_of_one_array_became(case):
    pairs = list(iter_blocks(*RECHUNKED[case](shuffled_rows())))
    for X, y in pairs:
        np.testing.assert_array_equal(X[:, 0], y)
    check_ids(np.concatenate([y for _, y in pairs]), [])


def test_frames_of_one_array_pair():
    rows = shuffled_rows()
    X = dd.from_dask_array(rows, columns=["id", "z"])
    for part, ids in iter_blocks(X, dd.from_dask_array(rows[:, 0])):
        np.testing.assert_array_equal(part["id"], ids)


def generate(numbers):
    yield from numbers


def test_bags_whose_partitions_are_generators_pair():
    numbers = db.from_sequence(range(30), npartitions=6).map_partitions(generate)
    X, y = numbers.map(str), numbers.map(float)
    seen = [pair for block in iter_blocks(X, y) for pair in zip(*block, strict=True)]
    assert [(int(text), int(number)) for text, number in seen] == [
        (number, number) for number in range(30)
    ]
    zipped = db.zip(numbers, numbers.map(float))
    pairs = list(iter_blocks(zipped.pluck(0), zipped.pluck(1)))
    assert [number for block, _ in pairs for number in block] == list(range(30))


@pytest.mark.parametrize("operation", ["shuffle", "sort", "sample each", "merge"])
def test_columns_of_wrappers_side_by_side_are_of_the_same_rows(operation):
    X, y, _ = make_data(4, [operation], "frames")
    columns = ColumnTransformer(
        [
            ("id", Incremental(MaxAbsScaler()), [True, False]),
            ("same", Incremental(MaxAbsScaler()), [True, False]),
            ("k", Incremental(MaxAbsScaler()), [False, True]),
        ]
    )
    beside = columns.fit_transform(X)
    largest = N_ROWS - 1
    for received in (beside.compute(), *(block for (block,) in iter_blocks(beside))):
        ids = np.rint(received[:, 0] * largest)
        np.testing.assert_array_equal(received[:, 1], received[:, 0])
        np.testing.assert_allclose(received[:, 2], ids % 7 / 6)
    pairs = zip(*((b, t) for b, t in iter_blocks(beside, y)), strict=True)
    rows, targets = map(np.concatenate, pairs)
    np.testing.assert_array_equal(np.rint(rows[:, 0] * largest) % 2, targets)


@pytest.mark.parametrize("options", [{}, {"batch_size": 10}, {"max_iter": 2}])
def test_scalers_of_a_shuffled_frame_and_a_model_take_the_same_rows(options):
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 400) * 2.0 - 1
    frame = pd.DataFrame({"a": side, "b": side * 3, "k": rng.integers(0, 50, 400)})
    frame["y"] = (side > 0).astype(int)
    shuffled = dd.from_pandas(frame, npartitions=5).shuffle("k")
    X, y = shuffled[["a", "b"]], shuffled["y"]
    model = Incremental(SGDClassifier(random_state=0), classes=[0, 1], **options)
    scalers = Incremental(StandardScaler()), Incremental(MaxAbsScaler())
    assert make_pipeline(*scalers, model).fit(X, y).score(X, y) == 1.0
