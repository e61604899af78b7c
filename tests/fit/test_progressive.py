"""Progressive validation: each batch is scored before the estimator learns from it."""

import json
import math

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import get_scorer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from incremental import Incremental, IncrementalSearchCV, fit_many
from tests.contracts import as_dask, assert_same_state
from tests.estimators.test_merge import chunkings
from tests.fit.test_checkpoints import interrupted
from tests.fit.test_passes import orders_of
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)
CHUNKS = (20, 0, 25, 15)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.random(size=(60, 4))
    return X, (X[:, 0] + rng.normal(size=60) > 0.5).astype(int)


def mean(scores, weights):
    kept = [(s, w) for s, w in zip(scores, weights, strict=True) if not math.isnan(s)]
    return sum(s * w for s, w in kept) / sum(w for _, w in kept)


def scored_loop(estimator, passes, score, learn=None, begun=False):
    """Score each batch, then learn from it; return the mean score of each pass."""
    means = []
    for batches in passes:
        scores, weights = [], []
        for X, y in batches:
            if begun:
                scores.append(score(estimator, X, y))
                weights.append(len(X))
            if learn is None:
                estimator.partial_fit(X, y, classes=[0, 1])
            else:
                learn(estimator, X, y)
            begun = True
        means.append(mean(scores, weights) if weights else math.nan)
    return means


def batches_of(X, y, chunks, order=None, size=None):
    blocks = np.split(np.arange(len(X)), np.cumsum(chunks)[:-1])
    parts = [blocks[at] for at in (range(len(chunks)) if order is None else order)]
    rows = np.concatenate(parts)
    if size is not None:
        parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    return [(X[part], y[part]) for part in parts if len(part)]


def own_score(estimator, X, y):
    return estimator.score(X, y)


def progressive(model):
    return [record["progressive_score"] for record in model.history_]


@settings(max_examples=10, deadline=None)
@given(
    chunks=chunkings(60),
    batch_size=st.sampled_from([None, 7]),
    seed=st.integers(0, 5),
    scoring=st.sampled_from([None, "neg_log_loss"]),
)
def test_each_batch_is_scored_before_it_is_learned_from(
    data, chunks, batch_size, seed, scoring
):
    X, y = data
    estimator = SGDClassifier(loss="log_loss", random_state=0)
    model = Incremental(
        estimator,
        classes=[0, 1],
        random_state=seed,
        max_iter=2,
        batch_size=batch_size,
        progressive_validation=True,
        scoring=scoring,
    )
    if scoring is not None:
        # A log-loss needs the labels where a batch holds one class only.
        model.scoring = labelled_log_loss
    model.fit(as_dask(X, chunks), as_dask(y, chunks))
    orders = orders_of(seed, len(chunks), 2)
    passes = [batches_of(X, y, chunks, order, batch_size) for order in orders]
    expected = clone(estimator)
    score = own_score if scoring is None else labelled_log_loss
    assert_equal(progressive(model), scored_loop(expected, passes, score))
    assert_same_state(model.estimator_, expected)


def labelled_log_loss(estimator, X, y):
    probabilities = estimator.predict_proba(X)[np.arange(len(y)), y]
    return float(np.log(probabilities + 1e-9).mean())


def assert_equal(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize(
    "estimator",
    [MultinomialNB(), MLPClassifier((4,), random_state=0), OneVsRestClassifier(SGD)],
    ids=str,
)
def test_estimators_that_learn_in_parallel_are_scored_as_in_the_loop(estimator, data):
    X, y = data
    model = Incremental(estimator, shuffle_blocks=False, progressive_validation=True)
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS), classes=[0, 1])
    expected = clone(estimator)
    means = scored_loop(expected, [batches_of(X, y, CHUNKS)], own_score)
    assert progressive(model) == means
    assert_same_state(model.estimator_, expected)


def test_the_scores_are_the_same_on_each_scheduler(scheduler, data):
    X, y = data
    model = Incremental(
        SGD, random_state=1, max_iter=2, progressive_validation=True, scoring="f1"
    )
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    with dask.config.set(scheduler="synchronous"):
        expected = clone(model).fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    assert progressive(model) == progressive(expected)


def test_a_pipeline_is_scored_as_it_was_before_the_block(data):
    X, y = data
    pipe = make_pipeline(FunctionTransformer(np.negative), StandardScaler(), SGD)
    model = Incremental(
        pipe, shuffle_blocks=False, progressive_validation=True, max_iter=2
    )
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    expected = make_pipeline(
        FunctionTransformer(np.negative), StandardScaler(), clone(SGD)
    )

    def learn(pipe, X, y):
        if later:
            pipe[-1].partial_fit(pipe[:-1].transform(X), y)
            return
        pipe[1].partial_fit(-X)
        pipe[2].partial_fit(pipe[1].transform(-X), y, classes=[0, 1])

    batches = batches_of(X, y, CHUNKS)
    later = False
    means = scored_loop(expected, [batches], own_score, learn)
    later = True
    means += scored_loop(expected, [batches], own_score, learn, begun=True)
    assert progressive(model) == means


def test_the_first_block_of_a_new_estimator_does_not_count(data):
    X, y = data
    model = Incremental(SGD, max_iter=2, progressive_validation=True).fit(X, y)
    expected = clone(SGD).partial_fit(X, y, classes=[0, 1])
    first, second = progressive(model)
    assert math.isnan(first)
    assert second == expected.score(X, y)


def test_partial_fit_scores_its_first_block_if_the_estimator_has_learned(data):
    X, y = data
    model = Incremental(SGD, shuffle_blocks=False, progressive_validation=True)
    for _ in range(2):
        model.partial_fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    passes = [batches_of(X, y, CHUNKS)] * 2
    assert progressive(model) == scored_loop(clone(SGD), passes, own_score)


def test_the_default_score_is_weighted_by_sample_weight(data):
    X, y = data
    weights = np.linspace(0.0, 3, 60)
    model = Incremental(SGD, shuffle_blocks=False, progressive_validation=True)
    lazy = (as_dask(value, (20, 25, 15)) for value in (X, y, weights))
    X_lazy, y_lazy, weights_lazy = lazy
    model.fit(X_lazy, y_lazy, sample_weight=weights_lazy)
    expected = clone(SGD)
    right = 0.0
    for rows in (slice(0, 20), slice(20, 45), slice(45, 60)):
        if rows.start:
            hits = expected.predict(X[rows]) == y[rows]
            right += (hits * weights[rows]).sum()
        expected.partial_fit(X[rows], y[rows], [0, 1], weights[rows])
    assert_equal(progressive(model), [right / weights[20:].sum()])


def test_a_scorer_takes_no_weights(data):
    X, y = data
    model = Incremental(
        SGD, shuffle_blocks=False, progressive_validation=True, scoring="accuracy"
    )
    X_lazy, y_lazy = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    model.fit(X_lazy, y_lazy, sample_weight=da.full(60, 2.0, chunks=(CHUNKS,)))
    expected = clone(SGD)

    def learn(estimator, X, y):
        estimator.partial_fit(X, y, [0, 1], np.full(len(X), 2.0))

    passes = [batches_of(X, y, CHUNKS)]
    assert progressive(model) == scored_loop(expected, passes, own_score, learn)


def test_several_scorers_have_their_names_and_the_one_of_refit_decides(data):
    X, y = data
    model = Incremental(
        SGD,
        shuffle_blocks=False,
        progressive_validation=True,
        scoring=["accuracy", "f1"],
        refit="f1",
    )
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    (record,) = model.history_
    for name in ("accuracy", "f1"):
        passes = [batches_of(X, y, CHUNKS)]
        expected = scored_loop(clone(SGD), passes, get_scorer(name))
        assert [record[f"progressive_{name}"]] == expected
    assert record["progressive_score"] == record["progressive_f1"]


def test_batches_whose_score_is_undefined_are_left_out(data):
    X, _ = data
    y = X @ np.arange(4.0)
    model = Incremental(
        SGDRegressor(random_state=0),
        shuffle_blocks=False,
        progressive_validation=True,
        batch_size=59,
        max_iter=2,
    )
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    expected = SGDRegressor(random_state=0).partial_fit(X[:59], y[:59])
    expected.partial_fit(X[59:], y[59:])
    first, second = progressive(model)
    assert math.isnan(first)
    assert second == expected.score(X[:59], y[:59])


def test_an_estimator_that_scores_without_y_is_scored_too(data):
    X, _ = data
    estimator = MiniBatchKMeans(n_clusters=2, random_state=0, n_init=1)
    model = Incremental(estimator, shuffle_blocks=False, progressive_validation=True)
    model.fit(as_dask(X, (30, 30)))
    expected = clone(estimator).partial_fit(X[:30]).score(X[30:])
    assert progressive(model) == [expected]


def test_passes_are_compared_by_the_progressive_score(data):
    X, y = data
    model = Incremental(
        SGD,
        random_state=0,
        max_iter=20,
        tol=10.0,
        n_iter_no_change=2,
        progressive_validation=True,
    )
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    assert model.n_iter_ == 3
    assert {record["score"] for record in model.history_} == {None}


def test_early_stopping_takes_precedence(data):
    X, y = data
    model = Incremental(
        SGD,
        random_state=0,
        max_iter=20,
        tol=10.0,
        n_iter_no_change=2,
        early_stopping=True,
        progressive_validation=True,
    )
    model.fit(as_dask(X, (15,) * 4), as_dask(y, (15,) * 4))
    assert model.n_iter_ == 3
    assert None not in {record["score"] for record in model.history_}
    assert not math.isnan(progressive(model)[0])


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_resumed_fit_has_the_same_scores(stop_after, data, tmp_path):
    X, y = data
    X, y = as_dask(X, (15,) * 4), as_dask(y, (15,) * 4)

    def make(folder=None):
        return Incremental(
            SGD,
            random_state=0,
            max_iter=2,
            progressive_validation=True,
            checkpoint=folder,
            checkpoint_every=1,
        )

    interrupted(make(tmp_path), stop_after, X, y)
    resumed = make(tmp_path).fit(X, y)
    assert progressive(resumed) == progressive(make().fit(X, y))


def test_estimators_that_are_fitted_together_have_scores_of_their_own(data):
    X, y = data
    X, y = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    models = [
        Incremental(
            SGDClassifier(alpha=alpha, random_state=0),
            random_state=0,
            progressive_validation=True,
        )
        for alpha in (1e-4, 1.0)
    ]
    for fitted, model in zip(fit_many(models, X, y), models, strict=True):
        assert progressive(fitted) == progressive(model.fit(X, y))


def test_each_block_is_read_once():
    source = Source(6)
    model = Incremental(SGD, classes=[0, 1], progressive_validation=True)
    model.fit(source.array, da.arange(60, chunks=10) % 2)
    assert set(source.reads.values()) == {1}


def test_a_line_of_verbose_has_the_score(data, capsys):
    X, y = data
    model = Incremental(SGD, progressive_validation=True, verbose=1)
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    shown = f"progressive_score {progressive(model)[0]:.6g}"
    assert shown in capsys.readouterr().out


def test_the_history_is_plain_numbers(data):
    X, y = data
    model = Incremental(SGD, progressive_validation=True)
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    json.dumps(model.history_)


def test_an_estimator_without_a_score_is_refused_before_anything_is_read():
    source = Source(3)
    with pytest.raises(
        TypeError, match="needs an estimator with a score, got Standard"
    ):
        Incremental(StandardScaler(), progressive_validation=True).fit(source.array)
    assert not source.reads


def test_a_search_refuses_it(data):
    X, y = data
    search = IncrementalSearchCV(
        Incremental(SGD, progressive_validation=True), {"estimator__alpha": [1, 2]}
    )
    with pytest.raises(ValueError, match="progressive_validation of the `Incremental`"):
        search.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))


def test_partial_fit_refuses_an_estimator_without_a_score_too():
    X = da.ones((20, 2), chunks=(10, 2))
    model = Incremental(StandardScaler(), progressive_validation=True)
    with pytest.raises(
        TypeError, match="needs an estimator with a score, got Standard"
    ):
        model.partial_fit(X)


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_a_wrong_value_is_refused(value, data):
    with pytest.raises(ValueError, match="progressive_validation must be True or Fal"):
        Incremental(SGD, progressive_validation=value).fit(*data)
