"""`Collection`: what the library asks of data, whatever kind of data it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import dask
import dask.array as da
import numpy as np

from incremental._blocks.rows import is_pandas
from incremental._blocks.stages import Mapped


class Collection(ABC):
    """Rows in blocks, as a caller passes them: an adapter for one kind of data.

    Parameters
    ----------
    value : object
        The data.
    """

    #: Whether it is a dask collection, and not data in memory.
    is_lazy: ClassVar[bool] = True
    #: Whether its rows have labels, by which the rows of others can be checked.
    has_index: ClassVar[bool] = False

    def __init__(self, value: Any) -> None:
        self.value = value

    @property
    @abstractmethod
    def n_blocks(self) -> int:
        """The number of blocks."""

    @property
    def n_rows(self) -> tuple[int, ...] | None:
        """The rows of each block; None if they are not known."""
        return None

    @property
    def example(self) -> Any:
        """What has the columns and types of the data, None if they are not known."""
        return None

    @property
    def mapped(self) -> Mapped | None:
        """What a wrapper made the collection from, if one did."""
        return None

    @property
    def categories(self) -> Any:
        """All values that may occur, if the data say so; otherwise None."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Say of which kind it is, for errors."""

    @abstractmethod
    def read(self) -> Any:
        """Return the dask collection whose blocks are those that a fit gets."""

    def with_whole_rows(self, name: str) -> Collection:
        """Return a collection each of whose blocks holds all columns of its rows.

        Raises
        ------
        ValueError
            If there is none; the message calls the data `name`.
        """
        return self

    def cut_as(self, name: str, leader: Collection, leader_name: str) -> Collection:
        """Return a collection of the same rows, cut where another one is cut.

        Parameters
        ----------
        name : str
            What errors call the data.
        leader : Collection
            The other one.
        leader_name : str
            What errors call that.

        Raises
        ------
        ValueError
            If that is not possible.
        """
        check_block_counts(leader_name, leader, name, self)
        return self

    @abstractmethod
    def map_blocks(
        self, function: Callable[..., Any], name: str, empty: Any, *args: Any
    ) -> Any:
        """Return the lazy results of a function of each block.

        Parameters
        ----------
        function : callable
            ``function(block, *args)``; gets the number of the block too, as dask has
            it.
        name : str
            What dask's diagnostics call it.
        empty : array, pandas.Series or pandas.DataFrame
            No rows of what it returns.
        *args
            Further arguments, such as a Delayed.
        """

    @abstractmethod
    def made_up_rows(self) -> Iterator[Any]:
        """Yield single rows as they may occur in the data, the likeliest first."""

    def with_text(self) -> Any:
        """Return the data with empty text in place of missing values."""
        return self.value


def check_block_counts(
    leader_name: str, leader: Collection, name: str, collection: Collection
) -> None:
    """Check that two collections have the same number of blocks.

    Raises
    ------
    ValueError
        If they do not.
    """
    if leader.n_blocks == collection.n_blocks:
        return
    raise ValueError(
        f"{name} ({collection.describe()}) has {collection.n_blocks} blocks but "
        f"{leader_name} ({leader.describe()}) has {leader.n_blocks}, and their rows "
        "are not known, so they cannot be paired. "
        "Arrays made from the columns of one dataframe are cut differently by dask's "
        "optimiser: pass the dataframes themselves, or set "
        '`dask.config.set({"optimization.tune.active": False})` before the conversion '
        "to arrays; collections of known chunk sizes are realigned "
        "(`compute_chunk_sizes()`), dataframes can be cut alike with `repartition`."
    )


def different_lengths(name: str, shape: Any, leader: str, rows: int) -> ValueError:
    """Return the error for data of another number of rows."""
    return ValueError(
        f"{name} has shape {shape} but {leader} has {rows} rows; expected the same "
        "number of rows. Pass collections of the same rows."
    )


def map_delayed(
    parts: list[Any], function: Callable[..., Any], name: str, empty: Any, args: Any
) -> Any:
    """Return an array of unknown lengths, of what a function yields for each part."""
    call = dask.delayed(function, name=name, pure=True, traverse=False)
    blocks = [
        da.from_delayed(
            call(part, *args, block_id=(position,)),
            shape=(np.nan, *empty.shape[1:]),
            dtype=empty.dtype,
            meta=empty,
        )
        for position, part in enumerate(parts)
    ]
    return da.concatenate(blocks, allow_unknown_chunksizes=True)


def check_yields_array(empty: Any, value: Any) -> None:
    """Check that what is made of blocks without an index is no pandas.

    Raises
    ------
    TypeError
        If it is.
    """
    if is_pandas(empty):
        raise TypeError(
            f"Expected an array for the blocks of a dask {type(value).__name__}, got a "
            f"pandas {type(empty).__name__}. Pass a dask dataframe, or let the "
            "estimator and the meta parameters yield arrays "
            "(`set_output(transform='default')`)."
        )
