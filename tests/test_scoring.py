"""Scores without gathering the data."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import check_scoring, get_scorer, make_scorer, mean_absolute_error
from sklearn.metrics import r2_score as exact_r2
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental, ParallelPostFit
from incremental._scoring import Moments, _r2


@pytest.fixture(scope="module")
def classified():
    return make_classification(n_samples=97, random_state=0)


@pytest.fixture(scope="module")
def regressed():
    return make_regression(n_samples=97, n_targets=2, noise=9.0, random_state=0)


def cut(*arrays, rows=20):
    return [da.from_array(a, chunks=(rows, *a.shape[1:])) for a in arrays]


def test_accuracy_equals_scikit_learns(classified, scheduler):
    wrapper = ParallelPostFit(LogisticRegression()).fit(*classified)
    assert wrapper.score(*cut(*classified)) == wrapper.estimator_.score(*classified)


def test_weighted_accuracy_equals_scikit_learns(classified):
    X, y = classified
    weight = np.random.default_rng(0).random(97)
    wrapper = ParallelPostFit(LogisticRegression()).fit(X, y)
    received = wrapper.score(*cut(X, y, weight))
    assert received == pytest.approx(wrapper.estimator_.score(X, y, weight), rel=1e-14)


def test_accuracy_of_frames_with_empty_partitions_equals_scikit_learns(classified):
    X, y = classified
    frame = pd.DataFrame(X).rename(columns=str).assign(y=y)
    wrapper = ParallelPostFit(LogisticRegression()).fit(frame.drop(columns="y"), y)
    lazy = dd.from_pandas(frame, npartitions=5)
    lazy = lazy[(lazy["0"] > 0) | (lazy["1"] > 5)]
    kept = lazy.compute()
    expected = wrapper.estimator_.score(kept.drop(columns="y"), kept["y"])
    assert wrapper.score(lazy.drop(columns="y"), lazy["y"]) == expected


def test_r2_of_several_outputs_equals_scikit_learns(regressed, scheduler):
    wrapper = ParallelPostFit(LinearRegression()).fit(*regressed)
    expected = wrapper.estimator_.score(*regressed)
    assert wrapper.score(*cut(*regressed)) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_r2_merges_exactly_over_any_blocks(data):
    values = st.floats(-100, 100).map(lambda v: round(v, 3))
    rows = data.draw(st.integers(2, 20))
    y, predicted = (
        np.array(data.draw(st.lists(values, min_size=rows, max_size=rows)))
        for _ in range(2)
    )
    weight = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    )
    weight[0] = 1
    cuts = sorted(data.draw(st.sets(st.integers(1, rows - 1))))
    parts = [
        Moments.of(*block)
        for block in zip(
            *(np.split(a, cuts) for a in (y, predicted, weight)), strict=True
        )
    ]
    expected = exact_r2(y, predicted, sample_weight=weight)
    total = sum(part.total for part in parts)
    if not 0 < np.max(total) < 1e-6:
        assert _r2(parts) == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("predicted", [[3.0, 3.0], [3.0, 4.0]])
def test_r2_of_a_constant_target_equals_scikit_learns(predicted):
    y = np.array([3.0, 3.0])
    assert _r2([Moments.of(y, np.array(predicted), None)]) == exact_r2(y, predicted)


def test_r2_of_one_row_is_undefined(regressed):
    wrapper = ParallelPostFit(LinearRegression()).fit(*regressed)
    X, y = cut(*regressed)
    with pytest.warns(UndefinedMetricWarning, match="less than two samples"):
        assert np.isnan(wrapper.score(X[:1], y[:1]))


def test_the_score_of_a_pipeline_is_that_of_its_last_step(classified):
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    wrapper = ParallelPostFit(pipe).fit(*classified)
    assert wrapper.score(*cut(*classified)) == wrapper.estimator_.score(*classified)


@pytest.mark.parametrize(
    "estimator", [MiniBatchKMeans(2), MultiOutputClassifier(LogisticRegression())]
)
def test_a_score_of_its_own_is_refused(estimator, classified):
    X, y = classified
    Y = np.stack([y, 1 - y], axis=1)
    wrapper = ParallelPostFit(estimator).fit(X, Y)
    with pytest.raises(TypeError, match="score` of its own.*Pass `scoring`"):
        wrapper.score(*cut(X, Y))
    assert wrapper.score(X, Y) == wrapper.estimator_.score(X, Y)


@pytest.mark.parametrize(
    "scoring",
    [
        check_scoring(LogisticRegression()),
        "accuracy",
        "neg_log_loss",
        "roc_auc",
        "f1",
        make_scorer(mean_absolute_error, greater_is_better=False),
    ],
)
def test_a_scorer_gets_predictions_made_in_parallel(scoring, classified, scheduler):
    wrapper = ParallelPostFit(LogisticRegression(), scoring=scoring).fit(*classified)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    expected = scorer(wrapper.estimator_, *classified)
    assert wrapper.score(*cut(*classified)) == pytest.approx(expected, rel=1e-12)
    assert wrapper.score(*classified) == pytest.approx(expected, rel=1e-12)


def test_a_scorer_takes_weights(classified):
    X, y = classified
    weight = np.arange(97.0)
    wrapper = ParallelPostFit(LogisticRegression(), scoring="accuracy").fit(X, y)
    expected = wrapper.estimator_.score(X, y, weight)
    assert wrapper.score(*cut(X, y, weight)) == pytest.approx(expected)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_x_is_never_gathered(scoring, classified):
    X, y = classified
    sizes = []

    def get(dsk, keys, **kwargs):
        results = dask.local.get_sync(dsk, keys, **kwargs)
        sizes.extend(np.size(one) for one in dask.core.flatten([list(results)]))
        return results

    wrapper = ParallelPostFit(LogisticRegression(), scoring=scoring).fit(X, y)
    X, y = cut(X, y)
    with dask.config.set(scheduler=get):
        wrapper.score(X, y)
    assert max(sizes) <= 97


def test_a_wrong_scoring_is_refused(classified):
    wrapper = ParallelPostFit(LogisticRegression(), scoring=["f1"]).fit(*classified)
    with pytest.raises(TypeError, match="scoring must be"):
        wrapper.score(*cut(*classified))


def test_score_is_there_with_scoring_alone():
    class NoScore(MiniBatchKMeans):
        score = property()

    assert not hasattr(Incremental(NoScore()), "score")
    assert hasattr(Incremental(NoScore(), scoring="accuracy"), "score")
