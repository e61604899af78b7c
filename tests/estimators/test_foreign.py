"""Objects that are no scikit-learn estimators."""

import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from incremental._estimators.foreign import check_fitted, params_of, tags_of


class Bare:
    def __init__(self, **methods):
        vars(self).update(methods)


class Named(BaseEstimator):
    """An estimator that keeps what it learned under a name of its choice."""

    def __init__(self, name="model"):
        self.name = name

    def fit(self, X, y=None):
        setattr(self, self.name, len(X))
        return self


class Announced(Named):
    """One whose attribute is there before the fit, without a value."""

    def __init__(self, name="model"):
        super().__init__(name)
        self.model = None


class SaysSo(Named):
    """One that says itself that it is not fitted."""

    def __sklearn_is_fitted__(self):
        return False


def test_the_tags_of_an_estimator_are_its_own():
    assert tags_of(LinearRegression()).estimator_type == "regressor"


@pytest.mark.parametrize(
    ("methods", "needed"),
    [({"predict": len}, False), ({"fit": len}, True), ({"partial_fit": len}, True)],
)
def test_an_object_has_to_be_fitted_if_a_method_fits_it(methods, needed):
    tags = tags_of(Bare(**methods))
    assert tags.requires_fit is needed
    assert tags.estimator_type is None


def test_an_object_without_parameters_has_none():
    assert params_of(Bare()) == {}
    assert params_of(Named("one")) == {"name": "one"}


@pytest.mark.parametrize("kind", [Named, Announced])
@pytest.mark.parametrize("name", ["model", "_model", "model_"])
def test_an_estimator_that_learned_anything_counts_as_fitted(kind, name):
    check_fitted(kind(name).fit([1]))
    with pytest.raises(NotFittedError, match=kind.__name__):
        check_fitted(clone(kind(name)))


def test_the_settings_of_an_output_are_not_taken_for_what_was_learned():
    with pytest.raises(NotFittedError):
        check_fitted(StandardScaler().set_output(transform="pandas"))


def test_an_estimator_is_believed_that_says_it_is_not_fitted():
    with pytest.raises(NotFittedError):
        check_fitted(SaysSo().fit([1]))


def test_an_object_of_which_it_cannot_be_told_is_not_refused():
    check_fitted(Bare(predict=len))
    check_fitted(Bare(fit=len, predict=len))
