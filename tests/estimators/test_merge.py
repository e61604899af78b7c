"""Fitted states that add up."""

import copy

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from incremental import Incremental, merge
from tests.contracts import as_dask, assert_close, assert_same_state, plain_loop

COUNTING = [
    BernoulliNB(binarize=0.5),
    CategoricalNB(),
    ComplementNB(),
    MultinomialNB(alpha=0.3),
    MultinomialNB(fit_prior=False),
]
SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(feature_range=(-1, 2)),
    MaxAbsScaler(),
]


def chunkings(rows):
    return st.lists(st.integers(1, 9), min_size=1).map(
        lambda sizes: [
            s for s in np.diff([0, *np.cumsum(sizes).clip(max=rows), rows]) if s
        ]
    )


@pytest.mark.parametrize("estimator", COUNTING, ids=repr)
@settings(max_examples=15, deadline=None)
@given(
    chunks=chunkings(40), weighted=st.booleans(), sparse=st.booleans(), data=st.data()
)
def test_counts_are_bit_identical_to_the_serial_loop(
    estimator, chunks, weighted, sparse, data
):
    rng = np.random.default_rng(data.draw(st.integers(0, 5)))
    X, y = rng.integers(0, 4, (40, 3)).astype(float), rng.integers(0, 3, 40)
    X *= 1.0 if isinstance(estimator, CategoricalNB) else rng.random()
    sparse = sparse and not isinstance(estimator, CategoricalNB)
    weight = rng.random(40) if weighted else None
    lazy = as_dask(X, chunks)
    params = {} if weight is None else {"sample_weight": as_dask(weight, chunks)}
    wrapper = Incremental(estimator, classes=[0, 1, 2], shuffle_blocks=False)
    with dask.config.set(scheduler="synchronous"):
        wrapper.fit(
            lazy.map_blocks(sp.csr_matrix) if sparse else lazy,
            as_dask(y, chunks),
            **params,
        )
    expected = clone(estimator)
    for rows in np.split(np.arange(40), np.cumsum(chunks)[:-1]):
        block = sp.csr_matrix(X[rows]) if sparse else X[rows]
        w = None if weight is None else weight[rows]
        expected.partial_fit(block, y[rows], classes=[0, 1, 2], sample_weight=w)
    assert set(vars(wrapper.estimator_)) == set(vars(expected))
    for name, value in vars(expected).items():
        assert_same_state(getattr(wrapper.estimator_, name), value, name)


@pytest.mark.parametrize("estimator", SCALERS, ids=repr)
@settings(max_examples=25, deadline=None)
@given(
    chunks=chunkings(40),
    kind=st.sampled_from(["dense", "sparse", "missing", "weighted", "constant"]),
    shift=st.sampled_from([0.0, 1e3]),
)
def test_moments_and_bounds_are_those_of_the_serial_loop(
    estimator, chunks, kind, shift
):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3)) + shift
    params, lazy_params = {}, {}
    standard = isinstance(estimator, StandardScaler)
    if kind == "missing" and standard:
        X[rng.random(X.shape) < 0.2] = np.nan
        X[0] = shift
    if kind == "constant":
        X[:, 1] = 7.1
    if kind == "weighted" and standard:
        params = {"sample_weight": rng.random(40)}
        lazy_params = {"sample_weight": as_dask(params["sample_weight"], chunks)}
    sparse = kind == "sparse" and not (
        isinstance(estimator, MinMaxScaler) or (standard and estimator.with_mean)
    )
    lazy = as_dask(X, chunks)
    wrapper = Incremental(estimator, shuffle_blocks=False)
    with dask.config.set(scheduler="synchronous"):
        wrapper.fit(lazy.map_blocks(sp.csr_matrix) if sparse else lazy, **lazy_params)
    # The loop itself yields NaN when a block lacks a feature; one fit does not.
    cuts = [] if kind == "missing" else np.cumsum(chunks)[:-1]
    expected = clone(estimator)
    for rows in np.split(np.arange(40), cuts):
        block = sp.csr_matrix(X[rows]) if sparse else X[rows]
        expected.partial_fit(
            block, **{name: value[rows] for name, value in params.items()}
        )
    assert_close(wrapper.estimator_, expected, X)


@pytest.mark.parametrize(
    "estimator", [StandardScaler(), MinMaxScaler(), MaxAbsScaler()]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_feature_that_a_block_lacks_counts_as_in_one_fit_on_all_rows(estimator):
    X = np.array([[np.nan, 1.0], [2.0, 2.0], [4.0, 6.0]])
    parts = [clone(estimator).partial_fit(X[:1]), clone(estimator).partial_fit(X[1:])]
    expected = clone(estimator).partial_fit(X)
    for merged in (merge(*parts), merge(*parts[::-1])):
        assert_close(merged, expected, X)


@pytest.mark.parametrize("estimator", [*COUNTING, *SCALERS], ids=repr)
def test_merging_leaves_its_arguments_unchanged(estimator, rng):
    X, y = rng.integers(0, 3, (20, 3)).astype(float), rng.integers(0, 2, 20)
    params = {"classes": [0, 1]} if hasattr(estimator, "predict") else {}
    parts = [
        clone(estimator).partial_fit(X[rows], y[rows], **params)
        for rows in (slice(0, 10), slice(10, 20))
    ]
    before = copy.deepcopy(parts)
    merged = merge(*parts)
    assert_same_state(parts, before)
    assert merged is not parts[0]
    assert_same_state(merge(parts[0]), parts[0])


def test_feature_names_are_kept(rng):
    frame = pd.DataFrame(rng.integers(0, 3, (12, 2)), columns=["a", "b"])
    lazy = dd.from_pandas(frame.assign(y=1), npartitions=3)
    for estimator in (StandardScaler(), MinMaxScaler(), MultinomialNB()):
        classes = {"classes": [0, 1]} if hasattr(estimator, "predict") else {}
        wrapper = Incremental(estimator).fit(lazy[["a", "b"]], lazy["y"], **classes)
        assert list(wrapper.feature_names_in_) == ["a", "b"]


def test_partial_fit_merges_into_the_state_it_has(rng):
    X = rng.random((40, 2))
    wrapper = Incremental(StandardScaler()).partial_fit(as_dask(X[:20], (10, 10)))
    wrapper.partial_fit(as_dask(X[20:], (10, 10)))
    assert_close(wrapper.estimator_, StandardScaler().partial_fit(X), X)


def test_blocks_are_fitted_in_parallel_and_within_the_look_ahead():
    import threading

    barrier = threading.Barrier(2, timeout=10)

    class Meets(BaseEstimator):
        def partial_fit(self, X, y=None):
            barrier.wait()
            self.n_ = len(X)
            return self

    @merge.register
    def merge_meets(first: Meets, *others: Meets) -> Meets:
        merged = Meets()
        merged.n_ = first.n_ + sum(other.n_ for other in others)
        return merged

    with dask.config.set(scheduler="threads", num_workers=2):
        wrapper = Incremental(Meets(), prefetch=2).fit(da.ones((20, 2), chunks=(2, 2)))
    assert wrapper.n_ == 20


def test_memory_stays_bounded_in_the_parallel_fit():
    from tests.graph.test_fold import Source

    source = Source(40)
    with dask.config.set(scheduler="threads", num_workers=4):
        Incremental(StandardScaler(), prefetch=3).fit(source.array)
    assert source.most_live <= 4
    assert set(source.reads.values()) == {1}


def test_it_is_the_same_on_each_scheduler(scheduler, rng):
    X, y = rng.integers(0, 3, (40, 3)).astype(float), rng.integers(0, 2, 40)
    chunks = (7, 13, 0, 20)
    wrapper = Incremental(MultinomialNB(), shuffle_blocks=False)
    wrapper.fit(as_dask(X, chunks), as_dask(y, chunks))
    expected = plain_loop(MultinomialNB(), X, y, {"classes": [0, 1]}, chunks)
    for name in ("feature_count_", "class_count_", "feature_log_prob_"):
        assert_same_state(getattr(wrapper, name), getattr(expected, name))


def test_what_does_not_merge_exactly_is_refused():
    for estimator in (GaussianNB(), IncrementalPCA(), SGDClassifier()):
        assert not merge.learns_as_registered(estimator)
        with pytest.raises(TypeError, match="got " + type(estimator).__name__):
            merge(estimator)


def test_a_subclass_that_overrides_partial_fit_is_not_merged():
    class Same(StandardScaler):
        pass

    class Other(StandardScaler):
        def partial_fit(self, X, y=None, sample_weight=None):
            return super().partial_fit(X * 2, y, sample_weight)

    assert merge.learns_as_registered(Same())
    assert not merge.learns_as_registered(Other())


def test_an_error_names_the_block(rng):
    X = rng.random((40, 2))
    X[25] = np.inf
    with pytest.raises(ValueError, match="infinity") as caught:
        Incremental(StandardScaler()).fit(as_dask(X, (10,) * 4))
    assert any("block 2" in note for note in caught.value.__notes__)


INFINITE = {
    "the first": [[np.inf, 1.0], [2.0, 3.0], [4.0, 5.0]],
    "one between": [[1.0, 2.0], [-np.inf, 3.0], [4.0, 5.0]],
    "several": [[np.inf, 1.0], [np.inf, 2.0], [3.0, 4.0]],
    "of both signs": [[np.inf, 1.0], [-np.inf, 2.0], [3.0, 4.0]],
    "beside missing ones": [[np.nan, np.inf], [np.nan, 1.0], [3.0, 4.0]],
    "a sum": [[1e308, 1e308], [1e308, 1.0], [2.0, 3.0]],
    "a difference": [[1e308], [-1e308], [2.0]],
}


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("which", INFINITE)
@pytest.mark.parametrize("with_std", [False, True])
def test_infinite_values_count_as_in_the_serial_loop(which, with_std):
    expected = StandardScaler(with_std=with_std)
    parts = []
    with config_context(assume_finite=True):
        for block in INFINITE[which]:
            rows = np.reshape(block, (-1, 1))
            expected.partial_fit(rows)
            parts.append(StandardScaler(with_std=with_std).partial_fit(rows))
        received = merge(*parts)
    for name in ("mean_", "var_", "scale_"):
        one, other = getattr(received, name), getattr(expected, name)
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other, equal_nan=True)
