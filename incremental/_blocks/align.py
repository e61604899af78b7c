"""Pairing: collections are cut so that their blocks hold the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from incremental._blocks.collections import (
    as_series,
    describe,
    is_array,
    is_frame,
    is_lazy,
    known_rows,
    merge_columns,
    n_blocks,
    origin_of,
)


@dataclass(frozen=True)
class Aligned:
    """Collections whose blocks hold the same rows.

    Attributes
    ----------
    collections : dict of str to collection
        The first one rules: the others are cut where it is cut. What a wrapper mapped
        from a dataframe is that dataframe here.
    maps : dict of str to (list of str, callable)
        How to make what was mapped: the names of its dataframes, and what takes an
        array of the partitions of each of them.
    n_rows : tuple of int or None
        The rows of each block, where the collections know them.
    """

    collections: dict[str, Any]
    maps: dict[str, tuple[list[str], Callable[..., Any]]]
    n_rows: tuple[int, ...] | None


def align(collections: Mapping[str, Any]) -> Aligned:
    """Pair the rows of collections and cut them into blocks.

    Parameters
    ----------
    collections : dict of str to collection
        Dask arrays, dataframes, series and bags of ``n_samples`` rows. All but the
        first may be in memory if the first knows the length of its chunks.

    Returns
    -------
    Aligned

    Raises
    ------
    TypeError
        If the first collection is in memory while another one is not.
    ValueError
        If the rows cannot be paired.
    """
    # What a wrapper mapped is read with the dataframe it came from: a shuffle of it has
    # another order wherever it is computed apart.
    sources: dict[str, Any] = {}
    maps = {}
    for name, value in collections.items():
        origin = origin_of(value)
        if origin is None:
            sources[name] = as_series(value)
            continue
        names = [f"{name} ({number})" for number in range(len(origin.frames))]
        sources.update(zip(names, origin.frames, strict=True))
        maps[name] = names, origin.map_blocks
    collections = sources
    leader, first = next(iter(collections.items()))
    if not is_lazy(first):
        lazy = next(name for name, value in collections.items() if is_lazy(value))
        raise TypeError(
            f"{leader} is in memory ({type(first).__name__}) but {lazy} is a dask "
            f"collection; pass both as dask collections, or compute {lazy}."
        )
    if is_array(first):
        first = merge_columns(leader, first)
    aligned = {leader: first}
    for name, value in collections.items():
        if name != leader:
            aligned[name] = _align_to(leader, first, name, value)
    known = [rows for value in aligned.values() if (rows := known_rows(value))]
    return Aligned(aligned, maps, known[0] if known else None)


def _align_to(leader: str, first: Any, name: str, value: Any) -> Any:
    if not is_lazy(value):
        return _as_array(leader, first, name, value)
    if is_array(value):
        return _align_array(leader, first, name, merge_columns(name, value))
    if is_frame(first) and is_frame(value):
        value = _align_divisions(first, value)
    _check_block_counts(leader, first, name, value)
    return value


def _as_array(leader: str, first: Any, name: str, value: Any) -> Any:
    rows = known_rows(first)
    if rows is None:
        raise ValueError(
            f"{name} is in memory ({type(value).__name__}) but the length of the "
            f"blocks of {leader} is unknown, so its rows cannot be cut. Pass {name} "
            f"as a dask collection cut like {leader}, or call "
            f"`compute_chunk_sizes()` on a dask array {leader} first."
        )
    value = np.asarray(value)
    if value.ndim == 0 or len(value) != sum(rows):
        raise ValueError(_different_lengths(leader, sum(rows), name, value.shape))
    return da.from_array(value, chunks=(rows, *value.shape[1:]), name=False)


def _align_array(leader: str, first: Any, name: str, value: Any) -> Any:
    rows, own = known_rows(first), known_rows(value)
    if rows is None or own is None:
        _check_block_counts(leader, first, name, value)
        return value
    if sum(rows) != sum(own):
        raise ValueError(_different_lengths(leader, sum(rows), name, value.shape))
    return value if rows == own else value.rechunk({0: rows}, method="tasks")


def _different_lengths(leader: str, rows: int, name: str, shape: Any) -> str:
    return (
        f"{name} has shape {shape} but {leader} has {rows} rows; expected the same "
        "number of rows. Pass collections of the same rows."
    )


def _align_divisions(first: Any, value: Any) -> Any:
    if not (first.known_divisions and value.known_divisions):
        return value
    ends = first.divisions[0], first.divisions[-1]
    if first.divisions == value.divisions or ends != (
        value.divisions[0],
        value.divisions[-1],
    ):
        return value
    return value.repartition(divisions=first.divisions)


def _check_block_counts(leader: str, first: Any, name: str, value: Any) -> None:
    wanted, received = n_blocks(first), n_blocks(value)
    if wanted == received:
        return
    raise ValueError(
        f"{name} ({describe(value)}) has {received} blocks but {leader} "
        f"({describe(first)}) has {wanted}, and their rows are not known, so they "
        "cannot be paired. "
        "Arrays made from the columns of one dataframe are cut differently by dask's "
        "optimiser: pass the dataframes themselves, or set "
        '`dask.config.set({"optimization.tune.active": False})` before the conversion '
        "to arrays; collections of known chunk sizes are realigned "
        "(`compute_chunk_sizes()`), dataframes can be cut alike with `repartition`."
    )
