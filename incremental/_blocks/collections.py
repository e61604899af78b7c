"""Kinds of dask collections: the only place that asks which one a value is."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.base import is_dask_collection


def is_array(value: object) -> bool:
    """Tell whether `value` is a dask array."""
    return isinstance(value, da.Array)


def is_frame(value: object) -> bool:
    """Tell whether `value` is a dask dataframe or series."""
    # The type is asked because a Delayed has every attribute.
    return is_dask_collection(value) and hasattr(type(value), "known_divisions")


def is_bag(value: object) -> bool:
    """Tell whether `value` is a dask bag."""
    return is_dask_collection(value) and hasattr(type(value), "foldby")


def is_lazy(value: object) -> bool:
    """Tell whether `value` is a dask collection of rows.

    Raises
    ------
    TypeError
        If it is a dask collection of another kind.
    """
    if is_array(value) or is_frame(value) or is_bag(value):
        return True
    if is_dask_collection(value):
        raise TypeError(
            f"Got a {type(value).__module__}.{type(value).__name__}; expected a dask "
            "array, dataframe, series or bag, or in-memory data. Convert it first, for "
            "example with `da.from_delayed` or `dd.from_delayed`; if it comes from "
            "`array.query-planning`, set that dask option to False."
        )
    return False


def known_rows(collection: Any) -> tuple[int, ...] | None:
    """Return the rows of each block of a collection, or None if it cannot tell."""
    if not is_array(collection) or np.isnan(collection.shape[0]):
        return None
    return tuple(int(rows) for rows in collection.chunks[0])


def n_blocks(collection: Any) -> int:
    """Count the blocks of a collection."""
    if is_array(collection):
        return int(collection.numblocks[0])
    return int(collection.npartitions)


def merge_columns(name: str, array: Any) -> Any:
    """Put all columns of a dask array in one chunk.

    Raises
    ------
    ValueError
        If the array has no dimension, or chunks of an unknown number of columns.
    """
    if array.ndim == 0:
        raise ValueError(f"{name} is a dask array of 0 dimensions; expected rows.")
    split = {axis: -1 for axis in range(1, array.ndim) if array.numblocks[axis] > 1}
    if any(np.isnan(array.shape[axis]) for axis in split):
        raise ValueError(
            f"The number of columns of {name} is unknown (shape {array.shape}), and "
            f"they are in several chunks; call `compute_chunk_sizes()` on {name} first."
        )
    return array.rechunk(split, method="tasks") if split else array


def describe(collection: Any) -> str:
    """Say of which kind a collection is."""
    if is_array(collection):
        known = "unknown" if known_rows(collection) is None else "known"
        return f"dask array of {known} chunk sizes"
    return f"dask {type(collection).__name__}"


def as_lists(collection: Any) -> Any:
    """Return a bag whose partitions are lists; other collections as they are."""
    return collection.map_partitions(list) if is_bag(collection) else collection


def as_series(value: Any) -> Any:
    """Return the index of a dask dataframe as a series that has it as index too."""
    is_index = is_frame(value) and hasattr(type(value), "to_series")
    return value.to_series() if is_index else value


def origin_of(value: Any) -> Any:
    """Return the `Origin` of an array, if it is known and its rows are not."""
    origin = getattr(value, "origin", None) if is_array(value) else None
    return None if origin is None or known_rows(value) is not None else origin
