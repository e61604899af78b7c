"""Batches go on across blocks."""

from dataclasses import dataclass

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from incremental import Incremental, Traits, traits_of
from incremental._blocks.block import Block
from incremental._estimators.merge import merge
from incremental._fit.batches import Batching, Waiting, rows_of_batch
from tests.contracts import (
    ESTIMATORS,
    N_ROWS,
    SGD,
    Recorder,
    as_dask,
    assert_same_state,
    make_data,
    name_of,
    plain_loop,
)
from tests.estimators.test_merge import chunkings
from tests.fit.test_checkpoints import interrupted

SERIAL = [one for one in ESTIMATORS if not merge.learns_as_registered(one)]


def lengths(batching, chunks):
    """Return the rows of the batches that blocks of these rows make."""
    rows, waiting, found = iter(range(sum(chunks))), Waiting(), []
    for size in chunks:
        X = np.array([next(rows) for _ in range(size)]).reshape(-1, 1)
        due, waiting = batching.take(waiting, Block({"X": X}))
        found += [batch for block in due for batch in block.batches(batching.size)]
    found += batching.rest(waiting)
    seen = [one["X"] for one in found]
    assert np.concatenate(seen).ravel().tolist() == list(range(sum(chunks)))
    return [len(one) for one in seen]


@pytest.mark.parametrize(
    ("size", "least", "chunks", "expected"),
    [
        (4, 1, (10,), [4, 4, 2]),
        (4, 1, (3, 3, 4), [4, 4, 2]),
        (4, 1, (1,) * 10, [4, 4, 2]),
        (4, 1, (4, 4), [4, 4]),
        (4, 3, (10,), [4, 6]),
        (4, 3, (1,) * 10, [4, 6]),
        (4, 2, (5, 5), [4, 4, 2]),
        (20, 3, (4, 4), [8]),
        (None, 1, (3, 1, 2), [3, 1, 2]),
        (None, 3, (1, 1, 1, 5, 2), [3, 7]),
        (None, 3, (5, 4, 3), [5, 4, 3]),
        (None, 3, (1, 1), [2]),
    ],
)
def test_rows_are_cut_into_batches(size, least, chunks, expected):
    assert lengths(Batching(size, least), chunks) == expected


@given(
    size=st.integers(1, 9),
    least=st.integers(1, 9),
    chunks=st.lists(st.integers(1, 12), min_size=1, max_size=8),
)
def test_batches_depend_on_the_number_of_rows_alone(size, least, chunks):
    batching = Batching(max(size, least), least)
    assert lengths(batching, chunks) == lengths(batching, [sum(chunks)])


def test_what_waits_does_not_keep_its_block_in_memory():
    block = Block({"X": np.zeros((1000, 2))})
    _, ((waiting,), _) = Batching(300).take(Waiting(), block)
    assert waiting["X"].base is None or waiting["X"].base.nbytes < 2000 * 8


@pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning")
@pytest.mark.parametrize("estimator", SERIAL, ids=name_of)
@settings(max_examples=3, deadline=None)
@given(chunks=chunkings(N_ROWS), batch_size=st.integers(3, 70))
def test_the_chunks_make_no_difference(estimator, chunks, batch_size):
    X, y, params = make_data(estimator)
    model = Incremental(estimator, shuffle_blocks=False, batch_size=batch_size)
    model.fit(as_dask(X, chunks), as_dask(y, chunks), **params)
    expected = plain_loop(estimator, X, y, params, (N_ROWS,), batch_size=batch_size)
    assert_same_state(model.estimator_, expected)


@dataclass
class Kind:
    """A kind of X, in memory and lazily."""

    name: str
    plain: object
    lazy: object


VALUES = np.random.default_rng(0).normal(size=(N_ROWS, 4))
KINDS = [
    Kind("C order", np.asarray, as_dask),
    Kind("F order", np.asfortranarray, lambda X, c: as_dask(np.asfortranarray(X), c)),
    Kind(
        "array of a frame",
        np.asfortranarray,
        lambda X, c: dd.from_dask_array(as_dask(X, c), columns=list("abcd")).values,
    ),
    Kind(
        "columns in blocks",
        np.asarray,
        lambda X, c: da.from_array(X, chunks=(tuple(c), 2)),
    ),
    Kind("sparse", sp.csr_matrix, lambda X, c: as_dask(X, c).map_blocks(sp.csr_matrix)),
    Kind(
        "frame",
        lambda X: pd.DataFrame(X, columns=list("abcd")),
        lambda X, c: dd.from_dask_array(as_dask(X, c), columns=list("abcd")),
    ),
]


KMEANS = MiniBatchKMeans(3, random_state=0, n_init=1)


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        pytest.param(estimator, kind, id=f"{name_of(estimator)}-{kind.name}")
        for estimator in (SGD, KMEANS, IncrementalPCA(2))
        for kind in KINDS
        if not (kind.name == "sparse" and isinstance(estimator, IncrementalPCA))
    ],
)
@settings(max_examples=3, deadline=None)
@given(chunks=chunkings(N_ROWS), batch_size=st.integers(3, 40))
def test_the_chunks_make_no_difference_to_any_kind(estimator, kind, chunks, batch_size):
    model = Incremental(estimator, shuffle_blocks=False, batch_size=batch_size)
    y = (VALUES[:, 0] > 0).astype(int)
    lazy = kind.lazy(VALUES, chunks)
    model.fit(lazy, as_dask(y, chunks) if kind.name != "frame" else frame_of(y, lazy))
    assert_same_state(model.estimator_, loop(estimator, kind, y, batch_size))


def loop(estimator, kind, y, batch_size):
    if kind.name != "array of a frame":
        once = Incremental(estimator, shuffle_blocks=False, batch_size=batch_size)
        return once.fit(kind.plain(VALUES), y).estimator_
    # In memory, data lie row by row.
    fitted = clone(estimator)
    least = {IncrementalPCA: 2, MiniBatchKMeans: 3, SGDClassifier: 0}[type(estimator)]
    for rows in gen_batches(N_ROWS, batch_size, min_batch_size=least):
        taken = kind.plain(VALUES[rows])
        if isinstance(estimator, SGDClassifier):
            fitted.partial_fit(taken, y[rows], classes=[0, 1])
        else:
            fitted.partial_fit(taken)
    return fitted


def frame_of(y, lazy):
    meta = pd.Series(dtype=int, name="y")
    return lazy.map_partitions(_targets, y, meta=meta)


def _targets(part, y):
    return pd.Series(y[part.index], index=part.index, name="y")


def test_schedulers_make_no_difference(scheduler):
    X, y, params = make_data(SGD)
    model = Incremental(SGD, shuffle_blocks=False, batch_size=7)
    model.fit(as_dask(X, (11,) * 5 + (5,)), as_dask(y, (11,) * 5 + (5,)), **params)
    expected = plain_loop(SGD, X, y, params, (N_ROWS,), batch_size=7)
    assert_same_state(model.estimator_, expected)


def test_a_remainder_joins_the_batch_before_as_in_incremental_pca():
    expected = IncrementalPCA(3, batch_size=10).fit(VALUES[:52])
    model = Incremental(IncrementalPCA(3), batch_size=10, shuffle_blocks=False)
    model.fit(as_dask(VALUES[:52], (7, 30, 15)))
    np.testing.assert_array_equal(model.components_, expected.components_)
    assert model.n_samples_seen_ == 52


@pytest.mark.parametrize("estimator", [IncrementalPCA(3), MiniBatchKMeans(3)])
@pytest.mark.parametrize("chunks", [(1, 1, 56, 1, 1), (2, 58), (58, 2), (1,) * 60])
def test_small_blocks_are_joined_where_the_estimator_needs_rows(estimator, chunks):
    model = Incremental(estimator, shuffle_blocks=False)
    model.fit(as_dask(VALUES, chunks))
    assert model.history_[0]["rows"] == 60


def test_a_step_of_a_pipeline_that_needs_rows_gets_them():
    pipe = make_pipeline(StandardScaler(), IncrementalPCA(3), SGDClassifier())
    model = Incremental(pipe, classes=[0, 1], shuffle_blocks=False)
    y = as_dask(np.arange(60) % 2, (2, 58))
    assert model.fit(as_dask(VALUES, (2, 58)), y).history_[0]["rows"] == 60


def test_a_type_of_ones_own_says_how_many_rows_it_needs():
    class Careful(Recorder):
        pass

    traits_of.register(Careful, lambda estimator: Traits(least_rows=lambda one: 10))
    model = Incremental(Careful(), shuffle_blocks=False)
    model.fit(as_dask(VALUES, (20, 4, 4, 4, 20, 8)))
    assert [len(call[0]) for call in model.estimator_.calls_] == [20, 12, 28]


def test_a_batch_size_below_what_the_estimator_needs_is_refused(no_compute):
    model = Incremental(IncrementalPCA(3), batch_size=2)
    with pytest.raises(ValueError, match=r"batch_size=2 .* IncrementalPCA .* 3 rows"):
        model.fit(as_dask(VALUES, (30, 30)))


def test_each_partial_fit_ends_with_all_of_its_rows():
    model = Incremental(Recorder(), batch_size=40, shuffle_blocks=False)
    for _ in range(2):
        model.partial_fit(as_dask(VALUES, (25, 35)))
    assert [len(call[0]) for call in model.estimator_.calls_] == [40, 20, 40, 20]
    assert [record["rows"] for record in model.history_] == [60, 60]


def test_weights_stay_with_their_rows():
    weights = np.arange(60.0)
    model = Incremental(Recorder(), batch_size=16, shuffle_blocks=False)
    model.fit(as_dask(VALUES, (25, 35)), np.arange(60), sample_weight=weights)
    for X, y, weight, _ in model.estimator_.calls_:
        np.testing.assert_array_equal(X, VALUES[y])
        np.testing.assert_array_equal(weight, y)


def test_rows_that_wait_are_in_the_checkpoint(tmp_path):
    y = np.arange(60) % 2
    data = as_dask(VALUES, (6,) * 10), as_dask(y, (6,) * 10)
    options = {"classes": [0, 1], "batch_size": 10, "random_state": 0, "max_iter": 2}
    expected = Incremental(SGD, **options).fit(*data)
    model = Incremental(SGD, **options, checkpoint=tmp_path / "a", checkpoint_every=1)
    interrupted(model, 8, *data)
    model.fit(*data)
    assert_same_state(model.estimator_, expected.estimator_)


def test_judging_does_not_depend_on_the_chunks():
    y = (VALUES[:, 0] > 0).astype(int)
    options = {"batch_size": 13, "tol": 1e-3, "max_iter": 4, "shuffle_blocks": False}
    fits = [
        Incremental(SGD, **options).fit(as_dask(VALUES, chunks), as_dask(y, chunks))
        for chunks in [(60,), (7, 13, 40)]
    ]
    scores = [[record["score"] for record in fit.history_] for fit in fits]
    assert scores[0] == scores[1]
    assert_same_state(fits[0].estimator_, fits[1].estimator_)


@pytest.mark.parametrize(
    ("X", "rows"),
    [
        (da.ones((4, 20)), 50_000),
        (np.ones((4, 20)), 50_000),
        (da.ones((4, 3_000_000)), 1),
        (dd.from_pandas(pd.DataFrame({"a": [1], "b": [2]}), npartitions=1), 500_000),
        (da.ones((4, 20)).map_blocks(sp.csr_matrix), 10_000),
        (sp.csr_matrix((4, 20)), 10_000),
        (db.from_sequence(["a"]), 10_000),
        (["a", "b"], 10_000),
    ],
)
def test_auto_takes_as_many_rows_as_make_a_million_values(X, rows):
    assert rows_of_batch("auto", X) == rows


def test_auto_is_refused_where_the_number_of_columns_is_unknown(no_compute):
    X = da.from_delayed(dask.delayed(np.ones)((4, 2)), (4, np.nan), float)
    with pytest.raises(ValueError, match="batch_size='auto' needs the number of col"):
        Incremental(SGD, batch_size="auto", classes=[0, 1]).fit(X, da.ones(4))


def test_auto_learns_in_these_batches(monkeypatch):
    monkeypatch.setattr("incremental._fit.batches.VALUES", 100)
    model = Incremental(Recorder(), batch_size="auto", shuffle_blocks=False)
    model.fit(as_dask(VALUES, (10, 50)))
    assert [len(call[0]) for call in model.estimator_.calls_] == [25, 25, 10]


def test_a_failed_end_of_a_pass_leaves_the_estimator_as_it_was():
    X = VALUES.copy()
    X[-1] = np.nan
    y = np.arange(60) % 2
    model = Incremental(SGD, classes=[0, 1], batch_size=50, shuffle_blocks=False)
    model.fit(as_dask(VALUES, (30, 30)), y)
    before = model.estimator_
    with pytest.raises(ValueError, match="NaN") as caught:
        model.partial_fit(as_dask(X, (30, 30)), y)
    assert "in the last rows of the pass" in caught.value.__notes__
    assert model.estimator_ is before
