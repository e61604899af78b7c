"""Functions that count and cut the rows of data in memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from incremental._typing import Piece

#: How many numbers of 8 bytes fit in a processor's cache.
CACHED_VALUES = 1_000_000


def is_pandas(piece: object) -> bool:
    """Tell whether data in memory is a pandas dataframe or series."""
    return hasattr(piece, "iloc")


def is_one_array(piece: Piece) -> bool:
    """Tell whether data in memory are a pandas dataframe of one of NumPy's types."""
    if not is_pandas(piece) or piece.ndim != 2:
        return False
    kinds = set(piece.dtypes)
    return len(kinds) == 1 and isinstance(kinds.pop(), np.dtype)


def n_rows(piece: Piece) -> int:
    """Count the rows of an in-memory array, sparse matrix, frame or list."""
    if hasattr(piece, "shape"):
        return int(piece.shape[0])
    return len(piece if hasattr(piece, "__len__") else np.asarray(piece))


def take_rows(piece: Piece, rows: slice) -> Piece:
    """Cut rows out of an in-memory array, sparse matrix, frame or list."""
    return piece.iloc[rows] if is_pandas(piece) else by_rows(piece)[rows]


def pick_rows(piece: Piece, rows: NDArray[np.integer[Any]]) -> Piece:
    """Copy rows of in-memory data, in the order of an array of their numbers."""
    if isinstance(piece, list):
        return [piece[row] for row in rows]
    if _library(piece) == "pyarrow":
        return piece.take(rows)
    return piece.iloc[rows] if is_pandas(piece) else by_rows(piece)[rows]


def join_rows(pieces: Sequence[Piece]) -> Piece:
    """Put the rows of pieces of one kind below each other, always as a copy."""
    first = pieces[0]
    if is_pandas(first):
        import pandas as pd

        return pd.concat(pieces) if len(pieces) > 1 else first.copy()
    if isinstance(first, list):
        return [row for piece in pieces for row in piece]
    if sp.issparse(first):
        return sp.vstack(pieces, format="csr")
    if _library(first) in ("polars", "pyarrow"):
        return _join_immutable(pieces)
    return np.concatenate(pieces)


def _library(piece: Piece) -> str:
    return type(piece).__module__.partition(".")[0]


def _join_immutable(pieces: Sequence[Piece]) -> Piece:
    """Join frames or series of Polars or pyarrow, which nobody can write to."""
    if _library(pieces[0]) == "polars":
        import polars

        return polars.concat(pieces)
    import pyarrow

    if hasattr(pieces[0], "columns"):
        is_table = isinstance(pieces[0], pyarrow.Table)
        return (pyarrow.concat_tables if is_table else pyarrow.concat_batches)(pieces)
    chunks = [chunk for one in pieces for chunk in getattr(one, "chunks", [one])]
    return pyarrow.chunked_array(chunks, type=pieces[0].type)


def by_rows(piece: Piece) -> Piece:
    """Return data whose rows can be sliced. A sparse matrix becomes CSR."""
    return piece.tocsr() if hasattr(piece, "tocsr") else piece


def rows_in_cache(X: Piece) -> int:
    """Return how many rows of a dense table fit in a processor's cache, at least 1.

    Returns 1 if the number of columns is unknown.
    """
    columns = prod(getattr(X, "shape", ())[1:])
    return max(int(CACHED_VALUES // columns), 1) if columns >= 1 else 1
