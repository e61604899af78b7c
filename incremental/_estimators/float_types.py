"""What to do with later blocks whose float type is not that of the first block."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from incremental._estimators.traits import traits_of
from incremental._typing import Dtype, Estimator, Piece


def in_its_type(estimator: Estimator, X: Piece) -> tuple[Piece, bool]:
    """Cast X to the float type in which an estimator has learned, if need be.

    Parameters
    ----------
    estimator : estimator
    X : array, sparse matrix, frame or list
        In memory.

    Returns
    -------
    X : same kind
        X itself if the estimator takes any float type or X has the right one.
    rounded : bool
        Whether the cast may have rounded values. For an array of integers, whether it
        did.
    """
    wanted = _type_of(estimator)
    own = None if wanted is None else _common_type(X)
    if own is None:
        return X, False
    # An estimator learns in float32 from float32, and in float64 from any other type.
    if wanted == (own if own == np.float32 else np.float64):
        return X, False
    cast = X.astype(wanted)
    if own.kind in "iu" and isinstance(X, np.ndarray):
        return cast, bool((cast != X).any())
    return cast, not np.can_cast(own, wanted, "safe")


def warn_of_rounding() -> None:
    """Warn that values of X were rounded."""
    warnings.warn(
        "The estimator learns in the float type of the first block, float32, and "
        "later blocks of X, of a wider type, were rounded to it. Give all blocks one "
        "type, such as `X.astype('float64')`.",
        UserWarning,
        stacklevel=3,
    )


def _type_of(estimator: Estimator) -> Dtype:
    """Return the type that an estimator needs X to have; None if any will do."""
    attribute = traits_of(estimator).learns_in_type_of
    if attribute is not None:
        return getattr(getattr(estimator, attribute, None), "dtype", None)
    # A meta-estimator passes X on to clones of another estimator, which have the type.
    inner = getattr(estimator, "__dict__", {})
    clones = [*_listed(inner.get("estimators_")), inner.get("estimator_")]
    types = (_type_of(one) for one in clones if hasattr(one, "get_params"))
    return next((dtype for dtype in types if dtype is not None), None)


def _listed(value: object) -> list[Any]:
    """Return a list as it is, and [] for anything else."""
    return value if isinstance(value, list) else []


def _common_type(X: Piece) -> np.dtype[Any] | None:
    """Return the type that X has as one NumPy array; None if NumPy has none."""
    if not hasattr(X, "dtypes"):
        dtype = getattr(X, "dtype", None)
        return dtype if isinstance(dtype, np.dtype) else None
    dtypes = list(np.atleast_1d(np.asarray(X.dtypes, dtype=object)))
    if not dtypes or not all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return None
    # pandas turns a frame of booleans and numbers into an array of objects.
    return np.result_type(*(object if d.kind == "b" else d for d in dtypes))
