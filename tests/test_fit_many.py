"""Many estimators are fitted on one read, each as in a fit of its own."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

import incremental._fit.classes
from incremental import Incremental, ParallelPostFit, fit_many
from tests.contracts import (
    ESTIMATORS,
    N_ROWS,
    Recorder,
    as_dask,
    assert_like_the_loop,
    assert_same_state,
    make_data,
    name_of,
)
from tests.estimators.test_every_estimator import chunkings
from tests.graph.test_fold import Source

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning"),
]
SGD = SGDClassifier(random_state=0)
# Learners that take the same X and y, of every way to learn.
MIXED = [
    SGD,
    SGDClassifier(random_state=1, alpha=0.01, average=True),
    GaussianNB(),
    MultinomialNB(),
    StandardScaler(),
    MinMaxScaler(),
    IncrementalPCA(n_components=2),
    MiniBatchKMeans(n_clusters=2, random_state=0, n_init=1),
    OneVsRestClassifier(SGD),
    make_pipeline(FunctionTransformer(np.sqrt), SGD),
    make_pipeline(StandardScaler(), SGD),
]


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_data(SGD)
    return X, y


def wrapped(estimators, **options):
    return [
        Incremental(one, **{"shuffle_blocks": False, **options}) for one in estimators
    ]


def assert_as_alone(wrappers, X, y, **params):
    for own, fitted in zip(wrappers, fit_many(wrappers, X, y, **params), strict=True):
        alone = clone(own).fit(X, y, **params)
        assert_like_the_loop(fitted.estimator_, alone.estimator_, np.asarray(X))
        assert len(fitted.history_) == len(alone.history_)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
@settings(max_examples=2, deadline=None)
@given(
    chunks=chunkings(),
    prefetch=st.integers(0, 3),
    batch_size=st.sampled_from([None, 7]),
    seed=st.none() | st.integers(0, 3),
)
def test_an_estimator_learns_beside_others_as_it_does_alone(
    estimator, chunks, prefetch, batch_size, seed
):
    X, y, params = make_data(estimator)
    X, y = as_dask(X, chunks), as_dask(y, chunks)
    options = {
        "prefetch": prefetch,
        "batch_size": batch_size,
        "shuffle_blocks": seed is not None,
        "random_state": seed,
    }
    others = wrapped([estimator, estimator], **options)
    with dask.config.set(scheduler="threads", num_workers=2):
        alone = clone(others[0]).fit(X, y, **params)
        for fitted in fit_many(others, X, y, **params):
            assert_same_state(fitted.estimator_, alone.estimator_)


@settings(max_examples=2, deadline=None)
@given(
    chunks=chunkings(),
    prefetch=st.integers(0, 3),
    batch_size=st.sampled_from([None, 7]),
    shuffle_rows=st.booleans(),
)
def test_estimators_of_all_kinds_learn_beside_each_other(
    chunks, prefetch, batch_size, shuffle_rows
):
    X, y, _ = make_data(SGD)
    wrappers = wrapped(
        MIXED,
        prefetch=prefetch,
        batch_size=batch_size,
        shuffle_rows=shuffle_rows,
        random_state=0,
    )
    assert_as_alone(wrappers, as_dask(X, chunks), as_dask(y, chunks))


def test_estimators_learn_beside_each_other_on_each_scheduler(data, scheduler):
    X, y = (as_dask(one, (20, 25, 15)) for one in data)
    assert_as_alone(wrapped(MIXED[4::2], batch_size=7), X, y)


@pytest.mark.parametrize(
    "bundle",
    [MultiOutputClassifier(SGD), MultiOutputRegressor(SGDRegressor(random_state=0))],
    ids=name_of,
)
def test_bundles_learn_beside_each_other(bundle):
    X, y, params = make_data(bundle)
    chunks = (20, 25, 15)
    assert_as_alone(
        wrapped([bundle, bundle]), as_dask(X, chunks), as_dask(y, chunks), **params
    )


def test_data_in_memory_are_one_block(data):
    assert_as_alone(wrapped(MIXED), *data)


def test_dataframes_keep_the_names_of_their_columns(data):
    frame = dd.from_pandas(pd.DataFrame(data[0], columns=list("abcd")), npartitions=3)
    fitted = fit_many(
        wrapped([SGD, StandardScaler()]), frame, as_dask(data[1], (20,) * 3)
    )
    assert [list(one.feature_names_in_) for one in fitted] == [list("abcd")] * 2


def test_weights_go_to_all(data):
    X, y, weight = (
        as_dask(one, (20, 40)) for one in (*data, np.linspace(0.1, 1, N_ROWS))
    )
    assert_as_alone(wrapped([SGD, GaussianNB()]), X, y, sample_weight=weight)


def test_text_is_learned_beside_each_other():
    words = da.from_array(np.array(["good day", "bad", "good", "luck"] * 3), chunks=4)
    y = da.from_array(np.array([1, 0, 1, 0] * 3), chunks=4)
    pipes = [
        make_pipeline(HashingVectorizer(n_features=n), SGDClassifier(random_state=0))
        for n in (8, 16)
    ]
    fitted = fit_many(wrapped(pipes), words, y)
    assert [
        one.n_features_in_ for one in (p[-1] for p in (f.estimator_ for f in fitted))
    ] == [8, 16]


def test_what_a_wrapper_mapped_goes_through_its_stages_once(data):
    calls = []

    def scale(X):
        calls.append(len(X))
        return X / 3

    X, y = (as_dask(one, (20, 25, 15)) for one in data)
    mapped = ParallelPostFit(FunctionTransformer(scale)).transform(X)
    del calls[:]
    wrappers = wrapped([SGD, MinMaxScaler(), GaussianNB()])
    fitted = fit_many(wrappers, mapped, y)
    assert sorted(calls) == [15, 20, 25]
    for own, one in zip(wrappers, fitted, strict=True):
        assert_same_state(one.estimator_, clone(own).fit(mapped, y).estimator_)


def test_each_makes_its_own_number_of_passes(data):
    X, y = (as_dask(one, (20, 25, 15)) for one in data)
    wrappers = [
        Incremental(SGD, random_state=3, max_iter=3),
        Incremental(GaussianNB(), random_state=3),
        Incremental(SGD, random_state=3, max_iter=8, tol=0.1, n_iter_no_change=1),
    ]
    assert_as_alone(wrappers, X, y)


def test_each_block_is_read_once_for_all():
    source = Source(12)
    y = da.from_array(np.arange(120) % 2, chunks=10)
    fit_many(
        [SGD, GaussianNB(), StandardScaler(), OneVsRestClassifier(SGD)], source.array, y
    )
    assert source.reads == dict.fromkeys(range(12), 1)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_no_more_blocks_live_than_the_smallest_look_ahead_and_one(prefetch):
    source = Source(20)
    y = da.from_array(np.arange(200) % 2, chunks=10)
    wrappers = wrapped([SGD, StandardScaler(), GaussianNB()], prefetch=prefetch)
    wrappers[0].set_params(prefetch=5)
    with dask.config.set(scheduler="threads", num_workers=4):
        fit_many(wrappers, source.array, y)
    assert 1 <= source.most_live <= prefetch + 1


def test_the_classes_are_found_once(data, monkeypatch):
    found = []
    real = incremental._fit.classes._unique_in
    monkeypatch.setattr(
        incremental._fit.classes,
        "_unique_in",
        lambda block: found.append(len(block["y"])) or real(block),
    )
    X, y = (as_dask(one, (20, 40)) for one in data)
    with dask.config.set(scheduler="synchronous"):
        fit_many([SGD, GaussianNB(), SGDClassifier()], X, y)
    assert sorted(found) == [20, 40]


def test_plain_ones_get_the_options_of_the_wrappers_and_come_back_plain(data):
    X, y = (as_dask(one, (20, 25, 15)) for one in data)
    wrapper = Incremental(GaussianNB(), random_state=5, batch_size=7)
    plain, fitted = fit_many(iter([SGD, wrapper]), X, y)
    assert type(plain) is SGDClassifier
    alone = Incremental(SGD, random_state=5, batch_size=7).fit(X, y)
    assert_same_state(plain, alone.estimator_)
    assert fitted is not wrapper
    assert fitted.get_params()["batch_size"] == 7
    assert not hasattr(SGD, "coef_")
    assert not hasattr(wrapper, "estimator_")


def test_a_fitted_wrapper_goes_on_as_after_its_own_fit(data):
    X, y = (as_dask(one, (20, 25, 15)) for one in data)
    (beside, _), alone = (
        fit_many([Incremental(SGD, random_state=1), GaussianNB()], X, y),
        Incremental(SGD, random_state=1).fit(X, y),
    )
    assert_same_state(
        beside.partial_fit(X, y).estimator_, alone.partial_fit(X, y).estimator_
    )


class Failing(SGDClassifier):
    def partial_fit(self, X, y, classes=None):
        raise ArithmeticError("no")


def test_an_error_names_the_learner_and_changes_nothing(data, scheduler):
    X, y = (as_dask(one, (20, 25, 15)) for one in data)
    wrappers = wrapped([SGD, Failing()])
    wrappers[0].fit(X, y)
    before = wrappers[0].estimator_
    with pytest.raises(ArithmeticError) as caught:
        fit_many(wrappers, X, y)
    assert "while fitting estimators[1] (Incremental)" in caught.value.__notes__
    assert wrappers[0].estimator_ is before
    assert not hasattr(wrappers[1], "estimator_")


@pytest.mark.parametrize(
    ("option", "one", "other"),
    [
        ("batch_size", 5, 6),
        ("shuffle_blocks", True, False),
        ("shuffle_rows", True, False),
        ("random_state", 0, 1),
        ("random_state", None, np.random.RandomState(0)),
    ],
)
def test_wrappers_that_do_not_agree_are_refused(option, one, other, data, no_compute):
    wrappers = [Incremental(SGD, **{option: value}) for value in (one, other)]
    with pytest.raises(ValueError, match=rf"^{option} must be the same"):
        fit_many(wrappers, *data)


def test_the_window_of_mixed_rows_has_to_agree(data):
    wrappers = [Incremental(SGD, shuffle_rows=True, prefetch=n) for n in (1, 2)]
    with pytest.raises(ValueError, match="^prefetch must be the same"):
        fit_many(wrappers, *data)


@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": True},
        {"validation_data": (np.ones((2, 4)), [0, 1])},
        {"checkpoint": "somewhere"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_needs_a_fit_of_its_own_is_refused(options, data):
    (option,) = options
    with pytest.raises(
        ValueError, match=rf"estimators\[1\].* has {option}=(?s:.*)alone"
    ):
        fit_many([SGD, Incremental(SGD, **options)], *data)


def test_no_estimator_is_refused(data):
    with pytest.raises(ValueError, match="at least one estimator"):
        fit_many([], *data)


def test_a_wrapper_without_partial_fit_is_refused(data):
    with pytest.raises(TypeError, match=r"estimators\[0\] \(ParallelPostFit\)"):
        fit_many([ParallelPostFit(SGD)], *data)


def test_documents_beside_numbers_are_refused():
    X = da.from_array(np.array(["a", "b"], dtype=object), chunks=1)
    with pytest.raises(ValueError, match=r"estimators\[1\] .* takes documents"):
        fit_many(
            [Recorder(), make_pipeline(HashingVectorizer(), SGD)],
            X,
            da.ones(2, chunks=1),
        )


def test_verbose_prints_a_line_for_each_pass_of_each(data, capsys):
    X, y = (as_dask(one, (20, 40)) for one in data)
    fit_many([Incremental(SGD, verbose=1, max_iter=2), GaussianNB()], X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["estimators[0] (Incremental)"] * 2
