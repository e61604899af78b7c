"""What a lazy array was mapped from, so that a later fit can map a part of a block.

A block that is mapped in one piece goes through memory twice as often as one that is
mapped in parts that fit in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from toolz import pipe

from incremental._blocks.collections import is_array
from incremental._blocks.rows import rows_in_cache

_ATTRIBUTE = "_incremental_origin"

Function = Callable[[Any], Any]


class _Origin(NamedTuple):
    name: str
    X: Any
    functions: tuple[Function, ...]


def remember(mapped: Any, X: Any, function: Function) -> None:
    """Note that an array is another one with a function applied to each row.

    Parameters
    ----------
    mapped : dask array
    X : dask array
        With the same chunks of rows.
    function : callable
        What it yields for some rows of a block has to be, bit by bit, the same rows of
        what it yields for the block.
    """
    first, functions = trace(X)
    # A copy, because dask arrays can be assigned to.
    origin = _Origin(mapped.name, first.copy(), (*functions, function))
    vars(mapped)[_ATTRIBUTE] = origin


def trace(X: Any) -> tuple[Any, tuple[Function, ...]]:
    """Return the collection that X was mapped from, and the functions in between.

    Parameters
    ----------
    X : collection
        Itself is returned if nothing is noted of it, if it was changed since, or if
        the lengths of its chunks became known since.
    """
    origin = vars(X).get(_ATTRIBUTE) if is_array(X) else None
    # An array that was assigned to has another name, and other chunks may be known.
    if origin is None or (origin.name, origin.X.chunks[0]) != (X.name, X.chunks[0]):
        return X, ()
    return origin.X, origin.functions


@dataclass(frozen=True)
class Deferred:
    """The X of a block, whose rows are mapped when they are taken.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
    functions : sequence of callable
        Applied one after the other.
    """

    rows: Any
    functions: Sequence[Function]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape before it is mapped."""
        return tuple(self.rows.shape)

    def __getitem__(self, rows: slice) -> Any:
        return pipe(self.rows[rows], *self.functions)

    def in_c_order(self) -> Any:
        """Return all rows, one after the other in memory, mapped part by part.

        What the functions yield as pandas is returned as it is.
        """
        size = rows_in_cache(self.rows)
        first = self[:size]
        if not isinstance(first, np.ndarray):
            return self[:]
        output = np.empty((len(self.rows), *first.shape[1:]), first.dtype)
        output[:size] = first
        for start in range(size, len(output), size):
            output[start : start + size] = self[start : start + size]
        return output


def defer(X: Any, functions: Sequence[Function]) -> Any:
    """Put off what is to be applied to the X of a block, if it is a dense array.

    Rows of others cannot be taken without a copy, and they are done at once.
    """
    if functions and type(X) is np.ndarray:
        return Deferred(X, functions)
    return pipe(X, *functions)


def map_in_c_order(functions: Sequence[Function], X: Any) -> Any:
    """Put the X of a block through functions; an array comes out in C order."""
    deferred = defer(X, functions)
    return deferred.in_c_order() if isinstance(deferred, Deferred) else deferred
