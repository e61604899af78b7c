"""Lazy predictions for each block by the model that has not learned from it."""

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import ShuffleSplit
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from incremental import (
    BlockKFold,
    Incremental,
    ParallelPostFit,
    cross_val_predict,
    cross_validate,
)
from tests.contracts import SGD, as_dask, make_data
from tests.graph.test_fold import Source
from tests.rows import make_frame
from tests.test_cross_validate import CHUNKS, in_order, rows_of


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_data(SGD)
    return X, y


@pytest.fixture(scope="module")
def collections(data):
    return tuple(as_dask(one, CHUNKS) for one in data)


class Unseen(BaseEstimator):
    """Predicts the ids of rows, which it must not have learned from."""

    def partial_fit(self, X, y=None):
        self.ids_ = [*getattr(self, "ids_", []), *np.asarray(X)[:, 0].tolist()]
        return self

    def predict(self, X):
        ids = np.asarray(X)[:, 0]
        # A single row is made up.
        assert len(ids) == 1 or set(ids.tolist()).isdisjoint(self.ids_)
        return ids


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_each_block_gets_what_the_model_of_its_fold_predicts(method, data, collections):
    model = in_order(GaussianNB())
    splitter = BlockKFold(3, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, *collections, cv=splitter, method=method)
    results = cross_validate(
        model, *collections, cv=splitter, return_estimator=True, return_indices=True
    )
    expected = getattr(Incremental(GaussianNB()).fit(*collections), method)(
        collections[0]
    )
    assert predicted.chunks == expected.chunks
    assert predicted.dtype == expected.dtype
    computed = predicted.compute()
    tests = results["indices"]["test"]
    for own, test in zip(results["estimator"], tests, strict=True):
        rows = rows_of(CHUNKS, test)
        assert np.array_equal(
            computed[rows], getattr(own.estimator_, method)(data[0][rows])
        )


def test_no_model_has_seen_the_rows_and_they_keep_their_order():
    ids = np.arange(60.0)
    X = as_dask(np.stack([ids, ids], axis=1), CHUNKS)
    predicted = cross_val_predict(
        Unseen(), X, cv=3, shuffle=True, random_state=1
    )  # fmt: skip
    assert np.array_equal(predicted.compute(), ids)


@pytest.mark.parametrize("operation", ["shuffle", "sample", "reset_index"])
def test_rows_of_changed_dataframes_are_in_order(operation):
    frame = make_frame(4)
    frame = {
        "shuffle": lambda: frame.shuffle("k"),
        "sample": lambda: frame.sample(frac=0.7),
        "reset_index": lambda: frame.reset_index(drop=True),
    }[operation]()
    meta = pd.Series(dtype=float)
    model = Incremental(Unseen(), predict_meta=meta)
    predicted = cross_val_predict(model, frame[["id", "k"]], frame["y"], cv=4)
    joined = dd.concat([frame["id"], predicted], axis=1, ignore_unknown_divisions=True)
    one, other = joined.compute().to_numpy().T
    assert len(one) > 50
    assert np.array_equal(one, other)


def test_each_block_is_read_once_for_the_fit_and_once_when_computed():
    source = Source(10)
    y = da.from_array(np.arange(100) % 2, chunks=10)
    predicted = cross_val_predict(SGD, source.array, y, params={"classes": [0, 1]})
    assert source.reads == dict.fromkeys(range(10), 1)
    predicted[:10].compute()
    assert source.reads == {**dict.fromkeys(range(10), 1), 0: 2}
    predicted.compute()
    assert source.most_live <= 10


def test_a_dataframe_yields_what_the_wrapper_does():
    frame = make_frame(4)
    X, y = frame[["id", "k"]], frame["y"]
    array = cross_val_predict(GaussianNB(), X, y, cv=2)
    assert isinstance(array, da.Array)
    assert array.compute().shape == (120,)
    model = Incremental(GaussianNB(), predict_meta=pd.Series(dtype=int))
    series = cross_val_predict(model, X, y, cv=2)
    assert isinstance(series, dd.Series)
    assert series.divisions == X.divisions
    assert series.index.compute().equals(X.index.compute())
    joined = frame.assign(guess=series).compute()
    assert np.array_equal(joined["guess"], array.compute())
    assert series.partitions[3].compute().equals(joined["guess"].iloc[90:])


def test_several_outputs_are_a_list(data):
    X = as_dask(data[0], CHUNKS)
    y = as_dask(np.stack([data[1], data[1] % 2], axis=1), CHUNKS)
    bundle = MultiOutputClassifier(GaussianNB())
    params = {"classes": [[0, 1, 2], [0, 1]]}
    outputs = cross_val_predict(
        bundle, X, y, cv=2, method="predict_proba", params=params
    )
    assert [one.shape for one in outputs] == [(60, 3), (60, 2)]
    assert all(np.allclose(one.sum(axis=1).compute(), 1) for one in outputs)


def test_empty_blocks_have_no_predictions(data):
    lazy = [as_dask(one, (0, 20, 0, 40)) for one in data]
    predicted = cross_val_predict(SGD, *lazy, cv=[([1], [0, 2, 3]), ([3], [1])])
    assert predicted.compute().shape == (60,)


def test_unknown_lengths_stay_unknown(collections):
    X, y = collections
    kept = X[:, 0] > 1
    predicted = cross_val_predict(SGD, X[kept], y[kept], cv=5)
    assert np.isnan(predicted.shape[0])
    assert len(predicted.compute()) == int(kept.sum())


def test_a_bag_of_text_yields_an_array():
    bag = db.from_sequence(["good", "bad", None, "good"] * 6, npartitions=6)
    y = da.from_array(np.array([1, 0, 0, 1] * 6), chunks=4)
    pipe = make_pipeline(HashingVectorizer(n_features=16), SGD)
    predicted = cross_val_predict(in_order(pipe), bag, y, cv=3)
    assert np.array_equal(predicted.compute(scheduler="threads"), y.compute())


def test_what_a_wrapper_mapped_is_predicted_from_its_source():
    frame = make_frame(4)
    X = ParallelPostFit(FunctionTransformer(np.asarray)).transform(frame[["id", "k"]])
    predicted = cross_val_predict(Unseen(), X, frame["y"], cv=4)
    assert np.array_equal(predicted.compute(), frame["id"].compute())


def test_sparse_blocks_are_predicted(data, collections):
    import scipy.sparse as sp

    X, y = collections
    model = in_order(MultinomialNB())
    dense = cross_val_predict(model, X, y).compute()
    sparse = cross_val_predict(model, X.map_blocks(sp.csr_matrix), y).compute()
    assert np.array_equal(sparse, dense)


def test_xarray_gets_its_labels_back(data):
    xarray = pytest.importorskip("xarray")
    X = xarray.DataArray(
        as_dask(data[0], CHUNKS),
        dims=["row", "feature"],
        coords={"row": np.arange(60) + 100},
    )
    predicted = cross_val_predict(SGD, X, as_dask(data[1], CHUNKS))
    assert predicted.dims == ("row",)
    assert predicted.row.values.tolist() == list(range(100, 160))


def test_predictions_can_be_learned_from(collections):
    X, y = collections
    stacked = cross_val_predict(GaussianNB(), X, y, method="predict_proba")
    model = Incremental(SGDClassifier(random_state=0)).fit(stacked, y)
    assert model.n_features_in_ == 3


def test_each_scheduler_predicts_the_same(data, collections, scheduler):
    predicted = cross_val_predict(in_order(GaussianNB()), *collections, cv=2)
    assert predicted.compute().shape == (60,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "fit"}, ValueError, "method must be one of"),
        ({"method": "predict_proba"}, AttributeError, "predict_proba"),
        ({"cv": 6}, ValueError, "X has 5"),
        (
            {"cv": [([0], [1]), ([0], [2])]},
            ValueError,
            r"none or in several: \[0, 3, 4\]",
        ),
        ({"cv": ShuffleSplit(4, random_state=0)}, ValueError, "none or in several"),
    ],
    ids=str,
)
def test_wrong_calls_fail_before_anything_is_read(
    options, error, message, collections, no_compute
):
    with pytest.raises(error, match=message):
        cross_val_predict(SGDClassifier(), *collections, **options)


def test_rows_on_disk_are_refused_before_the_fit():
    frame = make_frame(4).shuffle("k", shuffle_method="disk")
    with pytest.raises(ValueError, match="on the disk"):
        cross_val_predict(SGD, frame[["id"]], frame["y"], cv=2)
