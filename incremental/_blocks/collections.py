"""`as_collection`: chooses the adapter for data, by their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
from dask.base import is_dask_collection

from incremental._blocks.arrays import Array
from incremental._blocks.bags import Bag
from incremental._blocks.collection import Collection, different_lengths
from incremental._blocks.frames import Frame
from incremental._blocks.in_memory import InMemory
from incremental._blocks.labelled import check_labels, without_labels
from incremental._errors import noted
from incremental._typing import Data


def as_collection(value: Data) -> Collection:
    """Return the adapter for data that have rows. Nothing is read.

    Parameters
    ----------
    value : dask array, dataframe, series, index or bag, or data in memory
        Also an xarray.DataArray or xarray.Dataset of them. An adapter is returned as
        it is.

    Returns
    -------
    Collection

    Raises
    ------
    TypeError
        If it is a dask collection of another kind. Also if it is a stored array or
        a query, which would be read as a single block, or not at all.
    ValueError
        If it is a ``Dataset`` of xarray whose variables are no columns of a table.
    """
    if isinstance(value, Collection):
        return value
    value = without_labels(value)
    if isinstance(value, da.Array):
        return Array(value)
    if not is_dask_collection(value):
        _check_is_data(value)
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


# What arrays of libraries for storage have and arrays in memory lack: those of Zarr and
# HDF5, of netCDF4, of TensorStore, and of PyTables.
_LAYOUTS = ("chunks", "chunking", "chunk_layout", "chunkshape")
# How tables and queries become pandas: those of DuckDB, Spark, and most others.
_TO_PANDAS = ("df", "toPandas", "to_pandas")


def _check_is_data(value: Data) -> None:
    """Check that what is no dask collection is data in memory.

    The type is asked, because it reads nothing and has no attributes of the user's.

    Raises
    ------
    TypeError
        If it is a stored array or a query.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__name__}"
    if any(hasattr(kind, one) for one in _LAYOUTS) and hasattr(kind, "shape"):
        way = "from_zarr" if kind.__module__.startswith("zarr") else "from_array"
        raise TypeError(
            f"Got a {name} of shape {value.shape}, which lies in storage and would be "
            f"read as a single block; expected a dask array. Pass `da.{way}(...)` of "
            "it, or, if it fits in memory, its values (`array[:]`)."
        )
    if hasattr(kind, "collect") and hasattr(kind, "sink_parquet"):
        raise TypeError(
            f"Got a {name}, a query that has not run; expected data in memory or a "
            "dask collection. Call `.collect()` if the result fits in memory; if not, "
            "write it with `.sink_parquet(...)` and pass `dd.read_parquet(...)`."
        )
    methods = [one for one in _TO_PANDAS if callable(getattr(kind, one, None))]
    if methods and not hasattr(kind, "__array__"):
        raise TypeError(
            f"Got a {name}, which scikit-learn does not take; expected data in memory "
            f"or a dask collection. Call `.{methods[-1]}()` if it fits in memory; if "
            "not, write it to Parquet files and pass `dd.read_parquet(...)`, or read "
            "it in parts with `dd.from_map(...)`."
        )


def is_lazy(value: Data) -> bool:
    """Tell whether `value` is a dask collection of rows.

    Raises
    ------
    TypeError
        If it is a dask collection of another kind.
    """
    return as_collection(value).is_lazy


def name_collections(who: str, collections: Sequence[Data]) -> dict[str, Data]:
    """Name what a function of any number of collections is given.

    Parameters
    ----------
    who : str
        What error messages call the function.
    collections : sequence of dask collection or data in memory

    Returns
    -------
    dict
        By ``"collection 0"`` and so on.

    Raises
    ------
    TypeError
        If there is none, or one has no rows.
    ValueError
        If labels of the rows differ.
    """
    if not collections:
        raise TypeError(f"{who} takes at least one collection, got none.")
    for number, one in enumerate(collections):
        if not is_lazy(one) and not hasattr(one, "__len__"):
            raise TypeError(
                f"Collection {number} has no rows: got {type(one).__name__}, "
                "expected an array, dataframe or series."
            )
    named = {f"collection {number}": one for number, one in enumerate(collections)}
    check_labels(named)
    return named


def in_memory_with_first(
    rows: Mapping[str, Data], others: Mapping[str, Any] | None = None
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


def check_kinds(rows: Mapping[str, Data]) -> None:
    """Check that X and y are data that have rows.

    Parameters
    ----------
    rows : dict of str to object
        By name. None is passed over, but for X.

    Raises
    ------
    TypeError
        If one is of a kind without rows, such as text, a number or a generator.
    """
    for name, value in rows.items():
        if value is None and name != "X":
            continue
        with noted(f"{name} was given"):
            collection = as_collection(value)
        lone = isinstance(value, str | bytes | Mapping) and not hasattr(value, "shape")
        without = collection.n_rows is None and not hasattr(value, "__array__")
        if not collection.is_lazy and (lone or without):
            raise TypeError(
                f"{name} must be data with rows, got {type(value).__name__}; expected "
                "an array, dataframe, series, bag or list. Make a list of a generator."
            )
