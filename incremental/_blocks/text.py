"""Documents in memory: empty text in place of missing ones."""

from __future__ import annotations

import sys

import numpy as np

from incremental._typing import Data, Piece


def or_empty(document: object) -> object:
    """Return a document, or empty text if it is missing: None, NaN or pandas' NA."""
    return "" if _is_missing(document) else document


def without_missing(documents: Piece) -> Piece:
    """Return documents with empty text in place of missing ones.

    Parameters
    ----------
    documents : array, list, tuple or series of shape (n_samples,), or other data
        Data of several columns are returned as they are.

    Returns
    -------
    same kind as documents
        A list for a series of Polars or pyarrow, of which a vectoriser would take
        the elements for objects of other types.
    """
    if isinstance(documents, list | tuple):
        return type(documents)(map(or_empty, documents))
    if hasattr(documents, "fillna") and documents.ndim == 1:
        return fill_series(documents)
    to_list = getattr(documents, "to_pylist", getattr(documents, "to_list", None))
    if to_list is not None and not hasattr(documents, "columns"):
        return list(map(or_empty, to_list()))
    if isinstance(documents, np.ndarray) and may_miss(documents):
        filled = np.empty(documents.shape, dtype=object)
        filled[:] = list(map(or_empty, documents.tolist()))
        return filled
    return documents


def fill_series(series: Data) -> Data:
    """Return a series, of pandas or dask, with empty text for missing values."""
    # A categorical takes no value that is not among its categories.
    is_categorical = hasattr(getattr(series, "dtype", None), "categories")
    return (series.astype(object) if is_categorical else series).fillna("")


def may_miss(array: Data) -> bool:
    """Tell whether an array is of documents of which some may be missing."""
    # "T" is NumPy's text of variable width, which may have a value for missing ones.
    return bool(array.ndim == 1 and array.dtype.kind in "OT")


def _is_missing(document: object) -> bool:
    if document is None:
        return True
    if isinstance(document, float | np.floating):
        return bool(document != document)
    pandas = sys.modules.get("pandas")
    return pandas is not None and document is pandas.NA
