"""What is known of some of scikit-learn's estimators, beyond what they declare."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from incremental._blocks.rows import rows_in_cache

_SCALERS = ["MaxAbsScaler", "MinMaxScaler", "StandardScaler"]
_SGD = ["SGDClassifier", "SGDRegressor", "SGDOneClassSVM"]


def is_scaler(estimator: Any) -> bool:
    """Tell whether an estimator learns as scikit-learn's scalers do.

    They ignore y, and treat each value alone.
    """
    return _inherits(estimator, "partial_fit", "sklearn.preprocessing", _SCALERS)


def scales_each_value(estimator: Any) -> bool:
    """Tell whether an estimator transforms as scikit-learn's scalers do.

    What it yields for a row does not depend on other rows, not by a bit.
    """
    return _inherits(estimator, "transform", "sklearn.preprocessing", _SCALERS)


def learns_row_by_row(estimator: Any) -> bool:
    """Tell whether an estimator learns as scikit-learn's SGD models do.

    `sklearn.linear_model.Perceptron` is one of them. They take one row after the other
    from a copy in C order: that X lies in memory in another way makes no difference,
    not by a bit.
    """
    return all(
        _inherits(estimator, method, "sklearn.linear_model", _SGD)
        for method in ("partial_fit", "_partial_fit")
    )


def has_callbacks(estimator: Any) -> bool:
    """Tell whether an estimator has callbacks that its fit has to call."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def learns_moments(estimator: Any) -> bool:
    """Tell whether an estimator learns as scikit-learn's StandardScaler does."""
    names = ["StandardScaler"]
    return _inherits(estimator, "partial_fit", "sklearn.preprocessing", names)


def _inherits(estimator: Any, method: str, module: str, names: list[str]) -> bool:
    # Not imported, because that costs more than the rest of the package: nothing can
    # be of a type that is not loaded.
    bases = [getattr(sys.modules.get(module), name, None) for name in names]
    own = getattr(type(estimator), method, None)
    if own is None or method in vars(estimator):
        return False
    return any(own is getattr(base, method, None) for base in bases)


def cached_rows(estimator: Any, X: Any) -> int | None:
    """Return how many rows of a block an estimator is best given at once.

    Scalers make temporaries as large as what they are given. Where these do not fit in
    the processor's cache, most of the time goes into memory.

    Parameters
    ----------
    estimator : estimator
        One whose states merge.
    X : array, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    int or None
        None for all of them: where X is not a dense table, or for estimators that are
        not scalers, whose sums would round differently.
    """
    dense = isinstance(X, np.ndarray) or hasattr(X, "iloc")
    if not dense or X.ndim != 2 or not is_scaler(estimator):
        return None
    return rows_in_cache(X)
