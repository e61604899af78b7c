"""What is taken for granted of scikit-learn's estimators."""

import sys
from types import ModuleType

import dask.array as da
import numpy as np
import pytest
from dask.delayed import delayed
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import (
    Perceptron,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC

from incremental import Incremental
from incremental._blocks.rows import CACHED_VALUES, rows_in_cache
from incremental._estimators.composition import check_learns
from incremental._estimators.traits import Traits, traits_of
from tests.contracts import Recorder, assert_close


class Recounting(StandardScaler):
    def partial_fit(self, X, y=None, sample_weight=None):
        self.target_ = y
        return super().partial_fit(X, y, sample_weight)


class Renamed(StandardScaler):
    pass


class OwnSGD(SGDClassifier):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        return super().partial_fit(X, y, classes, sample_weight)


class Averaging(SGDClassifier):
    def _partial_fit(self, X, *args, **kwargs):
        return super()._partial_fit(X - X.mean(axis=0), *args, **kwargs)


class Retransforming(StandardScaler):
    def transform(self, X, copy=None):
        return super().transform(X, copy=copy)


def test_models_that_learn_row_by_row_are_those_of_scikit_learn():
    for model in (SGDClassifier(), SGDRegressor(), SGDOneClassSVM(), Perceptron()):
        assert traits_of(model).learns_row_by_row
    for other in (OwnSGD(), Averaging(), MLPClassifier(), StandardScaler(), SVC()):
        assert not traits_of(other).learns_row_by_row


def test_scalers_that_scale_each_value_are_those_of_scikit_learn():
    for scaler in (StandardScaler(), MinMaxScaler(), MaxAbsScaler(), Recounting()):
        assert traits_of(scaler).row_local
    for other in (Retransforming(), Normalizer(), SGDClassifier()):
        assert not traits_of(other).row_local


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 4), CACHED_VALUES // 4), ((5, 10**9), 1), ((5,), CACHED_VALUES), ((5, 0), 1)],
)
def test_as_many_rows_are_cached_as_columns_allow(shape, expected):
    assert rows_in_cache(da.zeros(shape)) == expected


def test_of_an_unknown_number_of_columns_one_row_is_cached():
    block = delayed(np.zeros)((5, 4))
    unknown = da.from_delayed(block, shape=(np.nan, np.nan), dtype=float)
    assert rows_in_cache(unknown) == 1


def test_scalers_are_those_that_learn_as_scikit_learns():
    for scaler in (StandardScaler(), MinMaxScaler(), MaxAbsScaler(), Renamed()):
        assert traits_of(scaler).ignores_y
    for other in (Recounting(), SGDClassifier(), MultinomialNB()):
        assert not traits_of(other).ignores_y


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), MaxAbsScaler()])
def test_a_block_larger_than_the_cache_gives_the_same_fit(scaler, monkeypatch):
    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", 40)
    X = np.random.default_rng(0).normal(3, 2, size=(100, 4))
    X[::7, 1] = np.nan
    received = Incremental(scaler).fit(da.from_array(X, chunks=(50, 4))).estimator_
    expected = clone(scaler).partial_fit(X[:50]).partial_fit(X[50:])
    assert_close(received, expected, X)


def test_scalers_do_not_read_y(rng):
    def fail(block):
        raise AssertionError("y is read")

    X = da.from_array(rng.normal(size=(20, 2)), chunks=(5, 2))
    y = da.ones(20, chunks=5).map_blocks(fail, dtype=float, meta=np.ones(0))
    assert Incremental(StandardScaler()).fit(X, y).n_samples_seen_ == 20
    received = Incremental(Recounting(), prefetch=0)
    with pytest.raises(AssertionError, match="y is read"):
        received.fit(X, y)


def test_a_module_that_is_being_imported_knows_no_new_estimators(monkeypatch):
    for name in ("sklearn.linear_model", "sklearn.preprocessing", "sklearn.compose"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert not traits_of(HashingVectorizer()).learns_row_by_row
    check_learns(SGDClassifier())


def test_traits_of_a_type_of_ones_own_are_registered():
    class Model(Recorder):
        pass

    class Other(Model):
        def transform(self, X):
            return X

    assert traits_of(Model()) == Traits()
    traits_of.register(Model, lambda model: Traits(ignores_y=True, row_local=True))
    assert traits_of(Model()) == Traits(ignores_y=True, row_local=True)
    assert traits_of(Other()) == Traits(ignores_y=True)


def test_a_registered_trait_changes_how_an_estimator_is_fitted():
    class Deaf(Recorder):
        pass

    traits_of.register(Deaf, lambda model: Traits(ignores_y=True))
    X, y = da.ones((4, 1), chunks=2), da.arange(4, chunks=2)
    assert [call[1] for call in Incremental(Deaf()).fit(X, y).calls_] == [None, None]
