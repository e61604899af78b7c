"""`average`: the mean of what fitted estimators have learned."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import (
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)
from sklearn.neural_network import MLPClassifier

from incremental import average
from tests.contracts import PASSIVE, assert_same_state, name_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning"),
]

MODELS = [
    SGDClassifier(random_state=0),
    SGDRegressor(random_state=0),
    SGDOneClassSVM(random_state=0),
    Perceptron(random_state=0),
    *PASSIVE,
]
each_model = pytest.mark.parametrize("model", MODELS, ids=name_of)
with_average = pytest.mark.parametrize("model", MODELS[:3], ids=name_of)


def fitted(model, rows, dtype=float, n_classes=3):
    """Fit a clone on some rows of the same data."""
    X = np.random.default_rng(0).normal(size=(90, 4)).astype(dtype)
    model = clone(model)
    if isinstance(model, SGDOneClassSVM):
        return model.partial_fit(X[rows])
    if isinstance(model, SGDRegressor | PassiveAggressiveRegressor):
        return model.partial_fit(X[rows], X[rows] @ np.arange(4.0, dtype=dtype))
    y = np.digitize(X[:, 0], np.linspace(-0.5, 0.5, n_classes - 1))
    return model.partial_fit(X[rows], y[rows], classes=range(n_classes))


def parts_of(model, **options):
    return [
        fitted(model, rows, **options)
        for rows in (slice(0, 20), slice(20, 50), slice(50, 90))
    ]


def mean_of(parts, name, weights):
    values = [getattr(part, name) for part in parts]
    return np.average(values, axis=0, weights=weights)


@each_model
@pytest.mark.parametrize("n_classes", [2, 3])
def test_coefficients_are_the_weighted_mean(model, n_classes):
    parts = parts_of(model, n_classes=n_classes)
    averaged = average(*parts, weights=[1, 2, 5])
    for name in ("coef_", "offset_" if hasattr(parts[0], "offset_") else "intercept_"):
        expected = mean_of(parts, name, [1, 2, 5])
        np.testing.assert_allclose(getattr(averaged, name), expected, rtol=1e-12)


@each_model
def test_the_average_has_the_attributes_of_the_first_and_the_most_steps(model):
    parts = parts_of(model)
    averaged = average(*parts)
    assert list(vars(averaged)) == list(vars(parts[0]))
    assert averaged.t_ == 41
    assert averaged.coef_.shape == parts[0].coef_.shape


@each_model
def test_the_averaged_models_are_not_changed(model):
    parts = parts_of(model)
    averaged = average(*parts)
    averaged.coef_[:] = np.nan
    for part, same in zip(parts, parts_of(model), strict=True):
        assert_same_state(part, same)


@each_model
def test_the_average_of_equal_models_goes_on_like_one_of_them(model):
    first = fitted(model, slice(0, 40))
    averaged = average(first, fitted(model, slice(0, 40)))
    for one in (averaged, first):
        X = np.random.default_rng(1).normal(size=(30, 4))
        data = (X,) if isinstance(one, SGDOneClassSVM) else (X, np.arange(30) % 3)
        one.partial_fit(*data)
    np.testing.assert_array_equal(averaged.coef_, first.coef_)


@with_average
@pytest.mark.parametrize("steps", [True, 30])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_running_means_are_averaged_over_the_models_that_have_one(
    model, steps, n_classes
):
    model = clone(model).set_params(average=steps)
    parts = parts_of(model, n_classes=n_classes)
    averaged = average(*parts, weights=[2, 3, 4])
    weights = [2, 3, 4] if steps is True else [0, 3, 4]
    for name in ("_average_coef", "_average_intercept"):
        expected = mean_of(parts, name, weights)
        np.testing.assert_allclose(getattr(averaged, name), expected, rtol=1e-12)
    for name in ("_standard_coef", "_standard_intercept"):
        expected = mean_of(parts, name, [2, 3, 4])
        np.testing.assert_allclose(getattr(averaged, name), expected, rtol=1e-12)
    expected = averaged._average_coef.reshape(averaged.coef_.shape)
    np.testing.assert_array_equal(averaged.coef_, expected)


@with_average
def test_a_running_mean_that_has_not_begun_is_not_used(model):
    model = clone(model).set_params(average=1000)
    parts = parts_of(model)
    averaged = average(*parts)
    np.testing.assert_allclose(
        averaged.coef_, mean_of(parts, "coef_", None), rtol=1e-12
    )
    assert not averaged._average_coef.any()


def test_the_float_type_stays():
    parts = parts_of(SGDClassifier(random_state=0), dtype=np.float32)
    assert average(*parts).coef_.dtype == np.float32


def test_a_type_that_is_not_registered_is_refused():
    with pytest.raises(TypeError, match=r"`average.register`, got MLPClassifier"):
        average(MLPClassifier(), MLPClassifier())


@pytest.mark.parametrize("weights", [[1, 2], [1, 1, -1], [0, 0, 0], [[1, 1, 1]]])
def test_wrong_weights_are_refused(weights):
    parts = parts_of(SGDClassifier(random_state=0))
    with pytest.raises(ValueError, match="weights must be 3 numbers of 0 or more"):
        average(*parts, weights=weights)


def test_a_subclass_that_learns_in_its_own_way_is_not_averaged():
    class Own(SGDClassifier):
        def partial_fit(self, X, y):
            return self

    class Same(PassiveAggressiveClassifier):
        pass

    assert not average.learns_as_registered(Own())
    assert average.learns_as_registered(Same())
