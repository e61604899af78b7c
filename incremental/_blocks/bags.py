"""dask bags as collections of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from incremental._blocks.collection import (
    Collection,
    check_yields_array,
    map_delayed,
)
from incremental._blocks.text import or_empty
from incremental._typing import Data, Piece


class Bag(Collection):
    """The adapter for a dask bag, such as of documents. Its blocks are lists."""

    is_table = False

    @property
    def n_blocks(self) -> int:
        """The number of blocks."""
        return int(self.value.npartitions)

    def describe(self) -> str:
        """Say that it is a bag."""
        return f"dask {type(self.value).__name__}"

    def read(self) -> Data:
        """Return a bag whose blocks are lists. Before, they may be iterators."""
        return self.value.map_partitions(list)

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
        return map_delayed(self.read().to_delayed(), function, name, empty, args)

    def of_tasks(
        self, graph: dict[Any, Any], name: str, n_rows: Sequence[float]
    ) -> Any:
        """Return a bag whose blocks are what tasks yield.

        Parameters
        ----------
        graph, name, n_rows
            As for `Collection.of_tasks`.
        """
        return type(self.value)(graph, name, len(n_rows))

    def made_up_rows(self) -> Iterator[Piece]:
        """Yield a document, then a mapping and a list, as hashers of features take."""
        yield ["a"]
        yield [{"a": 1}]
        yield [["a"]]

    def with_text(self) -> Data:
        """Return a bag with empty text in place of missing documents."""
        return self.value.map(or_empty)
