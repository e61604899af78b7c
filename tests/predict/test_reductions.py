"""Metrics that are computed from what is known of each block."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names

from incremental import ParallelPostFit
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
            expected[scoring], told = value, told | warned
    wrapper = ParallelPostFit(model, scoring=list(expected))
    for size in (60, 25, 7):
        received, warned = outcome(lambda: wrapper.score(*cut(*rows, rows=size)))  # noqa: B023
        assert received == pytest.approx(expected, rel=1e-12, abs=1e-15, nan_ok=True)
        assert warned == told
    assert len(expected) > 9
