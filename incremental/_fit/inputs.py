"""Checks of what a fit is given, as far as they need no reading.

The dimensions and types of X, the number of columns of y, and options are checked only
for scikit-learn's own estimators; others may take what these refuse. If X is in memory,
only options are checked here: scikit-learn checks the rest at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import get_tags

from incremental._blocks.collections import as_collection, is_lazy
from incremental._blocks.columns import check_declared_columns, learned_columns
from incremental._estimators.composition import first_step, last_step
from incremental._typing import Data, Estimator


def check_rows(estimator: Estimator, rows: Mapping[str, Data]) -> None:
    """Check X, y and the weights, before any of them is read.

    Parameters
    ----------
    estimator : estimator
        The estimator that will learn. It may be fitted.
    rows : dict of str to dask collection or data in memory
        X, y and what else has an entry for each row, by name.

    Raises
    ------
    ValueError
        If the estimator is known to refuse one of them.
    """
    X = rows["X"]
    if not is_lazy(X):
        return
    _check_size(X)
    check_declared_columns(X, learned_columns(estimator), "the fitted estimator")
    for name, value in rows.items():
        _check_dimensions(name, value)
    first, last = first_step(estimator), last_step(estimator)
    if _is_scikit_learns(first) and get_tags(first).input_tags.two_d_array:
        _check_table(X, first)
    if _is_scikit_learns(last):
        _check_outputs(rows.get("y"), last)


def check_options(estimator: Estimator) -> None:
    """Refuse options of an estimator that its ``partial_fit`` does not support.

    Raises
    ------
    ValueError
        If it is one of scikit-learn's and has such an option.
    """
    last = last_step(estimator)
    if not _is_scikit_learns(last):
        return
    name = type(last).__name__
    if getattr(last, "early_stopping", False) is True:
        raise ValueError(
            f"{name}(early_stopping=True) cannot be fitted block by block; expected "
            "False. `Incremental(..., early_stopping=True)` holds out whole blocks."
        )
    if getattr(last, "class_weight", None) == "balanced":
        raise ValueError(
            f"{name}(class_weight='balanced') cannot be fitted block by block: the "
            "weights depend on all of y. Expected None or a dict; compute one with "
            "`sklearn.utils.compute_class_weight('balanced', classes=classes, y=y)` on "
            "a sample of y."
        )


def _is_scikit_learns(estimator: Estimator) -> bool:
    return type(estimator).__module__.startswith("sklearn.")


def _shape(value: Data) -> tuple[Any, ...]:
    """Return the shape of data; an empty one if they do not have any."""
    return tuple(getattr(as_collection(value).value, "shape", ()))


def _check_size(X: Data) -> None:
    rows = as_collection(X).n_rows
    if rows is not None and sum(rows) == 0:
        raise ValueError(
            "X has no rows; expected at least one. Check the filters that it came from."
        )
    # An unknown number is not equal to 0.
    if 0 in _shape(X)[1:]:
        raise ValueError(
            f"X has shape {_describe(X)}: no columns; expected at least one. Check "
            "which columns were selected."
        )


def _check_dimensions(name: str, value: Data) -> None:
    dimensions = len(_shape(value))
    if name == "y" and dimensions > 2:
        raise ValueError(
            f"y has {dimensions} dimensions (shape {_describe(value)}); expected one "
            "value for each row, or a row of values."
        )
    if name.rpartition("__")[2] == "sample_weight" and dimensions > 1:
        raise ValueError(
            f"{name} has {dimensions} dimensions (shape {_describe(value)}); expected "
            "one weight for each row. Take one of its columns."
        )


def _check_table(X: Data, estimator: Estimator) -> None:
    """Check the X of an estimator that takes tables of numbers."""
    name = type(estimator).__name__
    shape = _shape(X)
    if shape and len(shape) != 2:
        advice = (
            "Stack what belongs to a row: `X.reshape(len(X), -1)`."
            if len(shape) > 2
            else "Use `X.reshape(-1, 1)`, or `df[['name']]` for one column of a frame."
        )
        raise ValueError(
            f"X has {len(shape)} dimensions (shape {_describe(X)}); {name} expects 2: "
            f"rows and columns. {advice}"
        )
    for column, dtype in _types(X):
        if getattr(dtype, "kind", "") in "cmM":
            which = "X" if column is None else f"The column {column!r} of X"
            raise ValueError(
                f"{which} is of type {dtype}; {name} expects numbers. Leave it out, or "
                "turn it into real numbers before."
            )


def _check_outputs(y: Data, estimator: Estimator) -> None:
    shape = () if y is None else _shape(y)
    several = len(shape) == 2 and shape[1] == shape[1] and shape[1] > 1
    tags = get_tags(estimator)
    # Transformers and clusterers may take any y.
    learns_y = tags.classifier_tags is not None or tags.regressor_tags is not None
    if several and learns_y and not tags.target_tags.multi_output:
        raise ValueError(
            f"y has {shape[1]} columns; {type(estimator).__name__} expects one. Use "
            "`sklearn.multioutput.MultiOutputClassifier` or `MultiOutputRegressor` "
            "around it, or take one column."
        )


def _types(X: Data) -> list[tuple[Any, Any]]:
    """List the columns of X with their types; an array has one type for all."""
    example = as_collection(X).example
    dtypes: Any = getattr(example, "dtypes", None)
    if hasattr(dtypes, "items"):
        return list(dtypes.items())
    dtype = getattr(example, "dtype", None)
    return [(None, dtype)] if isinstance(dtype, np.dtype) else []


def _describe(value: Data) -> str:
    """Describe the shape of data, with a question mark where it is unknown."""
    sizes = [
        "?" if not isinstance(size, int | float) or size != size else str(int(size))
        for size in _shape(value)
    ]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
