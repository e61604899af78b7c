"""dask dataframes and series as collections of rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
import numpy as np

from incremental._blocks.collection import (
    Collection,
    frame_of_tasks,
    map_delayed,
)
from incremental._blocks.rows import is_pandas
from incremental._blocks.text import fill_series
from incremental._typing import Data, Dtype, Piece

_setting = threading.RLock()


class Frame(Collection):
    """The adapter for a dask dataframe, series or index. Its blocks are partitions.

    Parameters
    ----------
    value : dask dataframe, series or index
        An index is replaced by the series that has it as values and as index.
    """

    has_index = True

    def __init__(self, value: Data) -> None:
        is_index = hasattr(type(value), "to_series")
        frame = value.to_series() if is_index else value
        super().__init__(_with_sized_partitions(frame))

    @property
    def n_blocks(self) -> int:
        """The number of partitions."""
        return int(self.value.npartitions)

    @property
    def example(self) -> Piece:
        """A pandas object without rows, with the names and types of the columns."""
        return self.value._meta

    @property
    def categories(self) -> Piece:
        """The categories of a categorical series, if dask knows them."""
        dtype: Dtype = getattr(self.value._meta, "dtype", None)
        if not hasattr(dtype, "categories") or not self.value.cat.known:
            return None
        return dtype.categories

    def describe(self) -> str:
        """Say whether it is a dataframe or a series."""
        return f"dask {type(self.value).__name__}"

    def read(self) -> Data:
        """Return the dataframe."""
        return self.value

    def cut_as(self, name: str, leader: Collection, leader_name: str) -> Collection:
        """Cut the dataframe at the divisions of the leader.

        Both must know their divisions, and these must begin and end with the same
        labels. Otherwise the dataframe stays as it is.

        Parameters
        ----------
        name, leader, leader_name
            As for `Collection.cut_as`.

        Returns
        -------
        Frame
        """
        own = self.value
        if isinstance(leader, Frame):
            own = _with_divisions(own, leader.value)
        return self if own is self.value else Frame(own)

    def map_blocks(
        self, function: Callable[..., Any], name: str, empty: Piece, *args: Any
    ) -> Data:
        """Call a function on each partition and return the results as a collection.

        Parameters
        ----------
        function, name, empty, *args
            As for `Collection.map_blocks`.

        Returns
        -------
        dask dataframe, series or array
            A dataframe or series if `empty` is one of pandas.
        """
        with untuned():
            if is_pandas(empty) or isinstance(empty, np.ndarray):
                return self.value.map_partitions(
                    function, *args, meta=empty, token=name
                )
            # A dask dataframe can hold no other result, such as sparse matrices.
            return map_delayed(self.value.to_delayed(), function, name, empty, args)

    def of_tasks(
        self, graph: dict[Any, Any], name: str, n_rows: Sequence[float]
    ) -> Any:
        """Return a dataframe or series whose partitions are what tasks yield.

        Parameters
        ----------
        graph, name, n_rows
            As for `Collection.of_tasks`.
        """
        return frame_of_tasks(self.value._meta, graph, name, len(n_rows))

    def made_up_rows(self) -> Iterator[Piece]:
        """Yield rows whose numbers are all 1 or all 0, without missing values.

        Columns of text hold a word first, and then numbers: numbers among objects are
        text once dask has read them.
        """
        meta = self.value._meta
        for number in (1, 0):
            yield _row(meta, number)
        dtypes = list(meta.dtypes) if meta.ndim == 2 else [meta.dtype]
        for number in (1, 0) if any(map(_is_text, dtypes)) else ():
            yield _row(meta, number, number)

    def with_text(self) -> Data:
        """Return a series with empty text for missing values; a dataframe as it is."""
        return fill_series(self.value) if self.value.ndim == 1 else self.value


@contextmanager
def untuned() -> Iterator[None]:
    """Switch off dask's tuning, which fuses partitions into fewer ones."""
    # dask has one configuration for all threads. Without the lock, a thread could find
    # tuning switched off by another thread, and restore that when it ends last.
    with _setting, dask.config.set({"optimization.tune.active": False}):
        yield


@contextmanager
def shuffled_with_tasks() -> Iterator[None]:
    """Switch off tuning, and let dask shuffle with tasks.

    A shuffle with tasks gives the rows the same order in every graph.
    """
    with untuned(), dask.config.set({"dataframe.shuffle.method": "tasks"}):
        yield


def replace_columns(frame: Piece, columns: dict[int, Piece]) -> Piece:
    """Replace columns of a pandas dataframe.

    Parameters
    ----------
    frame : pandas.DataFrame
    columns : dict of int to pandas.Series
        The new columns, by the numbers of the columns that they replace.

    Returns
    -------
    pandas.DataFrame
        A dataframe with the same names of columns.
    """
    import pandas as pd

    parts = [columns.get(n, frame.iloc[:, n]) for n in range(frame.shape[1])]
    return pd.concat(parts, axis=1).set_axis(frame.columns, axis=1)


def _with_sized_partitions(frame: Data) -> Data:
    """Return a dataframe that keeps its partitions whichever columns are used.

    ``repartition(partition_size=...)`` sizes partitions by the columns that are used in
    the end. So X and y, of other columns, would be cut differently, and neither as the
    user sees it. dask does not look for unused columns behind a function that it does
    not know. Tested with dask 2025.12 to 2026.8.

    Parameters
    ----------
    frame : dask dataframe or series
    """
    expression = frame.expr
    for part in list(expression.walk()):
        if type(part).__name__ == "Repartition" and part.partition_size is not None:
            kept = _collection(part).map_partitions(_same, meta=part._meta)
            expression = expression.substitute(part, kept.expr)
    return frame if expression is frame.expr else _collection(expression)


def _collection(expression: Any) -> Data:
    import dask.dataframe as dd

    return (dd.DataFrame if expression.ndim == 2 else dd.Series)(expression)


def _same(partition: Piece) -> Piece:
    return partition


def _with_divisions(own: Data, other: Data) -> Data:
    """Return a dataframe cut at the divisions of another one, or else as it is."""
    if not (other.known_divisions and own.known_divisions):
        return own
    ends = other.divisions[0], other.divisions[-1]
    if other.divisions == own.divisions or ends != (
        own.divisions[0],
        own.divisions[-1],
    ):
        return own
    return own.repartition(divisions=other.divisions)


def _row(meta: Piece, number: int, word: str | int = "a") -> Piece:
    """Make a row in which no value is missing.

    Parameters
    ----------
    meta : pandas.DataFrame or pandas.Series
        An object without rows, of the columns and types that the row gets.
    number : int
        The value of all numbers.
    word : str or int, default="a"
        The value of columns of text or of objects.

    Returns
    -------
    pandas.DataFrame or pandas.Series
        An object of one row.
    """
    from dask.dataframe.utils import meta_nonempty

    row = meta_nonempty(meta).iloc[:1]
    if row.ndim == 1:
        return _filled(row, number, word)
    filled = {n: _filled(row.iloc[:, n], number, word) for n in range(row.shape[1])}
    return replace_columns(row, filled)


def _filled(column: Piece, number: int, word: str | int) -> Piece:
    """Put a number or text into a column of one row. Other types stay as they are."""
    dtype = column.dtype
    if _is_text(dtype):
        value = word if isinstance(dtype, np.dtype) else str(word)
    elif getattr(dtype, "kind", "O") in "biuf":
        value = number
    else:
        return column
    return column.__class__([value], index=column.index, dtype=dtype)


def _is_text(dtype: Dtype) -> bool:
    kind = getattr(dtype, "kind", "O")
    return kind in "OU" and not hasattr(dtype, "categories")
