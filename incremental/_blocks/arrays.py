"""dask arrays as collections of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask.array as da
import numpy as np

from incremental._blocks.collection import (
    Collection,
    array_of_tasks,
    check_yields_array,
    different_lengths,
)
from incremental._blocks.mapped_array import MappedArray
from incremental._blocks.stages import Mapped, Stage
from incremental._blocks.text import may_miss, without_missing
from incremental._typing import Data, Piece


class Array(Collection):
    """The adapter for a dask array. Its blocks are those along the first axis."""

    @property
    def n_blocks(self) -> int:
        """The number of blocks along the first axis."""
        return int(self.value.numblocks[0])

    @property
    def n_rows(self) -> tuple[int, ...] | None:
        """The number of rows of each block; None if dask does not know it."""
        if self.value.ndim == 0 or np.isnan(self.value.shape[0]):
            return None
        return tuple(int(rows) for rows in self.value.chunks[0])

    @property
    def example(self) -> Data:
        """The array itself, if the number of its columns is known."""
        return None if np.isnan(self.value.shape[1:]).any() else self.value

    @property
    def mapped(self) -> Mapped | None:
        """How a wrapper made the array; None if no wrapper did."""
        return self.value.mapped if isinstance(self.value, MappedArray) else None

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The name of its own layer; of all layers if no wrapper made the array."""
        if self.mapped is not None:
            return (self.value.name,)
        return tuple(getattr(self.value.dask, "layers", ()))

    def unmapped(self) -> Collection:
        """Return the same array, which does not know how a wrapper made it."""
        X = self.value
        return Array(da.Array(X.dask, X.name, X.chunks, meta=X._meta))

    def describe(self) -> str:
        """Say that it is an array, and whether the sizes of its chunks are known."""
        known = "unknown" if self.n_rows is None else "known"
        return f"dask array of {known} chunk sizes"

    def read(self) -> Data:
        """Return the array."""
        return self.value

    def with_whole_rows(self, name: str) -> Collection:
        """Return an array of which each block holds all columns.

        Parameters
        ----------
        name : str
            What error messages call the array.

        Raises
        ------
        ValueError
            If the array has no dimension, or if its columns are cut and their number
            is unknown.
        """
        array = self.value
        if array.ndim == 0:
            raise ValueError(f"{name} is a dask array of 0 dimensions; expected rows.")
        split = {axis: -1 for axis in range(1, array.ndim) if array.numblocks[axis] > 1}
        if any(np.isnan(array.shape[axis]) for axis in split):
            raise ValueError(
                f"The number of columns of {name} is unknown (shape {array.shape}), "
                "and they are in several chunks; call `compute_chunk_sizes()` on "
                f"{name} first."
            )
        return Array(array.rechunk(split, method="tasks")) if split else self

    def cut_as(self, name: str, leader: Collection, leader_name: str) -> Collection:
        """Cut the array where the leader is cut, if both know their rows.

        Parameters
        ----------
        name, leader, leader_name
            As for `Collection.cut_as`.

        Returns
        -------
        Array

        Raises
        ------
        ValueError
            If the numbers of rows are known and differ.
        """
        whole = self.with_whole_rows(name)
        wanted, own = leader.n_rows, self.n_rows
        if wanted is None or own is None:
            return whole
        if sum(wanted) != sum(own):
            raise different_lengths(name, self.value.shape, leader_name, sum(wanted))
        if wanted == own:
            return whole
        return Array(whole.value.rechunk({0: wanted}, method="tasks"))

    def map_blocks(
        self, function: Callable[..., Any], name: str, empty: Piece, *args: Any
    ) -> Data:
        """Call a function on each block and return the results as an array.

        Parameters
        ----------
        function, name, empty, *args
            As for `Collection.map_blocks`.
        """
        check_yields_array(empty, self.value)
        return da.map_blocks(
            function,
            self.value,
            *args,
            token=name,
            meta=empty,
            dtype=empty.dtype,
            chunks=(self.value.chunks[0], *((size,) for size in empty.shape[1:])),
            drop_axis=list(range(1, self.value.ndim)),
            new_axis=list(range(1, empty.ndim)),
        )

    def of_tasks(
        self, graph: dict[Any, Any], name: str, n_rows: Sequence[float]
    ) -> Any:
        """Return an array whose blocks are what tasks yield.

        Parameters
        ----------
        graph, name, n_rows
            As for `Collection.of_tasks`.
        """
        return array_of_tasks(self.value, graph, name, n_rows)

    def made_up_rows(self) -> Iterator[Piece]:
        """Yield a row of text, if the type can hold it, one of ones, one of zeros.

        Raises
        ------
        ValueError
            If the number of columns is unknown.
        """
        X = self.value
        if np.isnan(X.shape[1:]).any():
            raise ValueError(
                f"The number of columns of X is unknown (shape {X.shape}); expected a "
                "known one. Call `compute_chunk_sizes()` on X."
            )
        shape = (1, *map(int, X.shape[1:]))
        values: list[Any] = ["a", 1, 0] if X.dtype.kind in "OUST" else [1, 0]
        for value in values:
            row = np.full(shape, value, dtype=X.dtype)
            yield row if isinstance(X._meta, np.ndarray) else type(X._meta)(row)

    def with_text(self) -> Data:
        """Return an array with empty text for missing documents; a table as it is."""
        X = self.value
        if not may_miss(X):
            return X
        filled = X.map_blocks(
            without_missing, dtype=object, meta=np.empty(0, dtype=object)
        )
        if self.mapped is None:
            return filled
        stage = Stage(without_missing, "without_missing", token=filled.name)
        mapped = Mapped(self.mapped.sources, (*self.mapped.stages, stage))
        return MappedArray.of(filled, mapped)
