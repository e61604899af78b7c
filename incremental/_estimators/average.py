"""`average`: the registry of estimators whose learned parameters may be averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from incremental._estimators.registry import TypeRegistry
from incremental._typing import EstimatorT


class Average(TypeRegistry):
    """A function that averages the learned parameters of fitted estimators.

    It calls the function that is registered for the type of the first estimator.
    ``Incremental(..., replicas=R)`` calls it after each pass, with the copies of the
    estimator that learned from different blocks. An estimator of a subclass that
    overrides ``partial_fit`` is not averaged.

    Register a function for another type with ``average.register``. The function takes
    the estimators and, by keyword, ``weights``, an array with a weight for each, whose
    sum is 1. It must return a new estimator and leave its arguments unchanged.

    References
    ----------
    McDonald, Hall and Mann (2010). Distributed Training Strategies for the Structured
    Perceptron. NAACL-HLT 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import SGDRegressor
    >>> from incremental import average
    >>> X, y = np.eye(2), np.arange(2.0)
    >>> one = SGDRegressor(random_state=0).partial_fit(X[:1], y[:1])
    >>> other = SGDRegressor(random_state=0).partial_fit(X[1:], y[1:])
    >>> averaged = average(one, other, weights=[1, 3])
    >>> bool((averaged.coef_ == 0.25 * one.coef_ + 0.75 * other.coef_).all())
    True

    A type of one's own:

    >>> from sklearn.base import BaseEstimator
    >>> class Level(BaseEstimator):
    ...     def partial_fit(self, X, y=None):
    ...         self.level_ = float(np.mean(X))
    ...         return self
    >>> @average.register
    ... def average_levels(*levels: Level, weights) -> Level:
    ...     averaged = Level()
    ...     averaged.level_ = float(np.dot(weights, [one.level_ for one in levels]))
    ...     return averaged
    >>> average(Level().partial_fit([[1]]), Level().partial_fit([[3]])).level_
    2.0
    """

    def __call__(
        self,
        first: EstimatorT,
        *others: EstimatorT,
        weights: Sequence[float] | None = None,
    ) -> EstimatorT:
        """Return a new estimator with the averaged parameters of all arguments.

        Parameters
        ----------
        first : estimator
            Fitted.
        *others : estimator
            Fitted, of the same type and with the same parameters.
        weights : sequence of float, optional
            A weight of 0 or more for each, such as how many rows it learned from. By
            default all count the same.

        Returns
        -------
        estimator

        Raises
        ------
        TypeError
            If no function is registered for the type of the first.
        ValueError
            If `weights` are not as many as the estimators, or have no positive sum.
        """
        found = self.find(type(first))
        if found is None:
            raise TypeError(
                "Expected an estimator whose type is registered with "
                f"`average.register`, got {type(first).__name__}. It is not known how "
                "to average what it has learned."
            )
        n_estimators = 1 + len(others)
        given = np.asarray([1] * n_estimators if weights is None else weights, float)
        if given.shape != (n_estimators,) or given.min() < 0 or not given.sum() > 0:
            raise ValueError(
                f"weights must be {n_estimators} numbers of 0 or more, one for each "
                f"estimator, with a positive sum; got {weights!r}."
            )
        averaged: EstimatorT = found[1](first, *others, weights=given / given.sum())
        return averaged


average = Average("incremental._estimators.sklearn_averages")
