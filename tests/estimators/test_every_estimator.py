"""The contract of every estimator: the fit is that of a plain loop, bit by bit."""

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

from incremental import Incremental
from tests.contracts import (
    ESTIMATORS,
    N_ROWS,
    VOTING,
    as_dask,
    assert_like_the_loop,
    make_data,
    name_of,
    plain_loop,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning"),
]


@st.composite
def chunkings(draw):
    """Draw chunks of 3 rows or more, some empty, that add up."""
    left, chunks = N_ROWS, []
    while left:
        size = draw(st.integers(3, max(3, left)))
        size = left if left - size < 3 else size
        chunks.append(size)
        left -= size
        if draw(st.booleans()) and draw(st.booleans()):
            chunks.append(0)
    return tuple(chunks)


def test_every_estimator_of_scikit_learn_with_partial_fit_is_covered():
    known = {name_of(estimator) for estimator in ESTIMATORS}
    found = {name for name, kind in all_estimators() if hasattr(kind, "partial_fit")}
    found |= {"SelectFromModel"}
    assert found <= known


PASSES = st.fixed_dictionaries(
    {
        "chunks": chunkings(),
        "kind": st.sampled_from(["threads", "synchronous"]),
        "prefetch": st.integers(0, 3),
        "seed": st.none() | st.integers(0, 3),
    }
)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *VOTING], ids=name_of)
@settings(max_examples=6, deadline=None)
@given(drawn=PASSES)
def test_a_fit_is_bit_identical_to_the_plain_loop(estimator, drawn):
    check_one_fit(estimator, **drawn)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [*ESTIMATORS, *VOTING], ids=name_of)
@settings(max_examples=40, deadline=None)
@given(drawn=PASSES)
def test_many_fits_are_bit_identical_to_the_plain_loop(estimator, drawn):
    check_one_fit(estimator, **drawn)


def check_one_fit(estimator, chunks, kind, prefetch, seed):
    X, y, params = make_data(estimator)
    wrapper = Incremental(
        estimator,
        shuffle_blocks=seed is not None,
        random_state=seed,
        prefetch=prefetch,
    )
    with dask.config.set(scheduler=kind):
        wrapper.fit(as_dask(X, chunks), as_dask(y, chunks), **params)
    order = None
    if seed is not None:
        order = np.random.RandomState(seed).permutation(len(chunks))
    expected = plain_loop(estimator, X, y, params, chunks, order)
    assert_like_the_loop(wrapper.estimator_, expected, X)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *VOTING], ids=name_of)
def test_a_fit_in_batches_is_bit_identical_to_the_plain_loop(estimator):
    X, y, params = make_data(estimator)
    chunks = (20, 25, 15)
    wrapper = Incremental(estimator, shuffle_blocks=False, batch_size=5)
    wrapper.fit(as_dask(X, chunks), as_dask(y, chunks), **params)
    expected = plain_loop(estimator, X, y, params, chunks, batch_size=5)
    assert_like_the_loop(wrapper.estimator_, expected, X)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *VOTING], ids=name_of)
def test_a_fit_is_bit_identical_on_each_scheduler(estimator, scheduler):
    X, y, params = make_data(estimator)
    chunks = (20, 25, 0, 15)
    wrapper = Incremental(estimator, shuffle_blocks=False)
    wrapper.fit(as_dask(X, chunks), as_dask(y, (30, 30)), **params)
    # OpenMP's sums depend on its number of threads, and distributed's workers set 1.
    with threadpool_limits(1 if scheduler == "distributed" else None):
        expected = plain_loop(estimator, X, y, params, chunks)
    assert_like_the_loop(wrapper.estimator_, expected, X)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *VOTING], ids=name_of)
def test_partial_fit_continues_as_the_plain_loop_does(estimator):
    X, y, params = make_data(estimator)
    chunks = (20, 25, 15)
    wrapper = Incremental(estimator, shuffle_blocks=False)
    for _ in range(2):
        wrapper.partial_fit(as_dask(X, chunks), as_dask(y, chunks), **params)
    expected = plain_loop(estimator, X, y, params, chunks, order=[0, 1, 2, 0, 1, 2])
    assert_like_the_loop(wrapper.estimator_, expected, X)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *VOTING], ids=name_of)
def test_every_method_after_the_fit_yields_what_the_estimator_yields(estimator):
    X, y, params = make_data(estimator)
    chunks = (20, 25, 0, 15)
    lazy = as_dask(X, chunks)
    wrapper = Incremental(estimator).fit(lazy, as_dask(y, chunks), **params)
    non_empty = [slice(0, 20), slice(20, 45), slice(45, 60)]
    methods = ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    methods += ["transform", "score_samples"]
    for method in methods:
        assert hasattr(wrapper, method) == hasattr(wrapper.estimator_, method), method
        if not hasattr(wrapper, method):
            continue
        received = getattr(wrapper, method)(lazy)
        whole = getattr(wrapper.estimator_, method)(X)
        blocks = [getattr(wrapper.estimator_, method)(X[rows]) for rows in non_empty]
        if not isinstance(received, list):
            received, whole, blocks = [received], [whole], [[b] for b in blocks]
        for got, wanted, parts in zip(
            received, whole, zip(*blocks, strict=True), strict=True
        ):
            assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
            assert got.chunks[0] == chunks
            computed = got.compute()
            assert type(computed) is type(wanted)
            np.testing.assert_array_equal(
                _dense(computed), np.concatenate([_dense(part) for part in parts])
            )


def _dense(values):
    return values.toarray() if hasattr(values, "toarray") else values


def test_the_estimator_that_is_given_is_not_changed():
    estimator = clone(ESTIMATORS[6])
    X, y, params = make_data(estimator)
    Incremental(estimator).fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)), **params)
    assert not hasattr(estimator, "coef_")
