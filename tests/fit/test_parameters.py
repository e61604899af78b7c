"""Wrong parameters are refused before anything is read."""

import numpy as np
import pytest
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from incremental import Incremental
from tests.contracts import as_dask

X, y = np.ones((4, 2)), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_iter", 0),
        ("max_iter", 1.5),
        ("max_iter", True),
        ("n_iter_no_change", 0),
        ("checkpoint_every", 0),
        ("checkpoint_every", "10"),
        ("tol", -1.0),
        ("tol", "1"),
        ("tol", float("nan")),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("validation_fraction", None),
        ("validation_data", 3),
        ("validation_data", (X,)),
        ("batch_size", 0),
        ("checkpoint", 3),
        ("checkpoint", ""),
        ("checkpoint", b"folder"),
    ],
)
def test_a_parameter_out_of_its_range_is_named(name, value, no_compute):
    model = Incremental(SGDClassifier(), **{name: value})
    with pytest.raises(ValueError, match=f"{name} must be"):
        model.fit(as_dask(X, (2, 2)), as_dask(y, (2, 2)))


def test_tol_without_a_score_is_refused(no_compute):
    with pytest.raises(TypeError, match="tol needs an estimator with a loss"):
        Incremental(StandardScaler(), tol=0.1).fit(as_dask(X, (2, 2)))


def test_early_stopping_without_a_score_by_block_is_refused(no_compute):
    model = Incremental(LatentDirichletAllocation(), early_stopping=True)
    with pytest.raises(TypeError, match="Pass `scoring`"):
        model.fit(as_dask(X, (2, 2)))


def test_a_wrong_scoring_is_refused(no_compute):
    model = Incremental(SGDClassifier(), scoring=3, early_stopping=True)
    with pytest.raises(TypeError, match="scoring must be"):
        model.fit(as_dask(X, (2, 2)), as_dask(y, (2, 2)))
