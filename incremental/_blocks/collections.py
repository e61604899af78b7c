"""`as_collection`: chooses the adapter for data, by their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
from dask.base import is_dask_collection

from incremental._blocks.arrays import Array
from incremental._blocks.bags import Bag
from incremental._blocks.collection import Collection, different_lengths
from incremental._blocks.frames import Frame
from incremental._blocks.in_memory import InMemory


def as_collection(value: Any) -> Collection:
    """Return the adapter for data that have rows.

    Parameters
    ----------
    value : dask array, dataframe, series, index or bag, or data in memory
        An adapter is returned as it is.

    Returns
    -------
    Collection

    Raises
    ------
    TypeError
        If it is a dask collection of another kind.
    """
    if isinstance(value, Collection):
        return value
    if isinstance(value, da.Array):
        return Array(value)
    if not is_dask_collection(value):
        return InMemory(value)
    # The type is asked, not the object, because a Delayed has every attribute.
    if hasattr(type(value), "known_divisions"):
        return Frame(value)
    if hasattr(type(value), "foldby"):
        return Bag(value)
    raise TypeError(
        f"Got a {type(value).__module__}.{type(value).__name__}; expected a dask "
        "array, dataframe, series or bag, or in-memory data. Convert it first, for "
        "example with `da.from_delayed` or `dd.from_delayed`; if it comes from "
        "`array.query-planning`, set that dask option to False."
    )


def is_lazy(value: Any) -> bool:
    """Tell whether `value` is a dask collection of rows.

    Raises
    ------
    TypeError
        If it is a dask collection of another kind.
    """
    return as_collection(value).is_lazy


def in_memory_with_first(
    rows: Mapping[str, Any], others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compute what is lazy, in one go, if the first value is in memory.

    Parameters
    ----------
    rows : dict of str to dask collection or data in memory
        Data of ``n_samples`` rows each. The first is usually X.
    others : dict of str to object, optional
        Values of any length.

    Returns
    -------
    dict
        `rows` and `others`. They are as they were if the first is a dask collection.

    Raises
    ------
    ValueError
        If the first is in memory, and a dask collection in `rows` knows that it has
        another number of rows. Then nothing is computed.
    """
    values = {**rows, **(others or {})}
    lazy = {name: value for name, value in values.items() if is_lazy(value)}
    first = next(iter(rows))
    if first in lazy or not lazy:
        return values
    expected = as_collection(rows[first]).n_rows
    for name in (name for name in rows if name in lazy):
        known = as_collection(rows[name]).n_rows
        if known and expected and sum(known) != sum(expected):
            raise different_lengths(name, rows[name].shape, first, sum(expected))
    return {**values, **dict(zip(lazy, dask.compute(*lazy.values()), strict=True))}
