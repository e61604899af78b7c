"""Metrics that are computed from what is known of each block."""

import inspect
import pickle
import warnings

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from incremental import ParallelPostFit, Reduction, reduction_of
from incremental._predict.reductions import distinct_rows
from tests.predict.test_scoring import cut

ROWS = 60


class Given(BaseEstimator):
    """Predicts what X holds, so that any y goes with any prediction."""

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        predicted = np.asarray(X)[:, : self.width_]
        return predicted[:, 0] if self.width_ == 1 else predicted


class GivenClasses(ClassifierMixin, Given):
    def __init__(self, classes=(0, 1)):
        self.classes = classes

    width_ = 1

    @property
    def classes_(self):
        return np.asarray(self.classes)

    def predict(self, X):
        return self.classes_[super().predict(X).astype(int)]

    def predict_proba(self, X):
        positive = np.abs(np.asarray(X)[:, 1 : 1 + len(self.classes)]) + 0.01
        return positive / positive.sum(axis=1, keepdims=True)

    def decision_function(self, X):
        if len(self.classes) == 2:
            return np.asarray(X)[:, 1]
        return self.predict_proba(X)


class GivenNumbers(RegressorMixin, Given):
    def __init__(self, width=1):
        self.width = width

    @property
    def width_(self):
        return self.width


class GivenLabels(GivenClasses):
    """A multilabel classifier."""

    width_ = 3

    def predict(self, X):
        return Given.predict(self, X).astype(int)

    def predict_proba(self, X):
        return [np.c_[1 - p, p] for p in np.clip(np.asarray(X)[:, :3], 0.1, 0.9).T]

    @property
    def classes_(self):
        return [np.arange(2)] * 3


def cases():
    rng = np.random.default_rng(0)
    probabilities = rng.random((ROWS, 3))
    two, three = rng.integers(2, size=(2, ROWS)), rng.integers(3, size=(2, ROWS))
    three[:, 10:50] %= 2  # the third label occurs in some blocks only
    labels = rng.integers(2, size=(2, ROWS, 3))
    numbers = np.abs(rng.normal(size=(2, ROWS, 2))) + 0.1
    names = np.array(["no", "perhaps", "yes"])
    return {
        "two classes": (
            GivenClasses((0, 1)),
            np.c_[two[0], probabilities],
            two[1],
        ),
        "two texts": (
            GivenClasses(("no", "yes")),
            np.c_[two[0], probabilities],
            names[two[1] * 2],
        ),
        "three classes": (
            GivenClasses((0, 1, 2)),
            np.c_[three[0], probabilities],
            three[1],
        ),
        "three texts": (
            GivenClasses(("no", "perhaps", "yes")),
            np.c_[three[0], probabilities],
            names[three[1]].astype(object),
        ),
        "other classes": (
            GivenClasses((1, 2)),
            np.c_[two[0], probabilities],
            two[1] + 1,
        ),
        "one class in y": (
            GivenClasses((0, 1)),
            np.c_[two[0], probabilities],
            np.zeros(ROWS, dtype=int),
        ),
        "labels": (GivenLabels(), labels[0] * 1.0, labels[1]),
        "numbers": (GivenNumbers(1), numbers[0], numbers[1][:, 0]),
        "two numbers": (GivenNumbers(2), numbers[0], numbers[1]),
        "a constant": (GivenNumbers(1), numbers[0], np.ones(ROWS)),
    }


CASES = cases()


def outcome(call):
    """Return a score, or the type of error, and the warnings of undefined metrics."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = call()
        except Exception as error:
            value = type(error)
    undefined = {
        str(one.message)
        for one in caught
        if issubclass(one.category, UndefinedMetricWarning)
    }
    return value, undefined


def takes_weight(scorer):
    return "sample_weight" in inspect.signature(scorer._score_func).parameters


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_scorer_of_scikit_learn_scores_as_it_does_in_memory(name, weighted):
    model, X, y = CASES[name]
    weight = np.random.default_rng(1).integers(3, size=ROWS) * 0.7
    weight[20:27] = 0
    rows = (X, y, weight) if weighted else (X, y)
    expected, told = {}, set()
    for scoring in get_scorer_names():
        scorer = get_scorer(scoring)
        own = {"sample_weight": weight} if weighted and takes_weight(scorer) else {}
        value, warned = outcome(lambda: scorer(model, X, y, **own))  # noqa: B023
        if isinstance(value, type):
            wrapper = ParallelPostFit(model, scoring=scoring)
            received, _ = outcome(lambda: wrapper.score(*cut(*rows)))  # noqa: B023
            assert isinstance(received, type), scoring
        else:
            # scikit-learn divides by what rounding leaves of a loss of 0.
            endless = scoring == "d2_brier_score" and value < -1e15
            expected[scoring] = -np.inf if endless else value
            told |= warned
    wrapper = ParallelPostFit(model, scoring=list(expected))
    for size in (60, 7):
        received, warned = outcome(lambda: wrapper.score(*cut(*rows, rows=size)))  # noqa: B023
        assert received == pytest.approx(expected, rel=1e-12, abs=1e-15, nan_ok=True)
        assert warned == told
    assert len(expected) > 9


def test_a_score_that_reduces_gathers_nothing():
    model, X, y = CASES["three classes"]
    X, y = np.tile(X, (50, 1)), np.tile(y, 50)
    sizes = []

    def get(dsk, keys, **kwargs):
        results = dask.local.get_sync(dsk, keys, **kwargs)
        sizes.append(len(pickle.dumps(results)))
        return results

    scoring = ["accuracy", "f1_macro", "neg_log_loss", "matthews_corrcoef", "r2"]
    wrapper = ParallelPostFit(model, scoring=scoring)
    with dask.config.set(scheduler=get):
        wrapper.score(*cut(X, y, rows=1000))
    # The predictions of all rows take 24,000 bytes.
    assert max(sizes) < 6000


def test_a_metric_of_ones_own_may_be_a_mean():
    def bias(y, predicted, *, sample_weight=None):
        return np.average(predicted - y, weights=sample_weight)

    scorer = make_scorer(bias, greater_is_better=False)
    model, X, y = CASES["numbers"]
    weight = np.arange(ROWS)
    expected = scorer(model, X, y, sample_weight=weight)
    calls = []
    wrapper = ParallelPostFit(model, scoring=scorer)
    assert wrapper.score(*cut(X, y, weight)) == pytest.approx(expected, rel=1e-12)
    reduction_of.register(
        bias, lambda *given: calls.append(1) or Reduction.of_means(*given)
    )
    assert wrapper.score(*cut(X, y, weight)) == pytest.approx(expected, rel=1e-12)
    assert calls


def test_a_scorer_of_another_class_is_not_taken_apart():
    class Halved(type(get_scorer("accuracy"))):
        def __call__(self, *args, **params):
            return super().__call__(*args, **params) / 2

    scorer = Halved(metrics.accuracy_score, 1, {}, "predict")
    model, X, y = CASES["two classes"]
    received = ParallelPostFit(model, scoring=scorer).score(*cut(X, y))
    assert received == scorer(model, X, y)


@pytest.mark.parametrize(
    "scorer",
    [
        make_scorer(metrics.fbeta_score, beta=2, average="macro", zero_division=0),
        make_scorer(metrics.f1_score, average="macro", labels=[0, 1]),
        make_scorer(metrics.recall_score, pos_label=0, average="binary"),
        make_scorer(metrics.accuracy_score, normalize=False),
        make_scorer(metrics.cohen_kappa_score, weights="quadratic"),
        make_scorer(metrics.zero_one_loss, greater_is_better=False),
        make_scorer(metrics.hamming_loss),
        make_scorer(metrics.log_loss, response_method="predict_proba", labels=[0, 1]),
        make_scorer(metrics.log_loss, response_method="predict_proba", normalize=False),
        make_scorer(metrics.brier_score_loss, response_method="predict_proba"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["two classes", "one class in y"])
def test_parameters_of_a_metric_of_labels_hold(scorer, name):
    model, X, y = CASES[name]
    expected, told = outcome(lambda: scorer(model, X, y))
    received, warned = outcome(
        lambda: ParallelPostFit(model, scoring=scorer).score(*cut(X, y))
    )
    if isinstance(expected, type):
        assert received is expected
    else:
        assert received == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert warned == told


@pytest.mark.parametrize(
    "scorer",
    [
        make_scorer(metrics.mean_squared_error, multioutput=[0.3, 0.7]),
        make_scorer(metrics.root_mean_squared_error, multioutput=[0.3, 0.7]),
        make_scorer(metrics.r2_score, multioutput="variance_weighted"),
        make_scorer(metrics.explained_variance_score, multioutput=[0.3, 0.7]),
        make_scorer(metrics.mean_pinball_loss, alpha=0.9),
        make_scorer(metrics.median_absolute_error),
    ],
    ids=repr,
)
def test_parameters_of_a_metric_of_numbers_hold(scorer):
    model, X, y = CASES["two numbers"]
    received = ParallelPostFit(model, scoring=scorer).score(*cut(X, y))
    assert received == pytest.approx(scorer(model, X, y), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
def test_the_power_of_a_deviance_holds(power):
    model, X, y = CASES["numbers"]
    for metric in (metrics.mean_tweedie_deviance, metrics.d2_tweedie_score):
        scorer = make_scorer(metric, power=power)
        received = ParallelPostFit(model, scoring=scorer).score(*cut(X, y))
        assert received == pytest.approx(scorer(model, X, y), rel=1e-12)


def test_labels_that_the_estimator_has_not_learned_are_refused_as_in_memory():
    model, X, y = CASES["two classes"]
    scorer = get_scorer("neg_log_loss")
    for others in (np.where(np.arange(ROWS) == 30, 2, y), np.where(y == 1, 2, y)):
        wrapper = ParallelPostFit(model, scoring=scorer)
        with pytest.raises(ValueError, match="2"):
            wrapper.score(*cut(X, others))


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_a_label_that_is_not_finite_is_refused_with_its_block():
    model, X, y = CASES["two classes"]
    y = np.where(np.arange(ROWS) == 41, np.nan, y)
    with pytest.raises(ValueError, match="NaN") as caught:
        ParallelPostFit(model, scoring="f1").score(*cut(X, y))
    assert any("in block 2 (of 0 to 2)" in note for note in caught.value.__notes__)


def test_weights_that_sum_to_0_are_refused():
    model, X, y = CASES["numbers"]
    for scoring in ("neg_mean_squared_error", "r2", "neg_root_mean_squared_error"):
        wrapper = ParallelPostFit(model, scoring=scoring)
        with pytest.raises(ValueError, match="at least one non-zero"):
            wrapper.score(*cut(X, y, np.zeros(ROWS)))


def test_frames_keep_their_kinds():
    model, X, y = CASES["three texts"]
    frame = pd.DataFrame(X).rename(columns=str)
    target = pd.Series(y).astype("category")
    lazy = [dd.from_pandas(one, npartitions=4) for one in (frame, target)]
    scorer = get_scorer("f1_macro")
    received = ParallelPostFit(model, scoring=scorer).score(*lazy)
    assert received == pytest.approx(scorer(model, frame, target), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_distinct_rows_keep_each_kind_with_its_weight(data):
    rows = data.draw(st.integers(1, 40))
    pieces = [
        np.array(data.draw(st.lists(values, min_size=rows, max_size=rows)))
        for values in (st.integers(-3, 3), st.sampled_from(["a", "b", "c"]))
    ]
    weight = data.draw(
        st.none() | st.lists(st.integers(0, 5), min_size=rows, max_size=rows)
    )
    where, weights = distinct_rows(pieces, weight)
    received = {
        (pieces[0][at], pieces[1][at]): of
        for at, of in zip(where, weights, strict=True)
    }
    expected = {}
    for at in range(rows):
        pair = pieces[0][at], pieces[1][at]
        expected[pair] = expected.get(pair, 0) + (1 if weight is None else weight[at])
    assert len(where) == len(expected)
    assert received == expected


def test_many_distinct_rows_stay_right():
    rng = np.random.default_rng(0)
    pieces = rng.integers(1000, size=(2, 5000, 3))
    where, weights = distinct_rows(list(pieces))
    assert len(where) == 5000
    assert weights.sum() == 5000


def test_values_that_do_not_compare_are_all_kept():
    pieces = [np.array([[1], [2]], dtype=object)[:, 0], np.array([{}, {}])]
    assert distinct_rows(pieces)[0] is None


def test_only_these_scorers_of_scikit_learn_gather():
    gathering = {
        name
        for name in get_scorer_names()
        for scorer in [get_scorer(name)]
        if reduction_of(scorer._score_func, scorer._kwargs, np.arange(2)) is None
    }
    assert gathering == {
        "average_precision",
        "d2_absolute_error_score",
        "neg_median_absolute_error",
        "roc_auc",
        "roc_auc_ovo",
        "roc_auc_ovo_weighted",
        "roc_auc_ovr",
        "roc_auc_ovr_weighted",
        "top_k_accuracy",
    }
