"""The parts of a bundle of estimators learn as chains beside each other."""

import threading
from collections import Counter

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.diagnostics import Profiler
from dask.utils import key_split
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import (
    RandomForestClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from incremental import Incremental
from tests.contracts import VOTING, as_dask, assert_same_state, plain_loop, vote
from tests.estimators.test_merge import chunkings
from tests.fit.test_checkpoints import interrupted
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)
LABELS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def X():  # noqa: N802
    return np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture(scope="module")
def y(X):
    return np.array(LABELS)[np.digitize(X[:, 0], [-0.7, 0, 0.7])]


def targets_of(bundle, X):
    """Return targets for each kind of bundle, and the classes to tell it."""
    by_class = OneVsRestClassifier, OneVsOneClassifier, VotingClassifier
    if isinstance(bundle, by_class):
        return np.digitize(X[:, 0], [-0.7, 0, 0.7]), {"classes": [0, 1, 2, 3]}
    if isinstance(bundle, MultiOutputClassifier):
        y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0.3, X[:, 2] > -0.3]).astype(int)
        return y, {"classes": [[0, 1]] * 3}
    if isinstance(bundle, VotingRegressor):
        return X @ np.arange(4.0), {}
    return X[:, :3] @ np.arange(9.0).reshape(3, 3), {}


BUNDLES = [
    OneVsRestClassifier(SGD),
    OneVsRestClassifier(Perceptron(random_state=0)),
    OneVsRestClassifier(GaussianNB()),
    OneVsOneClassifier(SGD),
    OneVsOneClassifier(GaussianNB()),
    VOTING[0],
    VOTING[2],
    MultiOutputClassifier(SGD),
    MultiOutputClassifier(GaussianNB()),
    MultiOutputRegressor(SGDRegressor(random_state=0)),
]
each_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=str)


def calls_of(fit, threads=4):
    """Count the tasks that a fit runs on so many threads, by their names."""
    config = {"scheduler": "threads", "num_workers": threads}
    with dask.config.set(config), Profiler() as profiler:
        fit()
    return Counter(key_split(record.key) for record in profiler.results)


@each_bundle
@settings(max_examples=15, deadline=None)
@given(
    chunks=chunkings(60),
    batch_size=st.sampled_from([None, 7]),
    prefetch=st.integers(0, 3),
)
def test_parts_learn_to_the_same_bits_as_the_bundle(
    bundle, X, chunks, batch_size, prefetch
):
    target, params = targets_of(bundle, X)
    wrapper = Incremental(
        bundle, shuffle_blocks=False, batch_size=batch_size, prefetch=prefetch
    )
    wrapper.fit(as_dask(X, chunks), as_dask(target, chunks), **params)
    expected = plain_loop(bundle, X, target, params, chunks, batch_size=batch_size)
    assert_same_state(wrapper.estimator_, expected)


@pytest.mark.parametrize("bundle", BUNDLES[-3:], ids=str)
def test_parts_get_the_weights_of_their_rows(bundle, X):
    target, params = targets_of(bundle, X)
    weights = np.linspace(0.1, 1, 60)
    lazy = (as_dask(value, (25, 35)) for value in (X, target, weights))
    X_lazy, y_lazy, weights_lazy = lazy
    wrapper = Incremental(bundle, shuffle_blocks=False)
    wrapper.fit(X_lazy, y_lazy, sample_weight=weights_lazy, **params)
    expected = clone(bundle)
    for rows in (slice(0, 25), slice(25, 60)):
        expected.partial_fit(
            X[rows], target[rows], sample_weight=weights[rows], **params
        )
    assert_same_state(wrapper.estimator_, expected)


@each_bundle
def test_parts_learn_the_same_on_each_scheduler(bundle, X, scheduler):
    target, params = targets_of(bundle, X)
    wrapper = Incremental(bundle, shuffle_blocks=False)
    wrapper.fit(as_dask(X, (20,) * 3), as_dask(target, (20,) * 3), **params)
    expected = plain_loop(bundle, X, target, params, (20,) * 3)
    assert_same_state(wrapper.estimator_, expected)


@each_bundle
def test_partial_fit_goes_on_with_the_parts(bundle, X):
    target, params = targets_of(bundle, X)
    wrapper = Incremental(bundle, shuffle_blocks=False)
    for _ in range(2):
        wrapper.partial_fit(as_dask(X, (30, 30)), as_dask(target, (30, 30)), **params)
    twice = np.vstack([X, X]), np.concatenate([target, target])
    expected = plain_loop(bundle, *twice, params, (30,) * 4)
    assert_same_state(wrapper.estimator_, expected)


def test_each_part_takes_each_block_of_one_read(X, y):
    source = Source(6)
    model = Incremental(OneVsRestClassifier(SGD), classes=LABELS)
    counts = calls_of(lambda: model.fit(source.array, as_dask(y, (10,) * 6)))
    assert set(source.reads.values()) == {1}
    assert counts["partial_fit"] == 6 * 4


def test_there_are_as_many_chains_as_threads(X, y):
    model = Incremental(OneVsRestClassifier(SGD), classes=LABELS, shuffle_blocks=False)
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    counts = calls_of(lambda: model.fit(*data), threads=3)
    assert counts["partial_fit"] == 2 * 3
    expected = plain_loop(OneVsRestClassifier(SGD), X, y, {"classes": LABELS}, (30, 30))
    assert_same_state(model.estimator_, expected)


@pytest.mark.parametrize(
    "bundle",
    [
        OneVsRestClassifier(SGDClassifier()),
        MultiOutputClassifier(SGDClassifier()),
        MultiOutputRegressor(SGDRegressor()),
    ],
    ids=str,
)
def test_parts_that_draw_from_the_global_generator_learn_in_turns(bundle, X):
    target, params = targets_of(bundle, X)
    data = as_dask(X, (30, 30)), as_dask(target, (30, 30))
    model = Incremental(bundle)
    assert calls_of(lambda: model.fit(*data, **params))["partial_fit"] == 2


def test_other_classes_in_a_later_fit_are_refused_as_scikit_learn_does_it(X, y):
    model = Incremental(OneVsRestClassifier(SGD))
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    model.partial_fit(*data, classes=LABELS)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(*data, classes=[*LABELS, "e"])


def test_outputs_that_are_added_later_are_refused_as_scikit_learn_does_it(X):
    model = Incremental(MultiOutputRegressor(SGDRegressor(random_state=0)))
    X = as_dask(X, (30, 30))
    model.partial_fit(X, X[:, :2])
    with pytest.raises(IndexError):
        model.partial_fit(X, X)


def test_weights_that_a_bundle_does_not_take_are_refused(X, y):
    model = Incremental(OneVsRestClassifier(SGD), classes=LABELS)
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    with pytest.raises((TypeError, ValueError), match="sample_weight"):
        model.fit(*data, sample_weight=da.ones(60, chunks=30))


def test_weights_of_a_step_reach_the_parts_of_a_bundle_at_the_end(X):
    target, _ = targets_of(BUNDLES[-1], X)
    pipe = make_pipeline(FunctionTransformer(np.negative), BUNDLES[-1])
    weights = np.linspace(0.1, 1, 60)
    name = "multioutputregressor__sample_weight"
    model = Incremental(pipe, shuffle_blocks=False)
    lazy = (as_dask(value, (25, 35)) for value in (X, target, weights))
    X_lazy, y_lazy, weights_lazy = lazy
    model.fit(X_lazy, y_lazy, **{name: weights_lazy})
    expected = clone(BUNDLES[-1])
    for rows in (slice(0, 25), slice(25, 60)):
        expected.partial_fit(-X[rows], target[rows], sample_weight=weights[rows])
    assert_same_state(model.estimator_[-1], expected)


def test_parts_learn_at_the_same_time(X, y):
    model = Incremental(OneVsRestClassifier(Meeting()), classes=LABELS)
    Meeting.barrier = threading.Barrier(4, timeout=30)
    with dask.config.set(scheduler="threads", num_workers=4):
        model.fit(as_dask(X, (60,)), as_dask(y, (60,)))
    assert not Meeting.barrier.broken


class Meeting(BaseEstimator):
    """Learns when as many others do so as there are classes."""

    barrier = None

    def fit(self, X, y):
        return self

    def partial_fit(self, X, y, classes=None):
        Meeting.barrier.wait()
        return self


@pytest.mark.parametrize("prefetch", [0, 2])
def test_blocks_are_bounded_by_the_slowest_part(prefetch):
    source = Source(30)
    y = da.tile(da.arange(10, chunks=10) % 3, 30)
    model = Incremental(OneVsRestClassifier(SGD), classes=[0, 1, 2], prefetch=prefetch)
    with dask.config.set(scheduler="threads", num_workers=4):
        model.fit(source.array, y)
    assert source.most_live <= prefetch + 1


def test_parts_of_a_bundle_after_steps_that_are_fitted_learn_as_chains(X, y):
    pipe = make_pipeline(FunctionTransformer(np.negative), OneVsRestClassifier(SGD))
    model = Incremental(pipe, classes=LABELS, shuffle_blocks=False)
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    assert calls_of(lambda: model.fit(*data))["partial_fit"] == 2 * 4
    expected = plain_loop(pipe[-1], -X, y, {"classes": LABELS}, (30, 30))
    assert_same_state(model.estimator_[-1], expected)


def test_a_frame_of_targets_has_a_part_for_each_column(X):
    bundle = MultiOutputRegressor(SGDRegressor(random_state=0))
    target, _ = targets_of(bundle, X)
    frames = [pd.DataFrame(X), pd.DataFrame(target, columns=list("uvw"))]
    lazy = [dd.from_pandas(frame, npartitions=3) for frame in frames]
    model = Incremental(bundle, shuffle_blocks=False)
    assert calls_of(lambda: model.fit(*lazy))["partial_fit"] == 3 * 3
    expected = clone(bundle)
    for rows in np.split(np.arange(60), 3):
        expected.partial_fit(frames[0].iloc[rows], frames[1].iloc[rows])
    assert_same_state(model.estimator_, expected)


def test_a_bundle_that_is_judged_learns_as_a_whole(X, y):
    model = Incremental(OneVsRestClassifier(SGD), classes=LABELS, tol=1e-3)
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    assert calls_of(lambda: model.fit(*data))["partial_fit"] == 2


def test_two_classes_have_one_part(X):
    y = (X[:, 0] > 0).astype(int)
    bundle = OneVsRestClassifier(SGD)
    model = Incremental(bundle, shuffle_blocks=False)
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    expected = plain_loop(bundle, X, y, {"classes": [0, 1]}, (30, 30))
    assert_same_state(model.estimator_, expected)


def test_an_unknown_class_is_refused_with_the_block(X, y):
    model = Incremental(OneVsRestClassifier(SGD), classes=LABELS[:3])
    with pytest.raises(ValueError, match=r"holds the classes \['d'\]") as caught:
        model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    assert any("block" in note for note in caught.value.__notes__)
    assert not hasattr(model, "estimator_")


def test_blocks_without_rows_are_left_out(X, y):
    bundle = OneVsRestClassifier(SGD)
    model = Incremental(bundle, classes=LABELS, shuffle_blocks=False)
    chunks = (0, 30, 0, 30)
    model.fit(as_dask(X, chunks), as_dask(y, chunks))
    expected = plain_loop(bundle, X, y, {"classes": LABELS}, (30, 30))
    assert_same_state(model.estimator_, expected)


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_fit_of_parts_goes_on_from_a_checkpoint(stop_after, X, y, tmp_path):
    data = as_dask(X, (10,) * 6), as_dask(y, (10,) * 6)

    def make(folder=None):
        return Incremental(
            OneVsRestClassifier(SGD),
            classes=LABELS,
            random_state=0,
            max_iter=2,
            checkpoint=folder,
            checkpoint_every=1,
        )

    interrupted(make(tmp_path), stop_after, *data)
    resumed = make(tmp_path).fit(*data)
    assert_same_state(resumed.estimator_, make().fit(*data).estimator_)


def test_a_pair_whose_classes_are_in_no_block_learns_nothing(X, y):
    few = np.where(y == "d", "c", y)
    codes = np.searchsorted(LABELS, few)
    bundle = OneVsOneClassifier(SGD)
    model = Incremental(bundle, classes=[0, 1, 2, 3], shuffle_blocks=False)
    order = np.argsort(codes)
    model.fit(as_dask(X[order], (20,) * 3), as_dask(codes[order], (20,) * 3))
    params = {"classes": [0, 1, 2, 3]}
    expected = plain_loop(bundle, X[order], codes[order], params, (20,) * 3)
    assert_same_state(model.estimator_, expected)


def test_one_vs_one_knows_the_columns_of_a_frame(X, y):
    codes = pd.Series(np.searchsorted(LABELS, y), name="y")
    frame = pd.DataFrame(X, columns=list("pqrs"))
    lazy = [dd.from_pandas(one, npartitions=2) for one in (frame, codes)]
    bundle = OneVsOneClassifier(SGD)
    model = Incremental(bundle, shuffle_blocks=False)
    assert calls_of(lambda: model.fit(*lazy, classes=range(4)))["partial_fit"] == 2 * 4
    expected = clone(bundle)
    for rows in (slice(0, 30), slice(30, 60)):
        expected.partial_fit(frame.iloc[rows], codes.iloc[rows], range(4))
    assert list(model.estimator_.feature_names_in_) == list("pqrs")
    for name, value in vars(expected).items():
        assert_same_state(getattr(model.estimator_, name), value, name)


def test_one_vs_one_of_two_classes_learns_as_a_whole(X):
    y = (X[:, 0] > 0).astype(int)
    bundle = OneVsOneClassifier(SGD)
    model = Incremental(bundle, shuffle_blocks=False)
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    assert calls_of(lambda: model.fit(*data))["partial_fit"] == 2
    expected = plain_loop(bundle, X, y, {"classes": [0, 1]}, (30, 30))
    assert_same_state(model.estimator_, expected)


def test_a_voting_classifier_has_what_its_own_fit_gives_it(X, y):
    soft = VOTING[1]
    model = Incremental(soft).fit(as_dask(X**2, (30, 30)), as_dask(y, (30, 30)))
    plain = clone(soft).fit(X**2, y)
    assert list(vars(model.estimator_)) == list(vars(plain))
    assert list(model.estimator_.named_estimators_) == ["bayes", "counts"]
    for method in ("predict", "predict_proba", "transform"):
        received = getattr(model, method)(as_dask(X**2, (60,)))
        wanted = getattr(model.estimator_, method)(X**2)
        np.testing.assert_array_equal(received.compute(), wanted)


def test_a_voting_classifier_learns_text_labels_as_numbers(X, y):
    model = Incremental(VOTING[0], shuffle_blocks=False)
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    assert list(model.classes_) == LABELS
    assert list(model.estimator_.estimators_[0].classes_) == [0, 1, 2, 3]
    expected = plain_loop(VOTING[0], X, y, {"classes": LABELS}, (30, 30))
    assert_same_state(model.estimator_, expected)


def test_voting_estimators_get_the_weights_of_their_rows(X, y):
    weights = np.linspace(0.1, 1, 60)
    model = Incremental(VOTING[0], shuffle_blocks=False, classes=LABELS)
    lazy = [as_dask(value, (25, 35)) for value in (X, y, weights)]
    model.fit(*lazy[:2], sample_weight=lazy[2])
    expected = clone(VOTING[0])
    for rows in (slice(0, 25), slice(25, 60)):
        vote(expected, X[rows], y[rows], LABELS, sample_weight=weights[rows])
    assert_same_state(model.estimator_, expected)


def test_voting_estimators_learn_as_the_last_step_of_a_pipeline(X, y):
    pipe = make_pipeline(StandardScaler(), VOTING[0])
    model = Incremental(pipe, shuffle_blocks=False, classes=LABELS, max_iter=2)
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    scaler, expected = StandardScaler(), clone(VOTING[0])
    for learns in (True, False):
        for rows in (slice(0, 30), slice(30, 60)):
            if learns:
                scaler.partial_fit(X[rows])
            vote(expected, scaler.transform(X[rows]), y[rows], LABELS)
    assert_same_state(model.estimator_[-1], expected)


def test_voting_estimators_may_be_pipelines(X):
    y = X @ np.arange(4.0)
    pipe = make_pipeline(StandardScaler(), SGDRegressor(random_state=0))
    voting = VotingRegressor([("pipe", pipe), ("sgd", SGDRegressor(random_state=1))])
    model = Incremental(voting, shuffle_blocks=False)
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    alone = Incremental(pipe, shuffle_blocks=False)
    alone.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    assert_same_state(model.estimator_.estimators_[0], alone.estimator_)


def test_voting_of_data_in_memory_learns_too(X, y):
    model = Incremental(VOTING[0]).fit(X, y)
    expected = plain_loop(VOTING[0], X, y, {"classes": LABELS}, (60,))
    assert_same_state(model.estimator_, expected)


@pytest.mark.parametrize(
    ("voting", "error", "message"),
    [
        (
            VotingClassifier([("sgd", SGD), ("rf", RandomForestClassifier())]),
            TypeError,
            "must have `partial_fit`, got RandomForestClassifier",
        ),
        (VotingClassifier([("sgd", "drop")]), ValueError, "All estimators are dropped"),
        (
            VotingClassifier([("sgd", SGD)], weights=[1, 2]),
            ValueError,
            "weights must have one for each of the 1 estimators, got 2",
        ),
        (
            VotingClassifier([("sgd", SGDRegressor())]),
            ValueError,
            "should be a classifier",
        ),
    ],
)
def test_voting_that_cannot_learn_is_refused_before_anything_is_read(
    voting, error, message
):
    source = Source(3)
    with pytest.raises(error, match=message):
        Incremental(voting).fit(source.array, da.zeros(30, chunks=10))
    assert not source.reads


def test_voting_with_a_fit_of_its_own_is_refused(X, y):
    class Own(VotingClassifier):
        def fit(self, X, y):
            return self

    with pytest.raises(TypeError, match="must have `partial_fit`, got Own"):
        Incremental(Own([("sgd", SGD)])).fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))


def test_voting_refuses_other_classes_in_a_later_fit(X, y):
    model = Incremental(VOTING[0])
    data = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    model.partial_fit(*data, classes=LABELS)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(*data, classes=[*LABELS, "e"])
