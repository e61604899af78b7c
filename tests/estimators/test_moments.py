"""The moments of a block."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.base import clone
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from incremental import Incremental, merge
from incremental._estimators.moments import fit_moments
from incremental._estimators.traits import traits_of
from tests.contracts import as_dask, assert_same_state

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["f4", "f8"]), order=st.sampled_from("CF"))
def test_they_are_those_of_partial_fit_bit_by_bit(data, dtype, order):
    drawn = data.draw(npst.arrays(dtype, SHAPES))
    table = np.asarray(np.repeat(drawn, 3, axis=0), order=order)
    X = table[:: data.draw(st.sampled_from([1, 2]))]
    scaler = StandardScaler(with_mean=data.draw(st.booleans()))
    # As scikit-learn overflows where it asks whether a huge feature is constant.
    with np.errstate(all="ignore"):
        if not fit_moments(scaler, X):
            assert vars(scaler) == vars(clone(scaler))
            return
        expected = StandardScaler(with_mean=scaler.with_mean).partial_fit(X)
        assert_same_state(merge(scaler), expected)


@pytest.mark.parametrize("mean", [0.0, 5.0, 1e9])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_finite_tables_are_fitted_by_it(mean, dtype, rng):
    X = np.column_stack([rng.normal(mean, 2, 9_000), np.full(9_000, 0.1)]).astype(dtype)
    scaler = StandardScaler()
    assert fit_moments(scaler, X)
    assert_same_state(merge(scaler), StandardScaler().partial_fit(X))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_tables_that_are_not_finite_are_left_to_the_scaler(value):
    X = np.ones((5, 2))
    X[3, 1] = value
    scaler = StandardScaler()
    assert not fit_moments(scaler, X)
    assert vars(scaler) == vars(StandardScaler())


class Watched(StandardScaler):
    def partial_fit(self, X, y=None):
        return super().partial_fit(X, y)


@pytest.mark.parametrize(
    ("scaler", "X"),
    [
        (MaxAbsScaler(), np.ones((4, 2))),
        (Watched(), np.ones((4, 2))),
        (StandardScaler(with_std=False), np.ones((4, 2))),
        (StandardScaler(), np.ones((4, 2), dtype=int)),
        (StandardScaler(), np.ones((4, 2), dtype="f2")),
        (StandardScaler(), np.ones(4)),
        (StandardScaler(), np.ma.masked_array(np.ones((4, 2)))),
        (StandardScaler(), pd.DataFrame(np.ones((4, 2)))),
        (StandardScaler(with_mean=False), sp.csr_array(np.ones((4, 2)))),
    ],
    ids=str,
)
def test_what_it_does_not_know_is_left_to_the_scaler(scaler, X):
    fit_fresh = traits_of(scaler).fit_fresh
    assert fit_fresh is None or not fit_fresh(scaler, X)
    assert not hasattr(scaler, "n_samples_seen_")


def test_rows_with_weights_are_left_to_the_scaler(rng):
    X, weight = rng.normal(size=(60, 3)), rng.random(60)
    wrapper = Incremental(StandardScaler(), shuffle_blocks=False)
    wrapper.fit(as_dask(X, (20, 40)), sample_weight=as_dask(weight, (20, 40)))
    expected = StandardScaler().partial_fit(X, sample_weight=weight)
    np.testing.assert_allclose(wrapper.mean_, expected.mean_, rtol=1e-12)
    np.testing.assert_allclose(wrapper.var_, expected.var_, rtol=1e-12)


def test_infinity_raises_as_the_scaler_does(rng):
    X = rng.normal(size=(60, 3))
    X[50] = np.inf
    wrapper = Incremental(StandardScaler(), shuffle_blocks=False)
    with pytest.raises(ValueError, match="contains infinity") as caught:
        wrapper.fit(as_dask(X, (20, 40)))
    assert any("block 1" in note for note in caught.value.__notes__)
    assert not hasattr(wrapper, "estimator_")


def test_a_scaler_of_the_same_name_is_fitted_as_it_says():
    def partial_fit(self, X, y=None, sample_weight=None):
        return StandardScaler.partial_fit(self, X + 1, y, sample_weight)

    named_alike = type(
        "StandardScaler", (StandardScaler,), {"partial_fit": partial_fit}
    )
    assert traits_of(StandardScaler()).fit_fresh is fit_moments
    assert traits_of(named_alike()).fit_fresh is None
