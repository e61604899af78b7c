"""Data in memory as a collection of one block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask.array as da
import numpy as np

from incremental._blocks.arrays import Array
from incremental._blocks.collection import (
    Collection,
    array_of_tasks,
    different_lengths,
    frame_of_tasks,
)
from incremental._blocks.rows import is_pandas, n_rows
from incremental._blocks.text import without_missing
from incremental._typing import Data, Dtype, Piece


class InMemory(Collection):
    """The adapter for an array, sparse matrix, frame or list in memory: one block."""

    is_lazy = False

    @property
    def n_blocks(self) -> int:
        """Always 1."""
        return 1

    @property
    def n_rows(self) -> tuple[int, ...] | None:
        """The number of rows, in a tuple; None for a value that has no rows at all."""
        shape = getattr(self.value, "shape", None)
        has_rows = hasattr(self.value, "__len__") if shape is None else shape != ()
        return (n_rows(self.value),) if has_rows else None

    @property
    def categories(self) -> Piece:
        """The categories of a categorical series of pandas."""
        dtype: Dtype = getattr(self.value, "dtype", None)
        # Types of Polars have categories that are no array of values.
        return dtype.categories if hasattr(dtype, "ordered") else None

    def describe(self) -> str:
        """Name the type of the data."""
        return f"{type(self.value).__name__} in memory"

    def read(self) -> Piece:
        """Return the data. A tuple becomes a list, as it would mean several pieces."""
        return list(self.value) if isinstance(self.value, tuple) else self.value

    def cut_as(self, name: str, leader: Collection, leader_name: str) -> Collection:
        """Cut the data where the leader is cut, if it is lazy and knows its rows.

        Parameters
        ----------
        name, leader, leader_name
            As for `Collection.cut_as`.

        Returns
        -------
        Array or InMemory

        Raises
        ------
        ValueError
            If the leader is a dask collection of another number of rows.
        """
        # The labels of pandas data are compared with those of a dataframe.
        if not leader.is_lazy or (leader.has_index and is_pandas(self.value)):
            return self
        value = np.asarray(self.value)
        rows = leader.n_rows
        if rows is None:
            return InMemory(value)
        if value.ndim == 0 or len(value) != sum(rows):
            raise different_lengths(name, value.shape, leader_name, sum(rows))
        chunks = (rows, *value.shape[1:])
        return Array(da.from_array(value, chunks=chunks, name=False))

    def map_blocks(
        self, function: Callable[..., Any], name: str, empty: Piece, *args: Any
    ) -> Data:
        """Call a function on the data at once and return what it returns.

        Parameters
        ----------
        function, name, empty, *args
            As for `Collection.map_blocks`. `name` and `empty` are not used.
        """
        return function(self.value, *args)

    def of_tasks(
        self, graph: dict[Any, Any], name: str, n_rows: Sequence[float]
    ) -> Any:
        """Return a dataframe, or else an array, whose blocks are what tasks yield.

        Parameters
        ----------
        graph, name, n_rows
            As for `Collection.of_tasks`.
        """
        if is_pandas(self.value):
            return frame_of_tasks(self.value.iloc[:0], graph, name, len(n_rows))
        return array_of_tasks(np.asarray(self.value), graph, name, n_rows)

    def made_up_rows(self) -> Iterator[Piece]:
        """Yield the data themselves: nothing needs to be made up."""
        yield self.value

    def with_text(self) -> Piece:
        """Return documents with empty text for missing ones; a table as it is."""
        return without_missing(self.value)
