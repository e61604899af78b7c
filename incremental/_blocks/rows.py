"""Rows of what is in memory: to count, to cut, to compare."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

CACHED_VALUES = 1_000_000


def n_rows(piece: Any) -> int:
    """Count the rows of an in-memory array, sparse matrix, frame or list."""
    if hasattr(piece, "shape"):
        return int(piece.shape[0])
    return len(piece if hasattr(piece, "__len__") else np.asarray(piece))


def take_rows(piece: Any, rows: slice) -> Any:
    """Cut rows out of an in-memory array, sparse matrix, frame or list."""
    return piece.iloc[rows] if hasattr(piece, "iloc") else by_rows(piece)[rows]


def by_rows(piece: Any) -> Any:
    """Return data whose rows can be taken: sparse matrices in CSR form."""
    return piece.tocsr() if hasattr(piece, "tocsr") else piece


def check_rows(names: Iterable[str], pieces: Iterable[Any]) -> int:
    """Count the rows of a block.

    Raises
    ------
    ValueError
        If the pieces of the block differ in their number of rows.
    """
    counts = {name: n_rows(piece) for name, piece in zip(names, pieces, strict=True)}
    if len(set(counts.values())) > 1:
        received = ", ".join(f"{name} has {rows}" for name, rows in counts.items())
        raise ValueError(
            f"The pieces of a block must have the same number of rows: {received}. "
            "The collections are cut at different rows, or one of them declares "
            "chunks that it does not have. Cut them from one collection, or write "
            "them down together and read them back."
        )
    return next(iter(counts.values()))


def rows_in_cache(X: Any) -> int:
    """Return how many rows of a dense table fit in a processor's cache, at least 1.

    Of a lazy one whose number of columns is unknown it is taken to be 1.
    """
    columns = prod(X.shape[1:])
    return max(int(CACHED_VALUES // columns), 1) if columns >= 1 else 1
