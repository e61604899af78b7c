"""Copies of estimators and data that behave exactly as the original.

This module touches private state of `sklearn.cluster.Birch`: the nodes of its tree.
Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from operator import setitem
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from incremental._blocks.rows import is_one_array, is_pandas
from incremental._estimators.composition import last_step
from incremental._estimators.foreign import params_of
from incremental._typing import Estimator, Piece

Value = TypeVar("Value")

# The shape and type of each array, and its strides if it has gaps in memory, else None.
Layout = list[tuple[Any, ...]]


def copy_estimator(estimator: Estimator) -> Estimator:
    """Return a deep copy that goes on learning exactly as the original would.

    Parameters
    ----------
    estimator : estimator
        It may have been unpickled. Its arrays may be read-only.
    """
    copied = _laid_out(copy.deepcopy(estimator), layout_of(estimator))
    for node in _birch_nodes(copied):
        # A node of Birch writes to a buffer and reads from a view of it. A copy or a
        # pickle has two separate arrays instead.
        size = len(node.subclusters_)
        node.centroids_ = node.init_centroids_[:size, :]
        node.squared_norm_ = node.init_sq_norm_[:size]
    return copied


class Travelling(Generic[Value]):
    """A wrapper around a value that keeps the memory layout of its arrays in a pickle.

    An array that is a slice of another one may have gaps in memory. Pickle and `copy`
    leave the gaps out. Without them NumPy adds up products in another order, and rounds
    the results differently.

    Parameters
    ----------
    value : object
        Anything that pickles, such as an estimator.
    """

    def __init__(self, value: Value) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the value, and where its arrays have gaps."""
        return _arrived, (self.value, layout_of(self.value))


def layout_of(value: object) -> Layout:
    """Return the layout of all arrays in a value; [] if no array has gaps."""
    arrays = [array for array, _ in _arrays(value)]
    has_gaps = [_has_gaps(array) for array in arrays]
    if not any(has_gaps):
        return []
    return [
        (array.shape, array.dtype, array.strides if gaps else None)
        for array, gaps in zip(arrays, has_gaps, strict=True)
    ]


def _has_gaps(array: NDArray[Any]) -> bool:
    if array.flags.forc or array.dtype.hasobject:
        return False
    return bool(array.size) and min(array.strides) > 0


def _arrived(value: Value, layout: Layout) -> Travelling[Value]:
    return Travelling(_laid_out(value, layout))


def _laid_out(value: Value, layout: Layout) -> Value:
    """Put the gaps back into the arrays of a copy, which is changed and returned.

    Parameters
    ----------
    value : object
        The copy.
    layout : list
        The layout of the original. If the copy has other arrays, it stays as it is.
    """
    found = list(_arrays(value)) if layout else []
    alike = [(array.shape, array.dtype) for array, _ in found]
    # The copy may have fewer arrays, because some classes do not copy all of them.
    if alike != [(shape, dtype) for shape, dtype, _ in layout]:
        return value
    made: dict[int, NDArray[Any]] = {}
    for (array, put), (_, _, strides) in zip(found, layout, strict=True):
        if strides is not None and id(array) not in made:
            made[id(array)] = _with_strides(array, strides)
        if id(array) in made:
            put(made[id(array)])
    return value


def _with_strides(array: NDArray[Any], strides: tuple[int, ...]) -> NDArray[Any]:
    """Copy an array to new memory, with these distances in bytes between values."""
    reach = sum((n - 1) * step for n, step in zip(array.shape, strides, strict=True))
    buffer = np.empty(reach + array.itemsize, np.uint8)
    spaced = np.ndarray(array.shape, array.dtype, buffer, strides=strides)
    spaced[...] = array
    return spaced


def _arrays(
    value: object,
) -> Iterator[tuple[NDArray[Any], Callable[[NDArray[Any]], None]]]:
    """Yield the arrays that a value holds, in its attributes, lists and dicts.

    Arrays that lie directly in a tuple are left out, because nothing in a tuple can be
    replaced.

    Yields
    ------
    array : ndarray
    put : callable
        ``put(other)`` puts another array in its place.
    """
    seen: set[int] = set()
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, tuple):
            stack.extend(one)
            continue
        holder = one if isinstance(one, dict | list) else getattr(one, "__dict__", None)
        if holder is None or isinstance(one, type) or id(holder) in seen:
            continue
        seen.add(id(holder))
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, held in items:
            if type(held) is np.ndarray:
                yield held, partial(setitem, holder, key)
            elif not isinstance(held, str | int | float | None):
                stack.append(held)


def aligned(piece: Piece) -> Piece:
    """Return data that is aligned in memory, copied if it is not.

    Data that came over a network may begin at any address. NumPy then uses slower
    loops, which round differently.

    Parameters
    ----------
    piece : array, sparse matrix, frame or list
    """
    if all(array.flags.aligned for array in _buffers(piece)):
        return piece
    if isinstance(piece, np.ndarray):
        return piece.copy(order="K")
    if is_one_array(piece):
        # The copy lies in memory as the original does, since sums depend on that.
        values = piece.to_numpy().copy(order="K")
        return type(piece)(values, piece.index, piece.columns, copy=False)
    return piece.copy()


def writes_to_input(estimator: Estimator, **params: Any) -> bool:
    """Tell whether an estimator may overwrite the data that it is given.

    Such an estimator has to get a copy, because a block may be a view of the user's
    array.

    Parameters
    ----------
    estimator : estimator
    **params
        Arguments of the method that gets the data, such as ``copy``. They override the
        parameters of the estimator.
    """
    return any(
        name.rpartition("__")[2] in ("copy", "copy_X", "copy_x") and not value
        for name, value in {**params_of(estimator), **params}.items()
    )


def _buffers(piece: Piece) -> list[NDArray[Any]]:
    """Return the arrays that hold the values of data in memory.

    For a list, and for columns that are no NumPy arrays, there are none.
    """
    if is_pandas(piece):
        columns = (
            [piece] if piece.ndim == 1 else [column for _, column in piece.items()]
        )
        plain = (column for column in columns if isinstance(column.dtype, np.dtype))
        return [column.to_numpy() for column in plain]
    if isinstance(piece, np.ndarray):
        return [piece]
    return [piece.data] if hasattr(piece, "tocsr") else []


def _birch_nodes(estimator: Estimator) -> Iterator[Any]:
    """Yield the nodes of a fitted Birch's tree; none for another estimator."""
    nodes: list[Any] = [getattr(last_step(estimator), "root_", None)]
    while nodes:
        node = nodes.pop()
        if hasattr(node, "init_centroids_") and node.subclusters_:
            yield node
            nodes.extend(subcluster.child_ for subcluster in node.subclusters_)
