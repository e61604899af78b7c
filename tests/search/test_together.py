"""Learners beside each other, whose X goes through the same steps or through others."""

import threading
import warnings

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from incremental import Incremental, IncrementalSearchCV, fit_many
from incremental._fit.batches import laid_out
from tests.contracts import as_dask, assert_same_state

CHUNKS = (10,) * 6
ALPHAS = [1e-4, 1e-2, 1.0]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X[:, 0] > 0).astype(int)
    return as_dask(X, CHUNKS), as_dask(y, CHUNKS)


class Counting:
    """A function of X that counts its calls with more than one row."""

    lock = threading.Lock()
    rows = 0

    def __call__(self, X):
        with Counting.lock:
            Counting.rows += len(X)
        return X * 2.0


counting = Counting()


def double(X):
    return counting(X)


def pipelines(first, batch_size=None):
    return [
        Incremental(
            make_pipeline(first, SGDClassifier(alpha=alpha, random_state=0)),
            shuffle_blocks=False,
            batch_size=batch_size,
            max_iter=2,
        )
        for alpha in ALPHAS
    ]


@pytest.mark.parametrize("batch_size", [None, 7])
def test_equal_steps_transform_each_block_once_for_all(batch_size, data):
    Counting.rows = 0
    models = pipelines(FunctionTransformer(double), batch_size)
    with dask.config.set(scheduler="threads"):
        fit_many(models, *data)
    assert Counting.rows == 2 * 60


FIRST = {
    "stateless": Normalizer(),
    "frozen": FrozenEstimator(StandardScaler().fit(np.eye(4))),
    "learned": StandardScaler(),
}


def check_that_sharing_makes_no_difference(name, batch_size, data):
    models = pipelines(FIRST[name], batch_size)
    for model, learned in zip(models, fit_many(models, *data), strict=True):
        own = clone(model).fit(*data)
        assert_same_state(learned.estimator_, own.estimator_)


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("name", FIRST)
def test_what_is_shared_makes_no_difference(name, batch_size, data):
    with dask.config.set(scheduler="threads"):
        check_that_sharing_makes_no_difference(name, batch_size, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_what_is_shared_makes_no_difference_on_any_scheduler(name, data, scheduler):
    check_that_sharing_makes_no_difference(name, 7, data)


@pytest.fixture(scope="module")
def by_columns():
    """Arrays made of a dataframe, which lie in memory column by column."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
    frame = dd.from_pandas(frame.assign(y=(frame["a"] > 0).astype(int)), npartitions=6)
    with dask.config.set({"optimization.tune.active": False}):
        X = frame[list("abcd")].to_dask_array(lengths=True)
        return X, frame["y"].to_dask_array(lengths=True)


def linear_models(batch_size):
    options = {"batch_size": batch_size, "shuffle_blocks": False}
    return [
        Incremental(SGDClassifier(alpha=alpha, random_state=0), **options)
        for alpha in ALPHAS
    ]


@pytest.mark.parametrize("batch_size", [None, 7])
def test_columns_are_put_row_by_row_once_for_all(batch_size, by_columns, monkeypatch):
    copied = []

    def lay_out(piece, layout):
        laid = laid_out(piece, layout)
        copied.append((len(piece), laid is not piece and laid.flags.c_contiguous))
        return laid

    monkeypatch.setattr("incremental._fit.plan.laid_out", lay_out)
    models = linear_models(batch_size)
    fitted = fit_many(models, *by_columns)
    assert sum(rows for rows, _ in copied) == len(by_columns[0])
    assert all(is_copy for _, is_copy in copied)
    for model, learned in zip(models, fitted, strict=True):
        own = clone(model).fit(*by_columns)
        assert_same_state(learned.estimator_, own.estimator_)


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("kind", ["sparse", "frame"])
def test_what_is_made_of_columns_keeps_its_kind(kind, batch_size, by_columns):
    X, y = by_columns
    if kind == "sparse":
        X = X.map_blocks(csr_matrix, meta=csr_matrix((0, 4)))
    else:
        X, y = dd.from_dask_array(X, columns=list("abcd")), dd.from_dask_array(y)
    models = linear_models(batch_size)
    for model, learned in zip(models, fit_many(models, X, y), strict=True):
        own = clone(model).fit(X, y)
        assert_same_state(learned.estimator_, own.estimator_)


@pytest.mark.filterwarnings("ignore:`sklearn.utils.parallel.delayed`:UserWarning")
def test_the_filters_of_warnings_stay_what_they_are(data):
    X, _ = data
    y = as_dask(np.arange(60) % 3, CHUNKS)
    before = list(warnings.filters)
    with dask.config.set(scheduler="threads", num_workers=4):
        for _ in range(5):
            fit_many([SGDClassifier(alpha=alpha) for alpha in ALPHAS], X, y)
    assert warnings.filters == before


def test_other_steps_transform_for_each(data):
    Counting.rows = 0
    models = [
        make_pipeline(FunctionTransformer(double, check_inverse=check), SGDClassifier())
        for check in (True, False)
    ]
    with dask.config.set(scheduler="synchronous"):
        fit_many(models, *data)
    assert Counting.rows == 2 * 60


def refuse(X):
    raise ArithmeticError("no rows, please")


def test_an_error_in_a_shared_step_says_whose_it_is(data):
    models = pipelines(FunctionTransformer(refuse))
    with pytest.raises(ArithmeticError, match="no rows") as caught:
        fit_many(models, *data)
    assert any("through the same steps" in note for note in caught.value.__notes__)
    search = IncrementalSearchCV(
        models[0].estimator,
        {"sgdclassifier__alpha": ALPHAS},
        n_initial_parameters="grid",
        max_iter=2,
    )
    with pytest.raises(ValueError, match="All 3 candidates failed.*no rows"):
        search.fit(*data)
