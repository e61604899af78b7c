"""What distributed is told of the size of a model, and that the model stays put."""

import os
import pickle

import dask.array as da
import numpy as np
import pytest
from dask.sizeof import sizeof
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental
from incremental._fit.step import Fitting


@pytest.mark.parametrize(
    "estimator",
    [
        SGDClassifier(),
        MLPClassifier((50, 20), max_iter=20, tol=1.0),
        make_pipeline(StandardScaler(), SGDClassifier()),
        RandomForestClassifier(20),
        KNeighborsClassifier(algorithm="kd_tree"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_fitting_is_about_as_large_as_what_travels(estimator, rng):
    X = rng.normal(size=(300, 500))
    estimator.fit(X, (X[:, 0] > 0).astype(int))
    expected = len(pickle.dumps(estimator))
    assert 0.8 * expected < sizeof(Fitting(estimator)) < 1.3 * expected
    assert 0.8 * expected < sizeof([Fitting(estimator)]) < 1.3 * expected


class Holder(BaseEstimator):
    """Holds anything."""

    def __init__(self, held=None):
        self.held = held


ARRAY = np.ones((1_000, 100))


@pytest.mark.parametrize(
    "held",
    [
        [ARRAY, ARRAY],
        {"first": ARRAY[:10], "all": ARRAY, "last": ARRAY[-10:]},
        Holder([ARRAY, {"views": (ARRAY.T, ARRAY.reshape(-1))}]),
        np.array([ARRAY, "text"], dtype=object),
    ],
    ids=["twice", "views", "nested", "objects"],
)
def test_each_array_of_an_estimator_counts_once(held):
    assert sizeof(Fitting(Holder(held))) == pytest.approx(800_000, rel=0.01)


def test_the_parts_of_a_sparse_matrix_count():
    matrix = csr_matrix(np.ones((1_000, 100)))
    assert sizeof(Fitting(Holder(matrix))) == pytest.approx(1_204_000, rel=0.01)


def test_a_long_list_is_counted_by_a_sample():
    arrays = [np.ones(100) for _ in range(10_000)]
    assert sizeof(Fitting(Holder(arrays))) == pytest.approx(8_000_000, rel=0.2)


class Heavy(BaseEstimator):
    """Has 60 MB, and writes down where it arrives."""

    def __init__(self, log=None):
        self.log = log

    def __setstate__(self, state):
        vars(self).update(state)
        if "weights_" in state:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()}\n")

    def __deepcopy__(self, memo):
        copied = Heavy(self.log)
        copied.weights_ = [array.copy() for array in getattr(self, "weights_", ())]
        return copied

    def partial_fit(self, X, y=None):
        if not getattr(self, "weights_", ()):
            self.weights_ = [np.zeros(3_750_000), np.zeros(3_750_000)]
        self.weights_[0][0] += len(X)
        return self


@pytest.mark.slow
def test_a_large_model_stays_on_its_worker(client, tmp_path):
    X = da.ones((20_000, 10), chunks=(1_000, 10)).map_blocks(np.negative)
    log = tmp_path / "log"
    model = Incremental(Heavy(str(log))).fit(X)
    assert model.weights_[0][0] == 20_000
    arrivals = log.read_text().split()
    assert arrivals.count(str(os.getpid())) == 1
    assert len(arrivals) - 1 <= 2
