"""Scores without gathering the data."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA, FactorAnalysis, LatentDirichletAllocation
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import (
    check_scoring,
    d2_log_loss_score,
    f1_score,
    get_scorer,
    make_scorer,
    mean_absolute_error,
)
from sklearn.metrics import r2_score as exact_r2
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental, ParallelPostFit
from incremental._predict.reductions import reduction_of
from tests.graph.test_fold import Source


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
    r2 = reduction_of(exact_r2)
    parts = [
        r2.chunk(*block)
        for block in zip(
            *(np.split(a, cuts) for a in (y, predicted, weight)), strict=True
        )
    ]
    expected = exact_r2(y, predicted, sample_weight=weight)
    total = sum(part.total[0] for part in parts)
    if not 0 < np.max(total) < 1e-6:
        assert r2.aggregate(parts) == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("predicted", [[3.0, 3.0], [3.0, 4.0]])
def test_r2_of_a_constant_target_equals_scikit_learns(predicted):
    y, r2 = np.array([3.0, 3.0]), reduction_of(exact_r2)
    part = r2.chunk(y, np.array(predicted), None)
    assert r2.aggregate([part]) == exact_r2(y, predicted)


def test_r2_of_one_row_is_undefined(regressed):
    wrapper = ParallelPostFit(LinearRegression()).fit(*regressed)
    X, y = cut(*regressed)
    with pytest.warns(UndefinedMetricWarning, match="less than two samples"):
        assert np.isnan(wrapper.score(X[:1], y[:1]))


def test_the_score_of_a_pipeline_is_that_of_its_last_step(classified):
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    wrapper = ParallelPostFit(pipe).fit(*classified)
    assert wrapper.score(*cut(*classified)) == wrapper.estimator_.score(*classified)


def test_a_score_of_its_own_is_refused(classified):
    X = np.abs(classified[0])
    wrapper = ParallelPostFit(LatentDirichletAllocation(2)).fit(X)
    with pytest.raises(TypeError, match="score` of its own.*Pass `scoring`"):
        wrapper.score(*cut(X))
    assert wrapper.score(X) == wrapper.estimator_.score(X)


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
    wrapper = ParallelPostFit(LogisticRegression(), scoring=3).fit(*classified)
    with pytest.raises(TypeError, match="scoring must be"):
        wrapper.score(*cut(*classified))


def test_score_is_there_with_scoring_alone():
    class NoScore(MiniBatchKMeans):
        score = property()

    assert not hasattr(Incremental(NoScore()), "score")
    assert hasattr(Incremental(NoScore(), scoring="accuracy"), "score")


class First(ClassifierMixin, BaseEstimator):
    """Predicts the first column of X."""

    classes_ = np.arange(2)

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0].astype(int)

    def predict_proba(self, X):
        return np.eye(2)[self.predict(X)]


def paired(rows=200):
    """Make a frame whose target is its first feature."""
    y = np.random.default_rng(0).integers(0, 2, size=rows)
    return pd.DataFrame({"a": y * 1.0, "b": np.arange(rows), "y": y})


def shuffled(part):
    return part.sample(frac=1)


def predict_and_compare(estimator, X, y):
    return np.mean(estimator.predict(X) == y)


def compare_probabilities(estimator, X, y):
    return np.mean(estimator.predict_proba(X)[:, 1] == y)


BOTH = pytest.mark.parametrize("scoring", [None, "accuracy"])


@pytest.mark.parametrize(
    "scoring", [None, "accuracy", "roc_auc", predict_and_compare, compare_probabilities]
)
def test_rows_that_are_shuffled_as_they_are_read_are_scored_with_their_own_y(
    scoring, scheduler
):
    lazy = dd.from_pandas(paired(), npartitions=4).map_partitions(shuffled)
    wrapper = ParallelPostFit(First(), scoring=scoring).fit([[0.0]], [0])
    assert wrapper.score(lazy[["a", "b"]], lazy["y"]) == 1


@BOTH
def test_frames_of_another_index_are_not_scored(scoring):
    frame = paired()
    X = dd.from_pandas(frame[["a", "b"]], npartitions=1)
    y = dd.from_pandas(frame["y"][::-1], npartitions=1, sort=False)
    wrapper = ParallelPostFit(First(), scoring=scoring).fit([[0.0]], [0])
    with pytest.raises(ValueError, match="different index labels"):
        wrapper.score(X, y)


@BOTH
def test_blocks_of_other_lengths_are_not_scored(scoring):
    X, y = cut(paired()[["a", "b"]].to_numpy(), np.arange(200), rows=50)
    y = y[y != 60]
    X = X[X[:, 1] < 199]
    wrapper = ParallelPostFit(First(), scoring=scoring).fit([[0.0]], [0])
    with pytest.raises(
        ValueError, match=r"X has (50, y has 49|49, y has 50)"
    ) as caught:
        wrapper.score(X, y)
    assert any("(of 0 to 3)" in note for note in caught.value.__notes__)


@BOTH
def test_weights_of_other_lengths_are_not_scored(scoring, no_compute):
    X, y, weight = cut(paired()[["a", "b"]].to_numpy(), np.arange(200), np.ones(199))
    wrapper = ParallelPostFit(First(), scoring=scoring).fit([[0.0]], [0])
    with pytest.raises(ValueError, match="sample_weight has shape"):
        wrapper.score(X, y, weight)


@BOTH
@pytest.mark.parametrize("kind", ["array", "other chunks", "in memory", "list"])
def test_weights_beside_arrays_pair(scoring, kind, classified):
    X, y = classified
    weight = np.arange(97.0)
    given = {
        "array": cut(weight)[0],
        "other chunks": cut(weight, rows=13)[0],
        "in memory": weight,
        "list": list(weight),
    }[kind]
    wrapper = ParallelPostFit(LogisticRegression(), scoring=scoring).fit(X, y)
    expected = wrapper.estimator_.score(X, y, weight)
    assert wrapper.score(*cut(X, y), given) == pytest.approx(expected, rel=1e-12)


@BOTH
@pytest.mark.parametrize("kind", ["series", "frame's own", "array"])
def test_weights_beside_frames_pair(scoring, kind, classified):
    X, y = classified
    frame = pd.DataFrame(X).rename(columns=str).assign(y=y, w=np.arange(97.0))
    lazy = dd.from_pandas(frame, npartitions=5)
    given = {
        "series": dd.from_pandas(frame["w"], npartitions=5),
        "frame's own": lazy["w"],
        "array": lazy["w"].to_dask_array(),
    }[kind]
    features = frame.columns[:-2]
    wrapper = ParallelPostFit(LogisticRegression(), scoring=scoring)
    wrapper.fit(frame[features], y)
    expected = wrapper.estimator_.score(frame[features], y, frame["w"])
    received = wrapper.score(lazy[list(features)], lazy["y"], given)
    assert received == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "scoring",
    ["accuracy", "roc_auc", "neg_log_loss", predict_and_compare, compare_probabilities],
)
def test_each_block_is_read_once_for_a_scorer(scoring):
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    model = DummyClassifier(strategy="prior").fit(np.ones((4, 2)), [0, 1, 0, 1])
    ParallelPostFit(model, scoring=scoring).score(source.array, y)
    assert set(source.reads.values()) == {1}


def test_only_what_a_scorer_asks_for_is_predicted(classified):
    asked = []

    class Asked(LogisticRegression):
        def predict_proba(self, X):
            asked.append("predict_proba")
            return super().predict_proba(X)

    wrapper = ParallelPostFit(Asked(), scoring="accuracy").fit(*classified)
    wrapper.score(*cut(*classified))
    assert not asked
    wrapper.set_params(scoring="neg_log_loss").score(*cut(*classified))
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("scoring", "asked"), [("f1", "predict"), ("roc_auc", "decision_function")]
)
def test_scorers_of_scikit_learn_say_which_methods_they_call(scoring, asked):
    """This package reads it where scikit-learn keeps it."""
    methods = get_scorer(scoring)._response_method
    assert asked == methods if isinstance(methods, str) else asked in methods


def test_a_scorer_may_use_x_itself(classified):
    X, y = classified

    def score(estimator, X_given, y_given):
        assert X_given.shape == (97, 20)
        assert len(y_given) == 97
        whole = estimator.predict(X_given)
        some = estimator.predict(X_given[:20])
        np.testing.assert_array_equal(whole[:20], some)
        np.testing.assert_array_equal(whole[:9], estimator.predict(X[:9]))
        np.testing.assert_array_equal(whole, estimator.predict(X=X_given))
        np.testing.assert_allclose(
            estimator.predict_log_proba(X_given),
            np.log(estimator.predict_proba(X_given)),
        )
        assert estimator.score(X, y) == estimator.score(X_given, y_given)
        return estimator.score(X_given, y_given)

    wrapper = ParallelPostFit(LogisticRegression(), scoring=score).fit(X, y)
    assert wrapper.score(*cut(X, y)) == wrapper.estimator_.score(X, y)


def test_a_second_read_whose_y_differs_is_refused():
    def score(estimator, X, y):
        return np.mean(estimator.predict_twice(X) == y)

    class Twice(First):
        def predict_twice(self, X):
            return self.predict(X)

    lazy = dd.from_pandas(paired(), npartitions=4).map_partitions(shuffled)
    wrapper = ParallelPostFit(Twice(), scoring=score).fit([[0.0]], [0])
    with pytest.raises(ValueError, match="y has other values when it is read again"):
        wrapper.score(lazy[["a", "b"]], lazy["y"])


@pytest.mark.parametrize(
    "scoring",
    [
        "accuracy",
        "average_precision",
        "balanced_accuracy",
        "f1",
        "f1_macro",
        "jaccard",
        "matthews_corrcoef",
        "neg_brier_score",
        "neg_log_loss",
        "precision",
        "recall",
        "roc_auc",
        make_scorer(d2_log_loss_score, response_method="predict_proba"),
        make_scorer(exact_r2, response_method="predict_proba"),
    ],
)
@pytest.mark.parametrize("kind", ["array", "frame"])
def test_scorers_score_as_they_do_in_memory(scoring, kind, classified):
    frame = pd.DataFrame(classified[0]).rename(columns=str)
    target = pd.Series(classified[1])
    weight = pd.Series(np.arange(97) % 3)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    model = LogisticRegression().fit(frame, target)
    lazy = [dd.from_pandas(one, npartitions=5) for one in (frame, target, weight)]
    if kind == "array":
        model.fit(frame.to_numpy(), target)
        lazy = [one.to_dask_array(lengths=True) for one in lazy]
        frame = frame.to_numpy()
    expected = scorer(model, frame, target, sample_weight=weight)
    received = ParallelPostFit(model, scoring=scoring).score(*lazy)
    assert received == pytest.approx(expected, rel=1e-12)


def test_a_positive_label_that_is_text_is_scored(classified):
    X, y = classified
    named = np.where(y == 1, "yes", "no")
    scorer = make_scorer(f1_score, pos_label="yes")
    wrapper = ParallelPostFit(LogisticRegression(), scoring=scorer).fit(X, named)
    expected = scorer(wrapper.estimator_, X, named)
    for target in (named, named.astype(object)):
        assert wrapper.score(*cut(X, target)) == pytest.approx(expected, rel=1e-12)


def test_several_outputs_are_scored(classified):
    X, y = classified
    Y = np.stack([y, 1 - y], axis=1)

    def score(estimator, X, Y):
        return np.mean([p[:, 1].sum() for p in estimator.predict_proba(X)])

    wrapper = ParallelPostFit(
        MultiOutputClassifier(LogisticRegression()), scoring=score
    ).fit(X, Y)
    expected = score(wrapper.estimator_, X, Y)
    assert wrapper.score(*cut(X, Y)) == pytest.approx(expected, rel=1e-12)


@BOTH
def test_weights_of_a_block_may_all_be_0(scoring, classified):
    X, y = classified
    weight = np.where(np.arange(97) < 40, 0.0, 1.0)
    wrapper = ParallelPostFit(LogisticRegression(C=1e-3), scoring=scoring).fit(X, y)
    expected = wrapper.estimator_.score(X, y, weight)
    assert wrapper.score(*cut(X, y, weight)) == pytest.approx(expected, rel=1e-12)


def test_weights_of_a_block_may_all_be_0_for_r2(regressed):
    weight = np.where(np.arange(97) < 40, 0.0, 1.0)
    wrapper = ParallelPostFit(LinearRegression()).fit(*regressed)
    expected = wrapper.estimator_.score(*regressed, weight)
    received = wrapper.score(*cut(*regressed, weight))
    assert received == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("model", [LogisticRegression(), LinearRegression()])
def test_weights_that_are_all_0_are_refused(model, classified):
    wrapper = ParallelPostFit(model).fit(*classified)
    # The latter by older versions of scikit-learn.
    with pytest.raises((ValueError, ZeroDivisionError), match="non-zero|sum to zero"):
        wrapper.estimator_.score(*classified, np.zeros(97))
    with pytest.raises(ValueError, match="at least one non-zero"):
        wrapper.score(*cut(*classified, np.zeros(97)))


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("model", [LogisticRegression(), LinearRegression()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_target_that_is_not_finite_is_refused(model, value, classified):
    X, y = classified
    wrapper = ParallelPostFit(model).fit(X, y)
    y = np.where(np.arange(97) == 41, value, y)
    with pytest.raises(ValueError, match="NaN|infinity"):
        wrapper.estimator_.score(X, y)
    with pytest.raises(ValueError, match="NaN|infinity") as caught:
        wrapper.score(*cut(X, y))
    assert any("in block 2 (of 0 to 4)" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_refused(value, regressed):
    wrapper = ParallelPostFit(LinearRegression()).fit(*regressed)
    wrapper.estimator_.intercept_ = np.array([value, 0.0])
    with pytest.raises(ValueError, match="NaN|infinity") as caught:
        wrapper.score(*cut(*regressed))
    assert any("(of 0 to 4)" in note for note in caught.value.__notes__)


def test_a_target_of_fewer_outputs_is_refused(regressed):
    X, Y = regressed
    wrapper = ParallelPostFit(LinearRegression()).fit(X, Y)
    with pytest.raises(ValueError, match="y has 1 outputs but the prediction has 2"):
        wrapper.score(*cut(X, Y[:, 0]))


@pytest.mark.parametrize("scoring", [None, predict_and_compare])
def test_a_score_leaves_x_as_it_is(scoring, classified):
    X, y = classified
    pipe = make_pipeline(StandardScaler(copy=False), LogisticRegression())
    pipe.fit(X.copy(), y)
    lazy = da.from_array(X.copy(), chunks=(20, 20)).persist(scheduler="synchronous")
    wrapper = ParallelPostFit(pipe, scoring=scoring)
    assert wrapper.score(lazy, cut(y)[0]) == pipe.score(X.copy(), y)
    np.testing.assert_array_equal(lazy.compute(), X)


@BOTH
def test_predictions_that_are_not_one_for_each_row_are_refused(scoring):
    class Short(First):
        def predict(self, X):
            return super().predict(X)[1:]

    X, y = cut(paired()[["a", "b"]].to_numpy(), paired()["y"].to_numpy(), rows=50)
    wrapper = ParallelPostFit(Short(), scoring=scoring).fit([[0.0]], [0])
    with pytest.raises(ValueError, match=r"Short.predict returned 49 rows for 50 rows"):
        wrapper.score(X, y)


@BOTH
def test_predictions_whose_index_has_another_order_are_refused(scoring):
    class Reversed(First):
        def predict(self, X):
            return X["a"][::-1]

    frame = paired()
    lazy = dd.from_pandas(frame, npartitions=2)
    wrapper = ParallelPostFit(Reversed(), scoring=scoring).fit([[0.0]], [0])
    with pytest.raises(ValueError, match=r"Reversed.predict returned pandas whose"):
        wrapper.score(lazy[["a", "b"]], lazy["y"])


def as_kind(kind, X, y, weight):
    """Return lazy data of the same rows, or data of which only X is in memory."""
    if kind == "array":
        return cut(X, y, weight)
    frame = pd.DataFrame(X).rename(columns=str)
    series = [dd.from_pandas(pd.Series(one), npartitions=5) for one in (y, weight)]
    x = frame if kind == "X in memory" else dd.from_pandas(frame, npartitions=5)
    return x, *series


@pytest.mark.parametrize("kind", ["array", "frame", "X in memory"])
@pytest.mark.parametrize("scoring", [None, "neg_log_loss", make_scorer(f1_score)])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_lazy_score_is_the_score(weighted, scoring, kind, classified):
    X, y = classified
    weight = np.random.default_rng(0).random(97)
    given = X if kind == "array" else pd.DataFrame(X).rename(columns=str)
    wrapper = ParallelPostFit(LogisticRegression(), scoring=scoring).fit(given, y)
    x, *others = as_kind(kind, X, y, weight)
    rows = (x, *others[: 1 + weighted])
    with dask.config.set(scheduler=lambda *args, **kwargs: pytest.fail("computes")):
        received = wrapper.score(*rows, compute=False)
    assert isinstance(received, da.Array)
    assert received.shape == ()
    expected = wrapper.score(*rows)
    assert received.compute() == expected
    assert float(received) == expected
    weights = {"sample_weight": weight} if weighted else {}
    scorer = check_scoring(wrapper.estimator_, scoring=scoring)
    plain = scorer(wrapper.estimator_, given, y, **weights)
    assert expected == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_a_lazy_r2_is_the_score(kind, regressed, scheduler):
    X, y = regressed[0], regressed[1][:, 0]
    given = X if kind == "array" else pd.DataFrame(X).rename(columns=str)
    wrapper = ParallelPostFit(LinearRegression()).fit(given, y)
    rows = as_kind(kind, X, y, np.ones(97))
    received = wrapper.score(*rows, compute=False)
    assert received.compute() == wrapper.score(*rows)


def test_a_lazy_score_on_data_in_memory_is_the_estimators_own(classified):
    wrapper = ParallelPostFit(MiniBatchKMeans(2, n_init=1, random_state=0))
    wrapper.fit(*classified)
    received = wrapper.score(*classified, compute=False)
    assert received.compute() == wrapper.estimator_.score(*classified)


def test_a_lazy_score_keeps_the_model_it_was_made_with(classified):
    X, y = classified
    model = LogisticRegression().fit(X, y)
    expected = model.score(X, y)
    received = ParallelPostFit(model).score(*cut(X, y), compute=False)
    model.fit(X, 1 - y)
    assert received.compute() == expected


def test_a_lazy_score_of_persisted_data_on_a_cluster(classified, client):
    wrapper = ParallelPostFit(LogisticRegression()).fit(*classified)
    X, y = client.persist(cut(*classified))
    received = wrapper.score(X, y, compute=False)
    assert received.compute() == wrapper.estimator_.score(*classified)


def test_a_lazy_score_without_rows_is_an_error_when_computed(classified):
    wrapper = ParallelPostFit(LogisticRegression()).fit(*classified)
    X, y = cut(*classified)
    none = X[:, 0] > 1e9
    received = wrapper.score(X[none], y[none], compute=False)
    with pytest.raises(ValueError, match="no rows in any block"):
        received.compute()


def test_a_lazy_score_by_a_callable_that_does_not_say_what_it_calls_is_refused(
    classified, no_compute
):
    def scoring(estimator, X, y):
        return 1.0

    wrapper = ParallelPostFit(LogisticRegression(), scoring=scoring).fit(*classified)
    with pytest.raises(TypeError, match=r"compute=False needs a scorer.*make_scorer"):
        wrapper.score(*cut(*classified), compute=False)


@pytest.mark.filterwarnings("ignore::dask.array.PerformanceWarning")
def test_a_lazy_score_of_collections_that_are_cut_differently_is_the_score(classified):
    X, y = classified
    frame = pd.DataFrame(X).rename(columns=str)
    wrapper = ParallelPostFit(LogisticRegression()).fit(frame, y)
    rows = dd.from_pandas(frame, npartitions=3), da.from_array(y, chunks=10)
    received = wrapper.score(*rows, compute=False)
    assert received.compute() == wrapper.estimator_.score(frame, y)


def test_a_lazy_score_without_y_is_refused_at_once(classified):
    wrapper = ParallelPostFit(LogisticRegression()).fit(*classified)
    with pytest.raises(ValueError, match="requires y to be passed"):
        wrapper.score(cut(*classified)[0], compute=False)


def test_a_lazy_score_of_rows_shuffled_on_disk_is_refused(classified):
    X, y = classified
    frame = pd.DataFrame(X).rename(columns=str).assign(y=y)
    wrapper = ParallelPostFit(LogisticRegression()).fit(frame.drop(columns="y"), y)
    shuffled = dd.from_pandas(frame, npartitions=3).shuffle("0", shuffle_method="disk")
    with pytest.raises(ValueError, match="shuffled on the disk"):
        wrapper.score(shuffled.drop(columns="y"), shuffled["y"], compute=False)


SEVERAL = ["accuracy", "roc_auc", "neg_log_loss", "f1", "average_precision"]


@pytest.mark.parametrize("weighted", [False, True])
def test_several_scorers_score_as_each_alone(weighted, classified, scheduler):
    X, y = classified
    weight = np.random.default_rng(0).random(97)
    rows = (X, y, weight)[: 2 + weighted]
    model = LogisticRegression().fit(X, y)
    received = ParallelPostFit(model, scoring=SEVERAL).score(*cut(*rows))
    assert list(received) == SEVERAL
    for name, score in received.items():
        alone = ParallelPostFit(model, scoring=name)
        assert score == alone.score(*cut(*rows))
        assert score == pytest.approx(alone.score(*rows), rel=1e-12)


def test_several_scorers_read_each_block_once():
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    scoring = dict.fromkeys(SEVERAL) | {name: name for name in SEVERAL}
    scoring |= {"own": None, "mine": predict_and_compare}
    model = DummyClassifier(strategy="prior").fit(np.ones((4, 2)), [0, 1, 0, 1])
    scores = ParallelPostFit(model, scoring=scoring).score(source.array, y)
    assert scores["own"] == scores["mine"] == scores["accuracy"] == 0.5
    assert set(source.reads.values()) == {1}


@pytest.mark.parametrize("in_memory", [False, True])
def test_several_scorers_predict_once_for_each_block(in_memory, classified):
    asked = []

    class Asked(LogisticRegression):
        def predict(self, X):
            asked.append("predict")
            return super().predict(X)

        def predict_proba(self, X):
            asked.append("predict_proba")
            return super().predict_proba(X)

    scoring = ["accuracy", "f1", "recall_macro", "neg_log_loss", "neg_brier_score"]
    model = Asked().fit(*classified)
    wrapper = ParallelPostFit(model, scoring=scoring)
    wrapper.score(*(classified if in_memory else cut(*classified)))
    times = 1 if in_memory else 5
    assert sorted(asked) == ["predict"] * times + ["predict_proba"] * times


def test_one_of_several_scorers_may_take_no_weights(regressed):
    X, y = regressed[0], regressed[1][:, 0]
    weight = np.arange(97.0)
    wrapper = ParallelPostFit(LinearRegression().fit(X, y))
    wrapper.set_params(scoring=["neg_max_error", "r2"])
    received = wrapper.score(*cut(X, y, weight))
    assert received == pytest.approx(wrapper.score(X, y, weight), rel=1e-12)


@pytest.mark.parametrize("kind", ["array", "X in memory"])
def test_lazy_scores_of_several_scorers_are_the_scores(kind, classified):
    X, y = classified
    given = X if kind == "array" else pd.DataFrame(X).rename(columns=str)
    model = LogisticRegression().fit(given, y)
    wrapper = ParallelPostFit(model, scoring=SEVERAL)
    x, lazy_y, _ = as_kind(kind, X, y, y)
    with dask.config.set(scheduler=lambda *args, **kwargs: pytest.fail("computes")):
        received = wrapper.score(x, lazy_y, compute=False)
    assert all(isinstance(one, da.Array) for one in received.values())
    expected = wrapper.score(x, lazy_y)
    assert dask.compute(received)[0] == pytest.approx(expected, rel=1e-14)
    assert float(received["roc_auc"]) == expected["roc_auc"]


def test_lazy_scores_of_several_scorers_share_one_read():
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    model = DummyClassifier(strategy="prior").fit(np.ones((4, 2)), [0, 1, 0, 1])
    wrapper = ParallelPostFit(model, scoring=SEVERAL)
    dask.compute(wrapper.score(source.array, y, compute=False))
    assert set(source.reads.values()) == {1}


OWN = {
    "means": MiniBatchKMeans(3, n_init=1, random_state=0),
    "components": PCA(2),
    "factors": FactorAnalysis(2),
    "mixture": GaussianMixture(2, random_state=0),
    "density": KernelDensity(),
    "covariance": EmpiricalCovariance(),
    "in a pipeline": make_pipeline(StandardScaler(copy=False), PCA(2)),
    "frozen": FrozenEstimator(PCA(2)),
}


@pytest.mark.parametrize("name", OWN)
def test_an_own_score_that_is_a_sum_or_a_mean_over_the_rows_needs_no_y(
    name, classified, scheduler
):
    X, _ = classified
    model = OWN[name]
    getattr(model, "estimator", model).fit(X.copy())
    wrapper = ParallelPostFit(model)
    expected = pytest.approx(model.score(X.copy()), rel=1e-12)
    (lazy,) = cut(X)
    assert wrapper.score(lazy) == expected
    assert float(wrapper.score(lazy, compute=False)) == expected


@pytest.mark.parametrize(
    "model", [KNeighborsClassifier(), DummyClassifier(), MiniBatchKMeans(3, n_init=1)]
)
def test_an_own_score_takes_weights_where_it_does_in_memory(model, classified):
    X, y = classified
    weight = np.where(np.arange(97) < 40, 0.0, np.arange(97) % 5)
    model.fit(X, y)
    received = ParallelPostFit(model).score(*cut(X, y, weight))
    assert received == pytest.approx(model.score(X, y, weight), rel=1e-12)


def test_an_own_score_of_several_outputs_is_their_mean(classified):
    X, y = classified
    Y = np.stack([y, 1 - y], axis=1)
    model = MultiOutputClassifier(LogisticRegression()).fit(X, Y)
    received = ParallelPostFit(model).score(*cut(X, Y))
    assert received == pytest.approx(model.score(X, Y), rel=1e-12)
    with pytest.raises(ValueError, match="requires y to be passed"):
        ParallelPostFit(model).score(*cut(X))


def test_an_incremental_scores_clusters_without_y(classified):
    (X,) = cut(classified[0])
    model = Incremental(
        MiniBatchKMeans(3, n_init=1, random_state=0),
        early_stopping=True,
        max_iter=2,
        random_state=0,
    ).fit(X)
    expected = model.estimator_.score(classified[0])
    assert model.score(X) == pytest.approx(expected, rel=1e-12)
    assert all(record["score"] < 0 for record in model.history_)


def test_a_subclass_with_another_score_is_refused(classified):
    class Other(KMeans):
        def score(self, X, y=None):
            return 1.0

    X, _ = classified
    wrapper = ParallelPostFit(Other(2, n_init=1).fit(X))
    with pytest.raises(TypeError, match="not known to be a sum or a mean"):
        wrapper.score(*cut(X))


@pytest.mark.parametrize("scoring", ["accuracy", "f1", "neg_mean_squared_error", "r2"])
def test_scorers_of_scikit_learn_compute_lazy_predictions_once(scoring):
    source = Source(8)
    y = da.arange(80, chunks=10) % 2
    model = DummyClassifier(strategy="prior").fit(np.ones((4, 2)), [0, 1, 0, 1])
    scorer = get_scorer(scoring)
    received = scorer(ParallelPostFit(model), source.array, y)
    assert received == scorer(model, np.zeros((80, 2)), np.arange(80) % 2)
    assert set(source.reads.values()) == {1}


def test_weights_for_a_scorer_that_takes_none_are_refused_before_any_read(no_compute):
    model = DummyClassifier().fit(np.ones((4, 2)), [0, 1, 0, 1])
    X, y = da.ones((8, 2), chunks=(2, 2)), da.arange(8, chunks=2) % 2
    for scoring in ("rand_score", predict_and_compare):
        wrapper = ParallelPostFit(model, scoring=scoring)
        with pytest.raises(TypeError, match="takes no sample_weight"):
            wrapper.score(X, y, da.ones(8, chunks=2))


@pytest.mark.parametrize("offset", [0.0, 1e5, 1e9])
@pytest.mark.parametrize("scoring", ["r2", "explained_variance"])
def test_scores_of_targets_far_from_0_keep_their_digits(scoring, offset):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 1))
    y = offset + X[:, 0] + rng.normal(size=3000)
    model = LinearRegression().fit(X, y)
    lazy = [da.from_array(one, chunks=(77, *one.shape[1:])) for one in (X, y)]
    received = ParallelPostFit(model, scoring=scoring).score(*lazy)
    assert received == pytest.approx(get_scorer(scoring)(model, X, y), rel=1e-12)


def test_scores_in_memory_leave_x_as_it_is(classified):
    X, y = classified
    pipe = make_pipeline(StandardScaler(copy=False), LogisticRegression())
    pipe.fit(X.copy(), y)
    scoring = ["accuracy", "neg_log_loss"]
    given = X.copy()
    received = ParallelPostFit(pipe, scoring=scoring).score(given, y)
    np.testing.assert_array_equal(given, X)
    for name in scoring:
        assert received[name] == get_scorer(name)(pipe, X.copy(), y)


def test_a_scorer_may_return_a_score_for_each_class(classified):
    X, y = classified
    scorer = make_scorer(f1_score, average=None)
    wrapper = ParallelPostFit(LogisticRegression(), scoring=scorer).fit(X, y)
    received = wrapper.score(*cut(X, y))
    np.testing.assert_allclose(received, scorer(wrapper.estimator_, X, y), rtol=1e-12)
    with pytest.raises(TypeError, match="'score' returned 2 numbers.*single one"):
        wrapper.score(*cut(X, y), compute=False).compute()


def test_numbers_that_are_no_labels_are_refused_with_the_name_of_their_block(regressed):
    X, y = regressed[0], regressed[1][:, 0]
    wrapper = ParallelPostFit(LinearRegression(), scoring="accuracy").fit(X, y)
    with pytest.raises(ValueError, match="continuous") as caught:
        wrapper.score(*cut(X, y))
    assert "in block" in str(caught.value.__notes__)
