"""`merge`: the registry of estimators whose fitted states merge exactly."""

from __future__ import annotations

from incremental._estimators.registry import TypeRegistry
from incremental._typing import EstimatorT


class Merge(TypeRegistry):
    """A function that merges fitted estimators into one fitted on all their rows.

    It calls the function that is registered for the type of the first estimator.
    `Incremental` fits an estimator of a registered type on all blocks in parallel,
    and merges the results in the order of the blocks. An estimator of a subclass that
    overrides ``partial_fit`` is fitted on one block after the other instead.

    Register a function for another type with ``merge.register``. The function must
    return a new estimator and leave its arguments unchanged. The new estimator must
    equal one that learned from the rows of the first argument, then from those of the
    second, and so on.

    References
    ----------
    Chan, Golub and LeVeque (1982). Updating formulae and a pairwise algorithm for
    computing sample variances. COMPSTAT 1982.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from incremental import merge
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> merged = merge(StandardScaler().fit(X[:2]), StandardScaler().fit(X[2:]))
    >>> merged.mean_
    array([5., 6.])

    A type of one's own:

    >>> from sklearn.base import BaseEstimator
    >>> class Count(BaseEstimator):
    ...     n_ = 0
    ...
    ...     def partial_fit(self, X, y=None):
    ...         self.n_ += len(X)
    ...         return self
    >>> @merge.register
    ... def merge_counts(first: Count, *others: Count) -> Count:
    ...     merged = Count()
    ...     merged.n_ = first.n_ + sum(other.n_ for other in others)
    ...     return merged
    >>> merge(Count().partial_fit(X), Count().partial_fit(X)).n_
    12
    """

    def __call__(self, first: EstimatorT, *others: EstimatorT) -> EstimatorT:
        """Return a new estimator that is fitted on the rows of all arguments.

        Parameters
        ----------
        first : estimator
            Fitted.
        *others : estimator
            Fitted, of the same type and with the same parameters.

        Returns
        -------
        estimator

        Raises
        ------
        TypeError
            If no function is registered for the type of the first.
        """
        found = self.find(type(first))
        if found is None:
            raise TypeError(
                "Expected an estimator whose type is registered with "
                f"`merge.register`, got {type(first).__name__}. Its fitted states are "
                "not known to merge exactly."
            )
        merged: EstimatorT = found[1](first, *others)
        return merged


merge = Merge("incremental._estimators.sklearn_merges")
