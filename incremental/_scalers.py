"""What is known of scalers: they ignore y, and learn from each value alone."""

from __future__ import annotations

from typing import Any

import numpy as np

CACHED_VALUES = 1_000_000


def is_scaler(estimator: Any) -> bool:
    """Tell whether an estimator learns as scikit-learn's scalers do."""
    # Imported only where used, because it costs more than the rest of the package.
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

    own = type(estimator)
    return any(
        issubclass(own, base) and own.partial_fit is base.partial_fit
        for base in (MaxAbsScaler, MinMaxScaler, StandardScaler)
    )


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
    return max(CACHED_VALUES // max(int(X.shape[1]), 1), 1)
