"""The classes of a classifier: found in y, and checked in every block."""

from __future__ import annotations

import logging
from collections.abc import Set
from functools import reduce
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from incremental._blocks.block import Block
from incremental._blocks.collections import as_collection
from incremental._blocks.rows import is_pandas
from incremental._blocks.targets import check_missing
from incremental._estimators.foreign import tags_of
from incremental._graph.blocks import read_blocks
from incremental._graph.fold import map_blocks
from incremental._typing import Classes, Data, Estimator, Piece

logger = logging.getLogger("incremental")

_MOST_LISTED = 10


def find_classes(estimator: Estimator, y: Data) -> Classes:
    """Find the classes in y.

    If y is categorical and dask knows its categories, these are the classes. Otherwise
    one parallel pass over y alone finds them.

    Parameters
    ----------
    estimator : estimator
        The classifier that needs the classes.
    y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs)

    Returns
    -------
    ndarray of shape (n_classes,), or a list of them
        A list has one entry for each column of y. If the columns are labels to the
        estimator (multilabel), the classes are the numbers of the columns.

    Raises
    ------
    ValueError
        If values of y are missing.
    """
    tags = tags_of(estimator).classifier_tags
    if n_outputs(y) > 1 and tags is not None and tags.multi_label:
        return np.arange(n_outputs(y))
    categories = as_collection(y).categories
    if categories is not None:
        return np.unique(np.asarray(categories))
    blocks = read_blocks({"y": y})
    if not blocks.in_memory:
        logger.info("Finding the classes in a pass over y; pass `classes` to save it.")
    return _join(map_blocks(blocks, _unique_in, name="find-classes"))


def as_classes(classes: Classes) -> Classes:
    """Return the `classes` that the user gives, in memory; sort them if they are a set.

    Dask collections, and those in a list, are computed together.

    Parameters
    ----------
    classes : array-like or collection of shape (n_classes,), a list of them, or a set

    Returns
    -------
    array-like
        `classes`, or a sorted list of a set.

    Raises
    ------
    TypeError
        If `classes` is of another kind.
    ValueError
        If there are none, or if one is missing.
    """
    (classes,) = dask.compute(classes)
    if isinstance(classes, Set):
        classes = sorted(classes)
    elif is_pandas(classes):
        classes = np.asarray(classes)  # its labels may be any, and 0 not among them
    if isinstance(classes, str) or not hasattr(classes, "__len__"):
        raise TypeError(
            f"classes must be an array-like or a dask collection, got "
            f"{type(classes).__name__}; expected a list such as [0, 1], or "
            "`da.unique(y)`."
        )
    _check_given(classes)
    return classes


def _check_given(classes: Classes) -> None:
    """Check that there are classes, and that none is missing."""
    for known in classes if len(classes) and _is_nested(classes) else [classes]:
        if len(known) == 0:
            raise ValueError(
                f"classes is empty (got {classes!r}); expected all classes that occur "
                "in y, such as [0, 1]. Without `classes` they are found in y."
            )
        if any(one is None or one != one for one in known):
            raise ValueError(
                f"classes holds a missing value (got {_listed(known)}), which is no "
                "class. Leave it out, and the rows whose y is missing too."
            )


def check_classes(y: Piece, classes: Classes) -> None:
    """Check that y holds only known classes.

    Parameters
    ----------
    y : array or frame of shape (n_samples,) or (n_samples, n_outputs)
        The y of one block.
    classes : array-like of shape (n_classes,), or a list of them
        The known classes, of each column of y if they are a list.

    Raises
    ------
    ValueError
        If y holds another class or a missing value.
    """
    columns = _columns(y)
    per_output = classes if _is_nested(classes) else [classes]
    if len(columns) != len(per_output):
        return
    for column, known in zip(columns, per_output, strict=True):
        unknown = _unknown(column, np.asarray(known))
        if len(unknown):
            check_missing([unknown])
            raise ValueError(
                f"y holds the classes {_listed(_unique(unknown)[0])}, which are not "
                f"among classes={_listed(known)}. Pass all classes that occur in the "
                "data as `classes`."
            )


def _listed(classes: Classes) -> str:
    """List classes for a message: all, or the first few and how many there are."""
    values = np.asarray(classes).tolist()
    if len(values) <= _MOST_LISTED:
        return str(values)
    first = ", ".join(map(repr, values[:_MOST_LISTED]))
    return f"[{first}, …] ({len(values)} in all)"


def n_outputs(y: Data) -> int:
    """Count the columns of y; 1 if it has one dimension."""
    if y is None:
        return 1
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    # A dask array may not know its number of columns: it is NaN, unequal to itself.
    counted = len(shape) == 2 and shape[1] == shape[1]
    return int(shape[1]) if counted else 1


def _is_nested(classes: Classes) -> bool:
    """Tell whether there are classes for each of several columns of y."""
    return len(classes) > 0 and np.ndim(classes[0]) == 1


def _columns(y: Piece) -> list[NDArray[Any]]:
    """Return the columns of y, as a list of arrays."""
    values = np.asarray(y)
    return [values] if values.ndim == 1 else list(values.T)


def _unique_in(block: Block) -> list[NDArray[Any]]:
    return _unique(block["y"])


def _unique(y: Piece) -> list[NDArray[Any]]:
    """Return the classes in each column of y. Raise if a value is missing."""
    columns = _columns(y)
    check_missing(columns)
    return [np.unique(column) for column in columns]


def _unknown(column: NDArray[Any], known: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a column that are no known classes."""
    try:
        return column[~np.isin(column, known)]
    except TypeError:
        check_missing([column])  # pandas' NA cannot be compared
        raise


def _join(found: list[list[NDArray[Any]]]) -> Classes:
    """Unite the classes that were found in blocks.

    Parameters
    ----------
    found : list of list of ndarray
        For each block, the classes in each column of y.

    Returns
    -------
    ndarray, or a list of them
        A list if y has several columns.
    """
    per_output = [reduce(np.union1d, parts) for parts in zip(*found, strict=True)]
    return per_output[0] if len(per_output) == 1 else per_output
