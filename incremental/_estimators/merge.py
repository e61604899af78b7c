"""`merge`: the registry of estimators whose fitted states merge exactly."""

from __future__ import annotations

from functools import singledispatch
from importlib import import_module
from typing import Any


@singledispatch
def merge(first: Any, *others: Any) -> Any:
    """Merge fitted estimators into one that is fitted on all of their rows.

    Dispatches on the type of the first. `Incremental` fits estimators of a type that is
    registered here on all blocks in parallel and merges them in the order of the
    blocks; a subclass that overrides ``partial_fit`` is fitted serially all the same.

    Register another type with ``merge.register``. The function must return a new
    estimator, equal to one that is fitted on the rows of the first and then on those of
    the others, and must leave its arguments unchanged.

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
        If nothing is registered for the type of the first.

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
    _register_scikit_learns()
    known = merge.dispatch(type(first))
    if known is not merge.dispatch(object):
        return known(first, *others)
    raise TypeError(
        f"Expected an estimator whose type is registered with `merge.register`, got "
        f"{type(first).__name__}. Its fitted states are not known to merge exactly."
    )


def merges(estimator: Any) -> bool:
    """Tell whether an estimator's state merges as its ``partial_fit`` builds it."""
    _register_scikit_learns()
    kind: Any = type(estimator)
    known: Any = next((base for base in kind.__mro__ if base in merge.registry), object)
    return known is not object and kind.partial_fit is known.partial_fit


def _register_scikit_learns() -> None:
    # Imported only now because it costs more than the rest of the package.
    import_module("incremental._estimators.sklearn_merges")
