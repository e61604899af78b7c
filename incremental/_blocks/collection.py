"""`Collection`: what the library asks of data, whatever kind of data it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.tokenize import normalize_token

from incremental._blocks.rows import is_pandas
from incremental._blocks.stages import Mapped
from incremental._typing import Data, Piece


class Collection(ABC):
    """An adapter of data of one kind, which shows them as blocks of rows.

    Parameters
    ----------
    value : object
        The data.
    """

    #: Whether the data are a dask collection, not data in memory.
    is_lazy: ClassVar[bool] = True
    #: Whether the rows have index labels, which must agree when rows are paired.
    has_index: ClassVar[bool] = False
    #: Whether the rows may have columns. A bag's rows are single objects.
    is_table: ClassVar[bool] = True

    def __init__(self, value: Data) -> None:
        self.value = value

    @property
    @abstractmethod
    def n_blocks(self) -> int:
        """The number of blocks."""

    @property
    def n_rows(self) -> tuple[int, ...] | None:
        """The number of rows of each block; None if not known."""
        return None

    @property
    def example(self) -> Data:
        """An object with the columns and types of the data; None if not known."""
        return None

    @property
    def mapped(self) -> Mapped | None:
        """How a wrapper made the data; None if no wrapper did."""
        return None

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of layers of the data's graph, to see what others compute too.

        Empty if that is never asked for data of this kind.
        """
        return ()

    def unmapped(self) -> Collection:
        """Return a collection of the same data that does not know how it was made."""
        return self

    @property
    def categories(self) -> Piece:
        """All values that may occur in the data; None if they do not declare them."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Name the kind of the data, for error messages."""

    @abstractmethod
    def read(self) -> Data:
        """Return the data in the form that is read. Its blocks are those of a fit."""

    def with_whole_rows(self, name: str) -> Collection:
        """Return a collection of which each block holds all columns of its rows.

        Parameters
        ----------
        name : str
            What error messages call the data.

        Raises
        ------
        ValueError
            If that is not possible.
        """
        return self

    def cut_as(self, name: str, leader: Collection, leader_name: str) -> Collection:
        """Return a collection of the same rows, cut where the leader is cut.

        Parameters
        ----------
        name : str
            What error messages call the data.
        leader : Collection
            The collection that says where to cut.
        leader_name : str
            What error messages call the leader.

        Returns
        -------
        Collection
            Itself if it need not be cut.

        Raises
        ------
        ValueError
            If that is not possible.
        """
        return self

    @abstractmethod
    def map_blocks(
        self, function: Callable[..., Any], name: str, empty: Piece, *args: Any
    ) -> Data:
        """Call a function on each block and return the results as one collection.

        Parameters
        ----------
        function : callable
            ``function(block, *args)``. dask also passes the position of the block, as
            ``block_id`` or ``partition_info``, if the function takes it.
        name : str
            What dask's diagnostics call the tasks.
        empty : array, pandas.Series or pandas.DataFrame
            An output of the function without rows.
        *args
            Further arguments of the function, such as a Delayed.

        Returns
        -------
        dask array, dataframe or series
            For data in memory, what the function returned.
        """

    @abstractmethod
    def of_tasks(
        self, graph: dict[Any, Any], name: str, n_rows: Sequence[float]
    ) -> Data:
        """Return a collection of the same kind and columns, of other rows.

        Parameters
        ----------
        graph : dict of task key to task
            It has a task ``(name, place)`` for each block.
        name : str
        n_rows : sequence of float
            The number of rows of each block; NaN where it is not known.

        Returns
        -------
        dask array, dataframe, series or bag
        """

    @abstractmethod
    def made_up_rows(self) -> Iterator[Piece]:
        """Yield made-up rows, one at a time, the likeliest to be valid first."""

    def with_text(self) -> Data:
        """Return the data with empty text in place of missing values."""
        return self.value


def different_lengths(
    name: str, shape: tuple[int, ...], leader: str, rows: int
) -> ValueError:
    """Return the error for data with another number of rows than the leader.

    Parameters
    ----------
    name : str
        What the message calls the data.
    shape : tuple of int
        The shape of the data.
    leader : str
        What the message calls the leader.
    rows : int
        The number of rows of the leader.
    """
    return ValueError(
        f"{name} has shape {shape} but {leader} has {rows} rows; expected the same "
        "number of rows. Pass collections of the same rows."
    )


def array_of_tasks(
    like: Any, graph: dict[Any, Any], name: str, n_rows: Sequence[float]
) -> Any:
    """Return a dask array whose blocks are what tasks yield.

    Parameters
    ----------
    like : dask array or array
        What it is like but for the number of rows.
    graph, name, n_rows
        As for `Collection.of_tasks`.
    """
    meta = like._meta if isinstance(like, da.Array) else like[:0]
    # The keys of the blocks of an array have a number for each dimension.
    zeros = (0,) * (like.ndim - 1)
    made = f"{name}-rows"
    keys = {(made, at, *zeros): (name, at) for at in range(len(n_rows))}
    layers = {name: graph, made: keys}
    high = HighLevelGraph(layers, {name: set(), made: {name}})
    chunks = tuple(n_rows), *((size,) for size in like.shape[1:])
    return da.Array(high, made, chunks, dtype=like.dtype, meta=meta)


def frame_of_tasks(
    empty: Any,
    graph: dict[Any, Any],
    name: str,
    n_blocks: int,
    divisions: Sequence[Any] | None = None,
) -> Any:
    """Return a dask dataframe or series whose partitions are what tasks yield.

    Parameters
    ----------
    empty : pandas.DataFrame or pandas.Series
        One without rows.
    graph, name
        As for `Collection.of_tasks`.
    n_blocks : int
    divisions : sequence, optional
        The labels at which the partitions begin, and the last one of all.
    """
    import dask.dataframe as dd

    known = (None,) * (n_blocks + 1) if divisions is None else tuple(divisions)
    keys = [(name, at) for at in range(n_blocks)]
    return dd.from_graph(_Tasks(graph, name), empty, known, keys, "rows")


class _Tasks(dict[Any, Any]):
    """Tasks that have a name of their own, by which dask knows them.

    It would pickle each of them otherwise, which takes seconds for 1,000 blocks.
    """

    def __init__(self, graph: dict[Any, Any], name: str) -> None:
        super().__init__(graph)
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _Tasks, (dict(self), self.name)


def _token_of(tasks: _Tasks) -> tuple[str, str]:
    return "tasks", tasks.name


normalize_token.register(_Tasks, _token_of)


def map_delayed(
    parts: list[Delayed],
    function: Callable[..., Any],
    name: str,
    empty: Piece,
    args: Sequence[Any],
) -> Data:
    """Call a function on blocks and return the results as an array.

    Parameters
    ----------
    parts : list of Delayed
        The blocks.
    function : callable
        ``function(block, *args, block_id=(position,))``, which returns an array.
    name : str
        The name of the tasks. Calls with equal arguments share a task.
    empty : array
        An output of the function without rows.
    args : sequence
        Further arguments of the function.

    Returns
    -------
    dask array
        Its number of rows is unknown.
    """
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


def check_yields_array(empty: Piece, value: Data) -> None:
    """Check that blocks without an index do not become pandas objects.

    Parameters
    ----------
    empty : array, pandas.Series or pandas.DataFrame
        The output for each block, without rows.
    value : dask array or bag
        The collection of the blocks, whose type the error message names.

    Raises
    ------
    TypeError
        If `empty` is a pandas object.
    """
    if is_pandas(empty):
        raise TypeError(
            f"Expected an array for the blocks of a dask {type(value).__name__}, got a "
            f"pandas {type(empty).__name__}. Pass a dask dataframe, or let the "
            "estimator and the meta parameters yield arrays "
            "(`set_output(transform='default')`)."
        )
