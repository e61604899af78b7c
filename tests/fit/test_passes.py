"""Several passes: their orders, when they stop, and what is kept."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from incremental import Incremental
from tests.contracts import (
    ESTIMATORS,
    Recorder,
    as_dask,
    assert_like_the_loop,
    assert_same_state,
    make_data,
    name_of,
)
from tests.estimators.test_merge import chunkings
from tests.fit.watching import Watching
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] + rng.normal(size=60) > 0).astype(int)


def loop_of_passes(estimator, X, y, params, chunks, orders):
    """Fit a clone in passes over the blocks, each in an order of its own."""
    estimator = clone(estimator)
    blocks = np.split(np.arange(len(X)), np.cumsum(chunks)[:-1])
    for order in orders:
        for at in order:
            rows = blocks[at]
            if len(rows):
                data = (X[rows],) if y is None else (X[rows], y[rows])
                estimator.partial_fit(*data, **params)
    return estimator


def orders_of(seed, n_blocks, n_passes, held_out=()):
    rng = np.random.RandomState(seed)
    kept = [at for at in range(n_blocks) if at not in held_out]
    return [[kept[k] for k in rng.permutation(len(kept))] for _ in range(n_passes)]


@pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_passes_are_those_of_the_plain_loop(estimator):
    X, y, params = make_data(estimator)
    chunks = (25, 20, 15)
    wrapper = Incremental(clone(estimator), random_state=3, max_iter=3)
    wrapper.fit(as_dask(X, chunks), as_dask(y, chunks), **params)
    orders = orders_of(3, 3, 3)
    expected = loop_of_passes(estimator, X, y, params, chunks, orders)
    assert_like_the_loop(wrapper.estimator_, expected, X)
    assert wrapper.n_iter_ == len(wrapper.history_) == 3


@settings(max_examples=20, deadline=None)
@given(chunks=chunkings(60), seed=st.integers(0, 9), n_passes=st.integers(1, 4))
def test_passes_are_exact_for_any_chunks(data, chunks, seed, n_passes):
    X, y = data
    wrapper = Incremental(SGD, classes=[0, 1], random_state=seed, max_iter=n_passes)
    wrapper.fit(as_dask(X, chunks), as_dask(y, chunks))
    orders = orders_of(seed, len(chunks), n_passes)
    params = {"classes": [0, 1]}
    expected = loop_of_passes(SGD, X, y, params, chunks, orders)
    assert_same_state(wrapper.estimator_, expected)


def test_passes_are_the_same_on_each_scheduler(scheduler, data):
    X, y = data
    wrapper = Incremental(SGD, random_state=1, max_iter=3, early_stopping=True)
    wrapper.fit(as_dask(X, (20,) * 3), as_dask(y, (20,) * 3))
    with dask.config.set(scheduler="synchronous"):
        expected = clone(wrapper).fit(as_dask(X, (20,) * 3), as_dask(y, (20,) * 3))
    assert_same_state(wrapper.estimator_, expected.estimator_)
    scores = [record["score"] for record in wrapper.history_]
    assert scores == [record["score"] for record in expected.history_]


def test_data_in_memory_has_passes_too(data):
    X, y = data
    wrapper = Incremental(SGD, max_iter=3).fit(X, y)
    expected = loop_of_passes(SGD, X, y, {"classes": [0, 1]}, (60,), [[0]] * 3)
    assert_same_state(wrapper.estimator_, expected)


def test_each_block_is_read_once_for_each_pass():
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    Incremental(SGD, classes=[0, 1], max_iter=4).fit(source.array, y)
    assert set(source.reads.values()) == {4}


def test_held_out_blocks_are_never_fitted_and_read_once_for_each_pass():
    source = Source(8)
    seen = []

    class Seeing(SGDClassifier):
        def partial_fit(self, X, y, classes=None):
            seen.append(y[0])
            return super().partial_fit(X, y, classes)

    y = (da.arange(80, chunks=10) // 10).astype(int)
    wrapper = Incremental(
        Seeing(random_state=0),
        classes=range(8),
        max_iter=3,
        early_stopping=True,
        validation_fraction=0.25,
        random_state=0,
        prefetch=0,
    )
    with dask.config.set(scheduler="synchronous"):
        wrapper.fit(source.array, y)
    held_out = np.random.RandomState(0).permutation(8)[:2]
    assert sorted(set(seen)) == sorted(set(range(8)) - set(held_out))
    assert len(seen) == 3 * 6
    assert set(source.reads.values()) == {3}
    assert wrapper.history_[0]["blocks"] == 6
    assert wrapper.history_[0]["rows"] == 60


def test_statistics_of_the_data_are_computed_once_for_all_passes():
    source = Source(8)
    X = source.array - source.array.mean(axis=0)
    Incremental(SGD, classes=[0, 1], max_iter=3).fit(X, da.arange(80, chunks=10) % 2)
    assert set(source.reads.values()) == {4}


def test_the_best_estimator_is_kept(data):
    X, y = data
    lazy, target = as_dask(X, (10,) * 6), as_dask(y, (10,) * 6)
    model = Incremental(
        SGDClassifier(random_state=0, learning_rate="constant", eta0=5.0),
        early_stopping=True,
        n_iter_no_change=3,
        max_iter=50,
        random_state=0,
    ).fit(lazy, target)
    held_out = np.random.RandomState(0).permutation(6)[0]
    rows = slice(10 * held_out, 10 * held_out + 10)
    scores = [record["score"] for record in model.history_]
    assert model.estimator_.score(X[rows], y[rows]) == max(scores)
    assert model.n_iter_ < 50
    best = int(np.argmax(scores))
    assert len(scores) == best + 1 + 3
    again = clone(model).set_params(max_iter=best + 1).fit(lazy, target)
    assert_same_state(again.estimator_, model.estimator_)


@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc", "neg_log_loss"])
def test_held_out_blocks_are_scored_as_scikit_learn_does(scoring, data):
    X, y = data
    model = Incremental(
        SGDClassifier(loss="log_loss", random_state=0),
        early_stopping=True,
        validation_fraction=0.5,
        random_state=0,
        scoring=scoring,
    ).fit(as_dask(X, (10,) * 6), as_dask(y, (10,) * 6))
    held_out = sorted(np.random.RandomState(0).permutation(6)[:3])
    rows = np.concatenate([np.arange(10 * at, 10 * at + 10) for at in held_out])
    from sklearn.metrics import get_scorer

    expected = get_scorer(scoring or "accuracy")(model.estimator_, X[rows], y[rows])
    assert model.history_[0]["score"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("lazy", [False, True])
def test_validation_data_is_scored_and_nothing_held_out(lazy, data):
    X, y = data
    other = (as_dask(X[:30], (15, 15)), as_dask(y[:30], (15, 15)))
    other = other if lazy else (X[:30], y[:30])
    model = Incremental(
        SGD, validation_data=other, early_stopping=True, max_iter=4, random_state=0
    )
    model.fit(as_dask(X, (20,) * 3), as_dask(y, (20,) * 3))
    assert model.history_[0]["rows"] == 60
    scores = [record["score"] for record in model.history_]
    assert model.estimator_.score(X[:30], y[:30]) == max(scores)


def test_tol_stops_by_the_loss_that_the_estimator_reports(data):
    X, y = data
    mlp = MLPClassifier(hidden_layer_sizes=(3,), random_state=0)
    model = Incremental(
        mlp, tol=1e3, n_iter_no_change=2, max_iter=9, shuffle_blocks=False
    )
    model.fit(as_dask(X, (40, 20)), as_dask(y, (40, 20)))
    # The first pass is progress from nothing, the next two are not.
    assert model.n_iter_ == 3
    expected, losses = clone(mlp), []
    for rows in (slice(0, 40), slice(40, 60)):
        expected.partial_fit(X[rows], y[rows], classes=[0, 1])
        losses.append(expected.loss_)
    loss = (40 * losses[0] + 20 * losses[1]) / 60
    assert model.history_[0]["loss"] == pytest.approx(loss, rel=1e-12)
    assert model.history_[0]["score"] is None


@pytest.mark.parametrize("estimator", [SGD, MultinomialNB()], ids=name_of)
def test_tol_stops_by_the_score_where_there_is_no_loss(estimator, data):
    X, y = np.abs(data[0]), data[1]
    model = Incremental(
        estimator, tol=1.0, n_iter_no_change=1, max_iter=9, shuffle_blocks=False
    )
    model.fit(as_dask(X, (40, 20)), as_dask(y, (40, 20)))
    assert model.n_iter_ == 2
    expected, correct = clone(estimator), 0
    for rows in (slice(0, 40), slice(40, 60)):
        expected.partial_fit(X[rows], y[rows], classes=[0, 1])
        correct += (expected.predict(X[rows]) == y[rows]).sum()
    assert model.history_[0]["score"] == pytest.approx(correct / 60, rel=1e-12)
    assert model.history_[0]["loss"] is None


def test_progress_above_tol_goes_on(data):
    X, y = data
    model = Incremental(SGD, tol=0.0, n_iter_no_change=100, max_iter=7)
    assert model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30))).n_iter_ == 7


@pytest.mark.parametrize("scheduler_name", ["threads", "distributed"])
def test_the_first_steps_of_a_pipeline_learn_in_the_first_pass_only(
    scheduler_name, data, request
):
    X, y = data
    if scheduler_name == "distributed":
        request.getfixturevalue("client")
    pipe = make_pipeline(
        MinMaxScaler(),
        make_pipeline(IncrementalPCA(2), SGDRegressor(random_state=0)),
    )
    model = Incremental(pipe, max_iter=3, shuffle_blocks=False)
    model.fit(as_dask(X, (20,) * 3), as_dask(y, (20,) * 3))
    low, pca, expected = MinMaxScaler(), IncrementalPCA(2), SGDRegressor(random_state=0)
    for number in range(3):
        for rows in np.split(np.arange(60), 3):
            if number == 0:
                first = low.partial_fit(X[rows]).transform(X[rows])
                pca.partial_fit(first)
            reduced = pca.transform(low.transform(X[rows]))
            expected.partial_fit(reduced, y[rows])
    fitted = model.estimator_
    assert_same_state(fitted[0], low)
    assert_same_state(fitted[1][0], pca)
    assert_same_state(fitted[1][1], expected)
    in_memory = Incremental(pipe, max_iter=2).fit(X, y).estimator_
    assert in_memory[0].n_samples_seen_ == 60


def test_partial_fit_makes_one_pass(data):
    X, y = data
    lazy, target = as_dask(X, (20,) * 3), as_dask(y, (20,) * 3)
    model = Incremental(
        make_pipeline(StandardScaler(), SGD), max_iter=5, early_stopping=True
    )
    model.partial_fit(lazy, target)
    assert model.n_iter_ == 1
    assert model.history_[0]["rows"] == 60
    model.partial_fit(lazy, target)
    assert [record["pass"] for record in model.history_] == [1, 2]
    assert model.estimator_[0].n_samples_seen_ == 120


def test_the_history_is_a_frame(data):
    X, y = data
    model = Incremental(SGD, max_iter=2).fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    frame = pd.DataFrame(model.history_)
    names = ["pass", "score", "loss", "seconds", "blocks", "rows"]
    assert list(frame) == names
    assert frame["blocks"].tolist() == [2, 2]
    assert (frame["seconds"] > 0).all()


def test_frames_have_passes_too(data):
    frame = pd.DataFrame(data[0], columns=list("abcd")).assign(y=data[1])
    lazy = dd.from_pandas(frame, npartitions=3)
    model = Incremental(SGD, max_iter=3, early_stopping=True, random_state=0)
    model.fit(lazy[list("abcd")], lazy["y"])
    assert model.history_[0]["blocks"] == 2
    assert model.history_[0]["score"] is not None


def test_verbose_prints_a_line_for_each_pass(data, capsys):
    X, y = data
    model = Incremental(SGD, max_iter=2, verbose=1, early_stopping=True)
    model.fit(as_dask(X, (20,) * 3), as_dask(y, (20,) * 3))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Pass 1 of 2: score 0.")
    assert "40 rows in 2 blocks" in lines[0]


def test_a_fit_that_fails_in_a_later_pass_changes_nothing(data):
    X = data[0]

    class Failing(BaseEstimator):
        def partial_fit(self, X, y=None):
            self.calls_ = getattr(self, "calls_", 0) + 1
            if self.calls_ > limit:
                raise RuntimeError("enough")
            return self

    limit = 99
    model = Incremental(Failing(), max_iter=2).fit(as_dask(X, (30, 30)))
    before = model.estimator_, model.history_, model.n_iter_
    limit = 3
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(as_dask(X, (30, 30)))
    assert (model.estimator_, model.history_, model.n_iter_) == before
    assert model.estimator_.calls_ == 4


def test_early_stopping_of_one_block_is_refused(data, no_compute):
    X, y = data
    for rows in ((X, y), (as_dask(X, (60,)), as_dask(y, (60,)))):
        model = Incremental(SGD, early_stopping=True)
        with pytest.raises(ValueError, match="expected at least 2"):
            model.fit(*rows)


def test_clusters_stop_by_their_own_score(data):
    means = MiniBatchKMeans(2, random_state=0, n_init=1)
    model = Incremental(means, tol=1e9, n_iter_no_change=1, max_iter=9)
    assert model.fit(as_dask(data[0], (30, 30))).n_iter_ == 2


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc", "neg_log_loss"])
def test_held_out_blocks_are_read_once_for_each_score(scoring):
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    model = Incremental(
        SGDClassifier(loss="log_loss"),
        classes=[0, 1],
        max_iter=3,
        early_stopping=True,
        scoring=scoring,
    )
    model.fit(source.array, y)
    assert set(source.reads.values()) == {3}


def test_a_scorer_may_call_the_estimators_own_score(data):
    X, y = data
    options = {"early_stopping": True, "random_state": 0, "max_iter": 3}
    given = as_dask(X, (10,) * 6), as_dask(y, (10,) * 6)

    def score(estimator, X, y):
        return estimator.score(X, y)

    model = Incremental(SGD, scoring=score, **options).fit(*given)
    expected = Incremental(SGD, **options).fit(*given)
    scores = [record["score"] for record in model.history_]
    assert scores == [record["score"] for record in expected.history_]


def test_a_score_that_is_undefined_is_never_the_best(data):
    X, y = data
    scores = iter([np.nan, 0.5, 0.9, np.nan])
    model = Incremental(
        SGD,
        classes=[0, 1],
        shuffle_blocks=False,
        max_iter=4,
        early_stopping=True,
        validation_data=(X, y),
        scoring=lambda *given: next(scores),
    )
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    params = {"classes": [0, 1]}
    expected = loop_of_passes(SGD, X, y, params, (30, 30), [[0, 1]] * 3)
    assert_same_state(model.estimator_, expected)


def test_blocks_of_undefined_score_do_not_count_for_tol():
    X = np.random.default_rng(0).normal(size=(51, 2))
    y = X[:, 0]
    chunks = (10,) * 5 + (1,)
    model = Incremental(SGDRegressor(), tol=0.0, max_iter=3)
    model.fit(as_dask(X, chunks), as_dask(y, chunks))
    assert np.isfinite([record["score"] for record in model.history_]).all()


def test_held_out_blocks_without_rows_are_named():
    X, y = np.ones((4, 2)), np.array([0, 1, 0, 1])
    lazy = as_dask(X, (4, 0))
    model = Incremental(SGD, classes=[0, 1], early_stopping=True, random_state=1)
    for seed in range(9):
        model.set_params(random_state=seed)
        if np.random.RandomState(seed).permutation(2)[0] == 1:
            break
    with pytest.raises(ValueError, match="no rows") as caught:
        model.fit(lazy, as_dask(y, (4, 0)))
    assert any("early_stopping holds out" in note for note in caught.value.__notes__)


def test_a_generator_that_is_passed_draws_on_from_fit_to_fit(data):
    X, y = as_dask(data[0], (10,) * 6), as_dask(data[1], (10,) * 6)
    model = Incremental(Recorder(), random_state=np.random.RandomState(0))
    firsts = [[call[0][0, 0] for call in model.fit(X, y).calls_] for _ in range(2)]
    rng = np.random.RandomState(0)
    orders = [rng.permutation(6) for _ in range(2)]
    assert firsts == [[data[0][10 * at, 0] for at in order] for order in orders]


@pytest.mark.parametrize("in_memory", [False, True])
def test_steps_that_learn_no_more_leave_x_as_it_is(data, in_memory):
    given = data[0].copy()
    X, y = given, data[1]
    if not in_memory:
        X, y = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    fits = []
    for copied in (True, False):
        pipe = make_pipeline(StandardScaler(copy=copied), SGDRegressor(random_state=0))
        model = Incremental(pipe, max_iter=3, shuffle_blocks=False)
        fits.append(model.fit(X, y).estimator_[-1].coef_)
        np.testing.assert_array_equal(given, data[0])
    np.testing.assert_array_equal(*fits)


def test_an_unknown_number_of_outputs_is_taken(data):
    X = as_dask(data[0], (30, 30))
    y = X.map_blocks(first_column, chunks=(X.chunks[0], (np.nan,)), dtype=float)
    model = Incremental(Recorder(), shuffle_blocks=False).fit(X, y)
    assert [call[1].shape for call in model.calls_] == [(30, 1), (30, 1)]


def first_column(block):
    return block[:, :1]


class Heard(Watching):
    """Notes what it hears, and stops after a number of blocks."""

    def __init__(self, stop_after=None):
        self.heard, self.stop_after = [], stop_after

    def hear(self, task):
        self.heard.append(task)
        return self.heard.count("block") == self.stop_after


@pytest.mark.parametrize("first", [0, 1])
def test_a_stop_by_one_observer_holds_whatever_the_others_say(first, data):
    observers = [Heard(stop_after=2), Heard()]
    X = as_dask(data[0], (10,) * 6)
    model = Incremental(Recorder(), shuffle_blocks=False)
    plan, told = model._plan_passes, observers if first else observers[::-1]
    model._plan_passes = lambda session, rest: plan(session, [*told, *rest])
    model.fit(X)
    assert len(model.calls_) == 2
    assert all(one.heard == ["block", "block", "pass"] for one in observers)


BOTH = ["accuracy", "neg_log_loss"]


def stopped_early(data, **options):
    model = Incremental(
        SGDClassifier(loss="log_loss", random_state=0),
        max_iter=4,
        early_stopping=True,
        random_state=0,
        **options,
    )
    return model.fit(as_dask(data[0], (10,) * 6), as_dask(data[1], (10,) * 6))


@pytest.mark.parametrize("given", [False, True])
def test_a_record_has_each_of_several_scores(given, data):
    options = {"validation_data": data} if given else {}
    both = stopped_early(data, scoring=BOTH, **options)
    for name in BOTH:
        alone = stopped_early(data, scoring=name, **options)
        scores = [record[name] for record in both.history_]
        expected = [record["score"] for record in alone.history_]
        assert scores == expected[: len(scores)]


@pytest.mark.parametrize("decides", BOTH)
def test_refit_names_the_scorer_that_decides(decides, data):
    both = stopped_early(data, scoring=BOTH, refit=decides)
    alone = stopped_early(data, scoring=decides)
    assert [r["score"] for r in both.history_] == [r[decides] for r in both.history_]
    assert both.n_iter_ == alone.n_iter_
    np.testing.assert_array_equal(both.coef_, alone.coef_)


def test_held_out_blocks_are_read_once_for_several_scores():
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    model = Incremental(
        SGDClassifier(loss="log_loss"),
        classes=[0, 1],
        max_iter=3,
        early_stopping=True,
        scoring=["accuracy", "roc_auc", "neg_log_loss"],
    )
    model.fit(source.array, y)
    assert set(source.reads.values()) == {3}


@pytest.mark.parametrize("name", ["score", "rows"])
def test_a_scorer_that_is_named_as_something_else_of_a_record_is_refused(
    name, data, no_compute
):
    with pytest.raises(ValueError, match=f"scoring must not name a scorer '{name}'"):
        stopped_early(data, scoring={name: "accuracy"})
