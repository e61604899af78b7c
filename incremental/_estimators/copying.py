"""Copies of estimators and data that go on exactly as the original would.

This is the only module that touches an estimator's private state: the nodes of
`sklearn.cluster.Birch`. Tested with scikit-learn 1.6 and
1.9.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from operator import setitem
from typing import Any

import numpy as np

from incremental._blocks.rows import is_pandas
from incremental._estimators.composition import last_step
from incremental._typing import Estimator

# The shape and type of each array of a value, and the strides of those with gaps.
Layout = list[tuple[Any, ...]]


def copy_estimator(estimator: Estimator) -> Any:
    """Return a deep copy that ``partial_fit`` continues as it would the original.

    Parameters
    ----------
    estimator : estimator
        It may have been pickled before; its arrays may be read-only.
    """
    copied = _laid_out(copy.deepcopy(estimator), layout_of(estimator))
    for node in _birch_nodes(copied):
        # The nodes of Birch write to a buffer and read from a view of it. Copying and
        # pickling make two arrays of them.
        size = len(node.subclusters_)
        node.centroids_ = node.init_centroids_[:size, :]
        node.squared_norm_ = node.init_sq_norm_[:size]
    return copied


class Travelling:
    """A value whose arrays lie in memory as before when it was pickled.

    Pickle and `copy` leave out the gaps of an array that is a part of another one. The
    sums of a product are made in another order then, and round differently.

    Parameters
    ----------
    value : object
        Such as an estimator.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the value and where its arrays have gaps."""
        return _arrived, (self.value, layout_of(self.value))


def layout_of(value: Any) -> Layout:
    """Describe the arrays of a value; empty if none of them has gaps in memory."""
    arrays = [array for array, _ in _arrays(value)]
    has_gaps = [_has_gaps(array) for array in arrays]
    if not any(has_gaps):
        return []
    return [
        (array.shape, array.dtype, array.strides if gaps else None)
        for array, gaps in zip(arrays, has_gaps, strict=True)
    ]


def _has_gaps(array: Any) -> bool:
    if array.flags.forc or array.dtype.hasobject:
        return False
    return bool(array.size) and min(array.strides) > 0


def _arrived(value: Any, layout: Layout) -> Travelling:
    return Travelling(_laid_out(value, layout))


def _laid_out(value: Any, layout: Layout) -> Any:
    """Put gaps into the arrays of a copy, if it has the same arrays."""
    found = list(_arrays(value)) if layout else []
    alike = [(array.shape, array.dtype) for array, _ in found]
    # A class may leave arrays out of its copies.
    if alike != [(shape, dtype) for shape, dtype, _ in layout]:
        return value
    made: dict[int, Any] = {}
    for (array, put), (_, _, strides) in zip(found, layout, strict=True):
        if strides is not None and id(array) not in made:
            made[id(array)] = _with_strides(array, strides)
        if id(array) in made:
            put(made[id(array)])
    return value


def _with_strides(array: Any, strides: tuple[int, ...]) -> Any:
    reach = sum((n - 1) * step for n, step in zip(array.shape, strides, strict=True))
    buffer = np.empty(reach + array.itemsize, np.uint8)
    spaced = np.ndarray(array.shape, array.dtype, buffer, strides=strides)
    spaced[...] = array
    return spaced


def _arrays(value: Any) -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """Yield the arrays in attributes, lists and dicts, and what replaces each.

    Those that are in tuples themselves are left out, since nothing can replace them.
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


def aligned(piece: Any) -> Any:
    """Return data at addresses that NumPy's fast loops need, copied if it is not.

    Data that came over a network may begin anywhere. NumPy takes other code for it,
    which rounds differently.

    Parameters
    ----------
    piece : array, sparse matrix, frame or list
    """
    if all(array.flags.aligned for array in _buffers(piece)):
        return piece
    return piece.copy()


def writes_to_input(estimator: Estimator, **params: Any) -> bool:
    """Tell whether an estimator may overwrite the data that it is given.

    Blocks may be part of a persisted collection or of the caller's array.

    Parameters
    ----------
    estimator : estimator
    **params
        Arguments of the method that gets the data.
    """
    return any(
        name.rpartition("__")[2] in ("copy", "copy_X", "copy_x") and not value
        for name, value in {**estimator.get_params(), **params}.items()
    )


def _buffers(piece: Any) -> list[Any]:
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
    nodes: list[Any] = [getattr(last_step(estimator), "root_", None)]
    while nodes:
        node = nodes.pop()
        if hasattr(node, "init_centroids_") and node.subclusters_:
            yield node
            nodes.extend(subcluster.child_ for subcluster in node.subclusters_)
