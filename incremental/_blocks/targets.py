"""The values of y: numbers in arrays of objects, and missing values."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incremental._blocks.rows import is_pandas
from incremental._typing import Piece

_INTEGERS = (int, np.integer)
_NUMBERS = (*_INTEGERS, float, np.floating)


def as_target(y: Piece) -> Piece:
    """Return y with its values in their natural type.

    dask makes arrays of objects of columns with nullable, Arrow and categorical types.
    scikit-learn takes no such y. Missing numbers become NaN.

    Parameters
    ----------
    y : array, frame or list of shape (n_samples,) or (n_samples, n_outputs)

    Returns
    -------
    array, frame or list
        y itself, unless it is an array of objects that are all numbers or all
        booleans, or a dataframe with types that NumPy lacks: an array.

    Raises
    ------
    ValueError
        If values of y are pandas' NA and the others are no numbers.
    """
    if is_pandas(y) and y.ndim == 2:
        # NumPy would make an array of objects of a dataframe of nullable columns.
        nullable = not all(isinstance(dtype, np.dtype) for dtype in y.dtypes)
        values = _natural(y.to_numpy(dtype=object)) if nullable else y
        return values if nullable and values.dtype.kind != "O" else y
    if isinstance(y, np.ndarray) and y.dtype.kind == "O":
        y = _natural(y)
    pandas = sys.modules.get("pandas")
    if pandas is not None and _may_hold_na(y):
        values = np.asarray(y, dtype=object)
        if any(one is pandas.NA for one in values.ravel().tolist()):
            check_missing([values])
    return y


def _may_hold_na(y: Piece) -> bool:
    """Tell whether y may hold pandas' NA where scikit-learn does not expect it."""
    if isinstance(y, np.ndarray):
        return bool(y.dtype.kind == "O")
    # scikit-learn knows missing numbers in a series.
    return is_pandas(y) and bool(y.dtype.kind in "OU")


def check_missing(columns: list[NDArray[Any]]) -> None:
    """Check that no values of y are missing.

    Parameters
    ----------
    columns : list of array
        The columns of y.

    Raises
    ------
    ValueError
        If some are. The message counts them.
    """
    missing = sum(_count_missing(column) for column in columns)
    if missing:
        raise ValueError(
            f"y holds {missing} missing values (NaN, None or NA), which are no class. "
            "Leave out their rows where X, y and all other rows come from, for example "
            'with `df.dropna(subset=["y"])` before X and y are taken from df.'
        )


def _count_missing(column: NDArray[Any]) -> int:
    if column.dtype.kind in "fcmM":
        return int(np.count_nonzero(column != column))
    if column.dtype.kind != "O":
        return 0
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        return int(np.count_nonzero(pandas.isna(column)))
    return sum(one is None or bool(one != one) for one in column)


def _natural(y: NDArray[Any]) -> NDArray[Any]:
    pandas = sys.modules.get("pandas")
    missing = {type(None)} | (set() if pandas is None else {type(pandas.NA)})
    values = y.ravel().tolist()
    types = set(map(type, values))
    present = types - missing
    if not present:
        return y
    if types == present and all(issubclass(t, bool | np.bool_) for t in types):
        return y.astype(bool)
    if any(not issubclass(t, _NUMBERS) or issubclass(t, bool) for t in present):
        return y
    if types == present and all(issubclass(t, _INTEGERS) for t in types):
        whole = np.array(values)  # of objects or floats if they exceed 64 bits
        return whole.reshape(y.shape) if whole.dtype.kind in "iu" else y
    floats = [np.nan if type(one) in missing else one for one in values]
    cast = np.array(floats, dtype=float)
    same = all(a == b or a != a for a, b in zip(floats, cast.tolist(), strict=True))
    return cast.reshape(y.shape) if same else y
