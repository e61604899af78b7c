"""The columns of a block, and the check that all blocks of a fit have the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

from incremental._blocks.collections import as_collection
from incremental._typing import Data, Estimator, Piece

#: What error messages call the block that others are compared with.
FITTED = "the first that was fitted"

_MOST_LISTED = 10

#: For each piece of a block, the names of its columns or else their number.
Columns = Mapping[str, Any]


def columns_of(block: Mapping[str, Piece]) -> Columns:
    """Return the columns of the pieces of a block, which are given by name."""
    return {name: _columns(piece) for name, piece in block.items()}


def learned_columns(estimator: Estimator) -> Columns:
    """Return the columns of X that a fitted estimator expects; {} if it tells none."""
    names = getattr(estimator, "feature_names_in_", None)
    known = getattr(estimator, "n_features_in_", None) if names is None else names
    return {} if known is None else {"X": known}


def declared_columns(X: Data) -> Columns:
    """Return the columns that X declares; {} if they are not known yet."""
    example = as_collection(X).example
    return {} if example is None else columns_of({"X": example})


def check_columns(columns: Columns, first: Columns, where: str = FITTED) -> None:
    """Check that a block has the expected columns.

    Parameters
    ----------
    columns : dict of str to names or int
        The columns of the block.
    first : dict of str to names or int
        The expected columns, such as those of the first block. Only the pieces that
        are named in both are compared.
    where : str
        What error messages call the object that has the expected columns.

    Raises
    ------
    ValueError
        If the names, the order or the number of the columns differ.
    """
    for name, expected in first.items():
        received = columns.get(name, expected)
        if not _agree(received, expected):
            raise ValueError(
                f"{name} has {_describe(received)} in this block, but "
                f"{_describe(expected)} in {where}; expected the same columns in the "
                "same order in all blocks. Select them by name in each part of the "
                "data before it becomes one collection."
            )


def check_declared_columns(X: Data, expected: Columns, where: str) -> None:
    """Check the columns that a lazy X declares. Nothing is read.

    Parameters
    ----------
    X : dask collection or data in memory
    expected : dict of str to names or int
        The expected columns of ``"X"``; empty if they are unknown.
    where : str
        What error messages call the object that has the expected columns.

    Raises
    ------
    ValueError
        If the names, the order or the number of the columns differ.
    """
    received = declared_columns(X).get("X")
    if received is None or "X" not in expected or _agree(received, expected["X"]):
        return
    raise ValueError(
        f"X has {_describe(received)}, but {_describe(expected['X'])} in {where}; "
        "expected the same columns in the same order. Select them by name, as in "
        "`X[names]`, or by number."
    )


@contextmanager
def noting_types(X: Piece) -> Iterator[None]:
    """Add a note that says which values of X are no numbers to an error of that.

    Parameters
    ----------
    X : array, frame or list
        What is converted to numbers inside the ``with`` block.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        # scikit-learn 1.6 leaves pandas' text as it is, and multiplies it.
        of_text = ("could not convert string", "can't multiply sequence")
        if any(one in str(error) for one in of_text) and hasattr(X, "dtypes"):
            error.add_note(
                f"X has columns of text (object or str): {_names_of_text(X)}; expected "
                "numbers. Convert them (`astype`), encode them (`ColumnTransformer`), "
                "or leave them out."
            )
        if "NAType" in str(error):
            error.add_note(
                "X is an array of objects that holds pandas' NA, as dask makes it of "
                "nullable columns; expected numbers. Pass the dataframe itself, or an "
                "array of `df.astype('float64')`."
            )
        raise


def _names_of_text(X: Piece) -> str:
    """List the names of the columns whose values may be text."""
    dtypes = list(X.dtypes) if X.ndim == 2 else [X.dtypes]
    names = list(X.columns) if X.ndim == 2 else [X.name]
    is_text = (
        getattr(dtype, "kind", "O") == "O" or str(dtype).startswith("str")
        for dtype in dtypes
    )
    text = [repr(name) for name, one in zip(names, is_text, strict=True) if one]
    more = ["…"] if len(text) > _MOST_LISTED else []
    return ", ".join(text[:_MOST_LISTED] + more)


def _columns(piece: Piece) -> Any:
    """Return the names of the columns of a piece, or else their number."""
    if hasattr(piece, "columns"):
        return piece.columns
    return int(prod(piece.shape[1:])) if hasattr(piece, "shape") else 1


def _agree(received: Any, expected: Any) -> bool:
    """Tell whether columns are the same, as far as both are known by name."""
    if received is expected:
        return True
    if _count(received) != _count(expected):
        return False
    # An array has no column names. scikit-learn ignores names that are not strings.
    if isinstance(received, int) or isinstance(expected, int):
        return True
    if hasattr(expected, "equals"):
        return bool(received.equals(expected))
    names = list(received)
    return names == list(expected) or not all(isinstance(n, str) for n in names)


def _count(columns: Any) -> int:
    return columns if isinstance(columns, int) else len(columns)


def _describe(columns: Any) -> str:
    if isinstance(columns, int):
        return f"{columns} columns"
    names = ", ".join(map(repr, columns[:_MOST_LISTED]))
    more = f", … ({len(columns)} in all)" if len(columns) > _MOST_LISTED else ""
    return f"the columns [{names}{more}]"
