"""The estimators of scikit-learn whose learned parameters may be averaged.

This module reads and writes private attributes of the linear models that learn by
stochastic gradient descent: with ``average`` they keep both the parameters of the last
step and the running mean of those of all steps. Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import (
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)

from incremental._estimators.average import average
from incremental._estimators.copying import copy_estimator

_LAST = ("_standard_coef", "_standard_intercept")
_MEAN = ("_average_coef", "_average_intercept")


@average.register(PassiveAggressiveClassifier)
@average.register(PassiveAggressiveRegressor)
@average.register(Perceptron)
@average.register(SGDClassifier)
@average.register(SGDOneClassSVM)
@average.register(SGDRegressor)
def _average_linear(*models: Any, weights: NDArray[np.float64]) -> Any:
    averaged = copy_estimator(models[0])
    # Learning rates go on as in a fit of the rows of one model.
    averaged.t_ = max(model.t_ for model in models)
    _put_mean(averaged, models, weights, ("coef_", "intercept_", "offset_"))
    if not averaged.average:
        return averaged
    _put_mean(averaged, models, weights, _LAST)
    # A model that has made too few steps has no running mean yet.
    begun = np.array([model.average <= model.t_ - 1 for model in models])
    if not (weights * begun).any():
        return averaged
    share = weights * begun / (weights * begun).sum()
    _put_mean(averaged, models, share, _MEAN)
    coef, intercept = (getattr(averaged, name) for name in _MEAN)
    averaged.coef_ = coef.reshape(averaged.coef_.shape)
    if hasattr(averaged, "offset_"):
        averaged.offset_ = 1 - intercept
    else:
        averaged.intercept_ = intercept
    return averaged


def _put_mean(
    averaged: Any,
    models: Sequence[Any],
    weights: NDArray[np.float64],
    names: Sequence[str],
) -> None:
    """Give a model the means of some attributes of others, as far as it has them."""
    for name in names:
        # The intercept of a one-class model is a property that follows its offset.
        if name in vars(averaged):
            parts = [getattr(model, name) for model in models]
            mean = sum(w * part for w, part in zip(weights, parts, strict=True))
            setattr(averaged, name, np.asarray(mean, dtype=parts[0].dtype))
