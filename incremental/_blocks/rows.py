"""Functions that count and cut the rows of data in memory."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

#: How many numbers of 8 bytes fit in a processor's cache.
CACHED_VALUES = 1_000_000


def is_pandas(piece: object) -> bool:
    """Tell whether data in memory is a pandas dataframe or series."""
    return hasattr(piece, "iloc")


def n_rows(piece: Any) -> int:
    """Count the rows of an in-memory array, sparse matrix, frame or list."""
    if hasattr(piece, "shape"):
        return int(piece.shape[0])
    return len(piece if hasattr(piece, "__len__") else np.asarray(piece))


def take_rows(piece: Any, rows: slice) -> Any:
    """Cut rows out of an in-memory array, sparse matrix, frame or list."""
    return piece.iloc[rows] if is_pandas(piece) else by_rows(piece)[rows]


def by_rows(piece: Any) -> Any:
    """Return data whose rows can be sliced. A sparse matrix becomes CSR."""
    return piece.tocsr() if hasattr(piece, "tocsr") else piece


def rows_in_cache(X: Any) -> int:
    """Return how many rows of a dense table fit in a processor's cache, at least 1.

    Returns 1 if the number of columns is unknown.
    """
    columns = prod(getattr(X, "shape", ())[1:])
    return max(int(CACHED_VALUES // columns), 1) if columns >= 1 else 1
