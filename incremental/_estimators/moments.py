"""The moments of a block, as scikit-learn's StandardScaler computes them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from incremental._estimators.traits import has_callbacks


def fit_moments(scaler: Any, X: Any) -> bool:
    """Fit a fresh `sklearn.preprocessing.StandardScaler` on rows, if none are missing.

    To the same bits as its ``partial_fit``, in about 70 % of the time: without looking
    for missing values first, as they show in the moments. ``scale_`` is left to
    `merge`, which computes it anew.

    Parameters
    ----------
    scaler : estimator
        Not fitted.
    X : array, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    bool
        Whether the scaler is fitted; otherwise it is as it was.

    References
    ----------
    Chan, Golub and LeVeque (1983). Algorithms for computing the sample variance:
    analysis and recommendations. The American Statistician 37(3).

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> scaler = StandardScaler()
    >>> fit_moments(scaler, np.array([[1.0], [3.0]]))
    True
    >>> scaler.mean_, scaler.var_
    (array([2.]), array([1.]))
    """
    plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype in ("f4", "f8")
    known = _learns_moments(scaler) and scaler.with_std and not has_callbacks(scaler)
    if not plain or not known:
        return False
    n_rows = len(X)
    with np.errstate(all="ignore"):
        mean = (0.0 + X.sum(axis=0, dtype="f8")) / n_rows
        # Before the other passes over X, as scikit-learn begins anew.
        if not np.isfinite(mean).all():
            return False
        rest = X - mean
        error = rest.sum(axis=0)
        np.square(rest, out=rest)
        var = (rest.sum(axis=0) - error**2 / n_rows) / n_rows
    if not np.isfinite(var).all():
        return False
    # For what it checks and keeps beside the moments.
    scaler.partial_fit(X[:1])
    scaler.mean_, scaler.var_ = mean, var
    scaler.n_samples_seen_ *= n_rows
    return True


def _learns_moments(scaler: Any) -> bool:
    """Tell whether an estimator learns as scikit-learn's StandardScaler does."""
    # Not imported: no object can be of a type whose module is not loaded.
    kind = getattr(sys.modules.get("sklearn.preprocessing"), "StandardScaler", None)
    if kind is None or not isinstance(scaler, kind) or "partial_fit" in vars(scaler):
        return False
    return bool(type(scaler).partial_fit is kind.partial_fit)
