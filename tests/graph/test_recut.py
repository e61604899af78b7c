"""Collections of unknown lengths are counted and cut alike."""

from collections import Counter

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask.array import PerformanceWarning
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental, ParallelPostFit, iter_blocks
from tests.contracts import SGD, Recorder, assert_same_state
from tests.graph.parquet import FEATURES, columns

counted = pytest.mark.filterwarnings("default::dask.array.PerformanceWarning")


def check_pairs(*data, rows=240, **params):
    """Fit, and check that each row is there once, with what belongs to it."""
    model = Incremental(Recorder(), shuffle_blocks=False).fit(*data, **params)
    found = []
    for X, y, weight, _ in model.estimator_.calls_:
        first = np.asarray(X)[:, 0]
        np.testing.assert_array_equal(first, np.asarray(y))
        if weight is not None:
            np.testing.assert_array_equal(first, np.asarray(weight))
        found.extend(first)
    assert len(found) == len(set(found)) == rows
    return model


@counted
@pytest.mark.parametrize(
    ("derive", "rows"),
    [
        (lambda df: df, 240),
        (lambda df: df[df["y"] % 3 > 0], 160),
        (lambda df: df.repartition(npartitions=5), 240),
        (lambda df: df.repartition(npartitions=30), 240),
        (lambda df: df.repartition(partition_size="2kB"), 240),
        (lambda df: df.assign(f1=df["f1"].where(df["y"] > 9)).dropna(), 230),
        (lambda df: df.sample(frac=0.5), 120),
        (lambda df: df.sample(frac=0.5, random_state=0), 120),
        (lambda df: df.random_split([0.5, 0.5], random_state=0)[0], None),
        (lambda df: df.merge(pd.DataFrame({"y": range(240), "z": 1}), on="y"), 240),
    ],
)
@pytest.mark.parametrize("of", ["arrays", "frame and array", "array and frame"])
def test_all_rows_pair(derive, rows, of, df):
    frame = derive(df)
    X, y = columns(frame)
    X = frame[FEATURES] if of == "frame and array" else X
    y = frame["y"] if of == "array and frame" else y
    check_pairs(X, y, rows=len(frame) if rows is None else rows)


@counted
@pytest.mark.parametrize("of", [np.asarray, list, pd.Series, da.from_array])
@pytest.mark.parametrize("lazy", ["values", "frame"])
def test_data_of_given_lengths_are_cut_like_x(of, lazy, df):
    y, weight = np.arange(240.0), np.arange(240.0)
    X = df[FEATURES].values if lazy == "values" else df[FEATURES]
    if of is pd.Series and lazy == "frame":
        index = df.index.compute()
        check_pairs(X, pd.Series(y, index=index), sample_weight=weight)
    else:
        check_pairs(X, of(y), sample_weight=weight)


@counted
def test_a_bag_pairs_with_labels_in_memory():
    documents = db.from_sequence(["good", "bad", "good", "bad", "good"], npartitions=2)
    y = np.array([1, 0, 1, 0, 1])
    model = Incremental(Recorder2(), shuffle_blocks=False).fit(documents, y)
    assert model.estimator_.seen_ == ["good1", "bad0", "good1", "bad0", "good1"]


class Recorder2(Recorder):
    """Keeps documents with their labels."""

    def partial_fit(self, X, y=None):
        seen = [f"{document}{label}" for document, label in zip(X, y, strict=True)]
        self.seen_ = [*getattr(self, "seen_", []), *seen]
        return self


@counted
def test_sparse_blocks_are_cut(df):
    X, y = columns(df)
    sparse = y[:, None].map_blocks(sp.csr_matrix, meta=sp.csr_matrix((0, 1)))
    model = Incremental(Recorder(), shuffle_blocks=False).fit(X[:, :1], sparse)
    for values, cut, *_ in model.estimator_.calls_:
        np.testing.assert_array_equal(values, cut.toarray())


@counted
def test_frames_of_other_partitions_are_compared_by_their_labels():
    frame = pd.DataFrame({"a": np.arange(60.0), "y": np.arange(60)})
    X = dd.from_pandas(frame, npartitions=6).clear_divisions()
    y = dd.from_pandas(frame["y"], npartitions=4).clear_divisions()
    check_pairs(X[["a"]], y, rows=60)
    other = dd.from_pandas(frame["y"][::-1], npartitions=4, sort=False)
    with pytest.raises(ValueError, match="The rows of y have other index labels"):
        Incremental(Recorder()).fit(X[["a"]], other)


@counted
def test_labels_in_memory_must_be_those_of_the_frame(df):
    with pytest.raises(ValueError, match="other index labels .*pass arrays instead"):
        Incremental(Recorder()).fit(df[FEATURES], pd.Series(np.arange(240.0)))


def test_the_warning_says_what_it_cost_and_how_to_do_without(df):
    with pytest.warns(PerformanceWarning) as caught:
        Incremental(Recorder()).fit(*columns(df))
    (message,) = [str(one.message) for one in caught]
    assert "read once more to count them, in 0." in message
    assert "Pass dataframes for all" in message


def test_dataframes_are_not_counted(df):
    check_pairs(df[FEATURES], df["y"])


def test_arrays_of_one_cut_are_not_counted(df):
    with dask.config.set({"optimization.tune.active": False}):
        X, y = columns(df)
    check_pairs(X, y)


@counted
def test_each_read_is_counted_once_and_fitted_once():
    reads = Counter()

    def read(at):
        reads[at] += 1
        return np.full((10, 2), at)

    parts = [dask.delayed(read)(at) for at in range(5)]
    blocks = [da.from_delayed(part, (np.nan, 2), float) for part in parts]
    X = da.concatenate(blocks, allow_unknown_chunksizes=True)
    Incremental(Recorder()).fit(X, np.arange(50))
    assert set(reads.values()) == {2}


@counted
def test_only_unknown_lengths_are_counted():
    reads = Counter()

    def read(block, block_id=None):
        reads[block_id] += 1
        return block

    X = da.ones((60, 2), chunks=(10, 2)).map_blocks(read, meta=np.ones((0, 2)))
    y = da.ones(60, chunks=20)
    y = y[y > 0]
    Incremental(Recorder()).fit(X, y)
    assert set(reads.values()) == {1}


def test_nothing_is_read_before_the_fit_begins(df, no_compute):
    len(iter_blocks(df[FEATURES], df["y"].values))


@counted
@pytest.mark.parametrize(
    "derive",
    [
        lambda df: (df.sort_values("f0")[FEATURES], df.sort_values("f0")["y"]),
        lambda df: (
            df[FEATURES].sample(frac=0.5, random_state=0),
            df["y"].sample(frac=0.5, random_state=0),
        ),
        lambda df: (
            df[FEATURES].map_partitions(lambda part: part.iloc[::-1]),
            df["y"].map_partitions(lambda part: part.iloc[::-1]),
        ),
    ],
)
def test_rows_that_depend_on_where_they_are_cut_are_refused(derive, df):
    X, y = (part.values for part in derive(df))
    with pytest.raises(ValueError, match="X and y cannot be paired.*Pass dataframes"):
        Incremental(Recorder()).fit(X, y)


@counted
@pytest.mark.parametrize("of", ["arrays", "frame and array", "y in memory"])
def test_rows_chosen_by_an_unknown_function_are_refused(of, df, no_compute):
    def seventy_percent(part):
        return pd.Series(np.arange(len(part)) < 0.7 * len(part), index=part.index)

    meta = pd.Series(dtype=bool)
    chosen = df[df["f1"].map_partitions(seventy_percent, meta=meta)]
    X, y = columns(chosen)
    X = chosen[FEATURES] if of == "frame and array" else X
    y = np.arange(168) if of == "y in memory" else y
    with pytest.raises(ValueError, match="a function such as that of `map_partit"):
        Incremental(Recorder()).fit(X, y)


@counted
def test_rows_chosen_by_an_unknown_function_pair_in_dataframes(df):
    chosen = df[df["f1"].map_partitions(lambda part: part > 99)]
    check_pairs(chosen[FEATURES], chosen["y"], rows=141)


@counted
def test_other_totals_are_refused(df):
    with pytest.raises(ValueError, match="expected the same number of rows"):
        Incremental(Recorder()).fit(df[FEATURES], np.arange(241))


@counted
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_two_cuts_of_the_same_rows_pair(data):
    n = data.draw(st.integers(1, 40))
    arrays = []
    for _ in range(3):
        cuts = data.draw(st.lists(st.integers(0, n), max_size=5))
        parts = np.split(np.arange(n), sorted(cuts))
        blocks = [
            da.from_delayed(dask.delayed(part), (np.nan,), int, name=f"b{id(part)}")
            for part in parts
        ]
        arrays.append(da.concatenate(blocks, allow_unknown_chunksizes=True))
    assume(len({array.npartitions for array in arrays}) > 1)
    X, y, weight = arrays
    check_pairs(X[:, None], y, rows=n, sample_weight=weight)


@counted
def test_schedulers_make_no_difference(scheduler, df):
    X, y = columns(df)
    labels = (y % 2).astype(int)
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False).fit(X, labels)
    expected = SGDClassifier(random_state=0)
    for part in df.partitions:
        plain = part.compute()
        expected.partial_fit(plain[FEATURES].to_numpy(), plain["y"] % 2, classes=[0, 1])
    assert_same_state(model.estimator_, expected)


@counted
def test_the_articles_pipeline_fits_predicts_and_scores(df):
    X, y = columns(df)
    labels = (y > 99).astype(int)
    pipe = make_pipeline(
        Incremental(StandardScaler()), Incremental(SGD, classes=[0, 1])
    )
    assert pipe.fit(X, labels).score(X, labels) > 0.8
    assert pipe.predict(X).compute().shape == (240,)


@counted
def test_blocks_are_those_of_the_first_collection(df):
    X, y = columns(df)
    blocks = iter_blocks(X, y)
    assert len(blocks) == 12
    assert [len(part) for part, _ in blocks] == [20] * 12


@counted
def test_scores_and_weights_are_cut_as_well(df):
    X, y = columns(df)
    line = LinearRegression().fit(X.compute(), y.compute())
    assert ParallelPostFit(line).score(X, y.compute()) == pytest.approx(1)
    assert ParallelPostFit(line).score(X, y, sample_weight=y.compute() + 1) > 0.99


@counted
def test_rows_that_are_counted_go_on_from_a_checkpoint(tmp_path, df):
    X, y = columns(df)
    options = {"random_state": 0, "classes": [0, 1]}
    expected = Incremental(SGD, **options).fit(X, y % 2)
    model = Incremental(SGD, checkpoint=tmp_path / "a", **options).fit(X, y % 2)
    assert_same_state(model.estimator_, expected.estimator_)
