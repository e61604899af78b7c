"""Blocks of different float types: as the plain loop has it, wherever it works."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from incremental import Incremental
from tests.contracts import (
    ESTIMATORS,
    as_dask,
    assert_like_the_loop,
    assert_same_state,
    make_data,
    name_of,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning"),
]
CHUNKS = (20, 25, 15)
ROWS = [slice(0, 20), slice(20, 45), slice(45, 60)]
TYPES = [
    ("f8", "f4", "f8"),
    ("f4", "f8", "f4"),
    ("f2", "f8", "f4"),
    ("f2", "f4", "f2"),
    ("f4", "f2", "i8"),
    ("i8", "f4", "f8"),
    ("f8", "i4", "f2"),
    ("f4", "i1", "i2"),
]


def drifting(X, types, kind=np.asarray):
    def cast(block, block_id=None):
        return kind(block.astype(types[block_id[0]]))

    return da.map_blocks(cast, as_dask(X, CHUNKS), dtype=float, meta=kind(X[:0]))


def loop(estimator, X, y, params, types):
    estimator = clone(estimator)
    for rows, dtype in zip(ROWS, types, strict=True):
        data = (
            (X[rows].astype(dtype),) if y is None else (X[rows].astype(dtype), y[rows])
        )
        estimator.partial_fit(*data, **params)
    return estimator


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize(
    "estimator",
    [one for one in ESTIMATORS if not isinstance(one, HashingVectorizer)],
    ids=name_of,
)
def test_a_fit_of_blocks_of_other_types_is_that_of_the_plain_loop(estimator, types):
    X, y, params = make_data(estimator)
    wrapper = Incremental(estimator, shuffle_blocks=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wrapper.fit(drifting(X, types), as_dask(y, CHUNKS), **params)
    rounded = [one for one in caught if "rounded" in str(one.message)]
    try:
        expected = loop(estimator, X, y, params, types)
    except (TypeError, ValueError):
        one = "f4" if types[0] == "f4" else "f8"
        alike = [X[r].astype(t).astype(one) for r, t in zip(ROWS, types, strict=True)]
        expected = loop(estimator, np.concatenate(alike), y, params, [one] * 3)
        assert len(rounded) == (types[0] == "f4" and "f8" in types)
    else:
        assert not rounded
    assert_like_the_loop(wrapper.estimator_, expected, X)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] > 0).astype(int)


PIPELINES = [
    make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
    make_pipeline(
        make_union(StandardScaler(), MaxAbsScaler()), SGDClassifier(random_state=0)
    ),
    make_pipeline(
        ColumnTransformer([("k", MiniBatchKMeans(2, random_state=0), [0, 1])]),
        StandardScaler(),
        SGDClassifier(random_state=0),
    ),
]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_last_step_of_a_pipeline_learns_from_other_types(pipeline, data):
    X, y = data
    model = Incremental(pipeline, classes=[0, 1], shuffle_blocks=False)
    model.fit(drifting(X, ("f8", "f4", "f8")), as_dask(y, CHUNKS))
    with pytest.warns(UserWarning, match="rounded") as caught:
        model.fit(drifting(X, ("f4", "f8", "f8")), as_dask(y, CHUNKS))
    assert len(caught) == 1
    assert model.estimator_[-1].coef_.dtype == "f4"


def test_one_warning_is_given_for_a_fit_of_several_passes(data, scheduler):
    X, y = data
    model = Incremental(SGDClassifier(), classes=[0, 1], max_iter=3, batch_size=5)
    model.set_params(shuffle_blocks=False)
    with pytest.warns(UserWarning, match="rounded") as caught:
        model.fit(drifting(X, ("f4", "f8", "f8")), as_dask(y, CHUNKS))
    assert len(caught) == 1


def test_partial_fit_warns_where_it_rounds(data):
    X, y = data
    model = Incremental(SGDClassifier(), classes=[0, 1])
    model.partial_fit(as_dask(X.astype("f4"), CHUNKS), as_dask(y, CHUNKS))
    with pytest.warns(UserWarning, match="rounded"):
        model.partial_fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    with pytest.warns(UserWarning, match="rounded"):
        model.partial_fit(X, y)
    model.partial_fit(X.astype("f4"), y)


@pytest.mark.parametrize("estimator", [MiniBatchKMeans(2), SGDRegressor()])
def test_blocks_are_judged_in_the_type_that_is_learned_in(estimator, data):
    X, y = data
    y = None if isinstance(estimator, MiniBatchKMeans) else as_dask(y, CHUNKS)
    model = Incremental(estimator, tol=1e-3, max_iter=2, shuffle_blocks=False)
    model.fit(drifting(X, ("f8", "f4", "f4")), y)
    assert model.n_iter_ == 2


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix])
def test_sparse_blocks_are_cast_up(kind, data):
    X, y = data
    model = Incremental(SGDClassifier(random_state=0), shuffle_blocks=False)
    model.fit(drifting(X, ("f8", "f4", "f8"), kind), as_dask(y, CHUNKS), classes=[0, 1])
    alike = X.copy()
    alike[ROWS[1]] = X[ROWS[1]].astype("f4")
    expected = SGDClassifier(random_state=0)
    for rows in ROWS:
        expected.partial_fit(kind(alike[rows]), y[rows], classes=[0, 1])
    assert_same_state(model.estimator_, expected)


def test_columns_of_booleans_and_floats_are_cast(data):
    X, y = data
    frame = pd.DataFrame(X.astype("f4"), columns=list("abcd"))
    lazy = dd.from_pandas(frame, npartitions=3)
    mixed = lazy.map_partitions(
        lambda part, partition_info=None: (
            part.assign(b=part["b"] > 0) if partition_info["number"] else part
        ),
        meta=lazy._meta,
    )
    target = dd.from_pandas(pd.Series(y), npartitions=3)
    model = Incremental(SGDClassifier(), classes=[0, 1], shuffle_blocks=False)
    with pytest.warns(UserWarning, match="rounded"):
        model.fit(mixed, target)
    assert model.coef_.dtype == "f4"
