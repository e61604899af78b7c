"""`Batching`: cuts the rows of consecutive blocks into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp

from incremental._blocks.block import Block
from incremental._blocks.collections import as_collection
from incremental._blocks.rows import is_one_array, n_rows
from incremental._typing import Data, Estimator, Piece

#: How many values a batch has with `batch_size="auto"`, and how many are assumed in a
#: row of sparse data, or of data without columns such as text.
VALUES = 1_000_000
VALUES_IN_SPARSE_ROW = 100


class Waiting(NamedTuple):
    """Rows that were read but are not fitted yet.

    Attributes
    ----------
    blocks : tuple of Block
        They hold the rows, in order.
    n_rows : int
        How many rows they hold.
    """

    blocks: tuple[Block, ...] = ()
    n_rows: int = 0

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Waiting:
        """Let the rows of some blocks wait."""
        filled = tuple(filter(_has_rows, blocks))
        return cls(filled, sum(n_rows(one["X"]) for one in filled))

    def join(self) -> Block:
        """Return the rows as one block."""
        return self.blocks[0] if len(self.blocks) == 1 else Block.join(self.blocks)

    def map(self, function: Callable[[Block], Block]) -> Waiting:
        """Return what a function makes of the blocks."""
        return self._replace(blocks=tuple(map(function, self.blocks)))


@dataclass(frozen=True)
class Batching:
    """A rule that cuts the rows of a pass into batches.

    With a `size`, the batches depend on the rows and their order alone. If fewer than
    `least` rows are left at the end of a pass, they join the batch before, as with
    `sklearn.utils.gen_batches`.

    Parameters
    ----------
    size : int or None
        The number of rows of a batch. If None, a batch is a block, or as many blocks
        as make `least` rows.
    least : int, default=1
        How many rows the estimator needs at least to learn from.
    """

    size: int | None = None
    least: int = 1

    def take(self, waiting: Waiting, block: Block) -> tuple[list[Block], Waiting]:
        """Add a block to the rows that wait, and return what is due.

        Parameters
        ----------
        waiting : Waiting
        block : Block

        Returns
        -------
        due : list of Block
            Each holds one or more whole batches; exactly one if `size` is None.
        waiting : Waiting
            The rows that wait now.
        """
        if self.size is not None:
            return self._take_rows(waiting, block, self.size)
        if self.least <= 1:
            return [block], Waiting()
        return self._take_blocks([*waiting.blocks, block])

    def _take_blocks(self, blocks: list[Block]) -> tuple[list[Block], Waiting]:
        """Join the fewest first blocks that make `least` rows.

        Return nothing yet unless the blocks after them make `least` rows too.
        """
        rows, end = 0, 0
        while end < len(blocks) and rows < self.least:
            rows += n_rows(blocks[end]["X"])
            end += 1
        later = Waiting.of(blocks[end:])
        if later.n_rows < self.least:
            return [], Waiting.of(blocks)
        return [Waiting.of(blocks[:end]).join()], later

    def _take_rows(
        self, waiting: Waiting, block: Block, size: int
    ) -> tuple[list[Block], Waiting]:
        held, rows = waiting.n_rows, n_rows(block["X"])
        # So many rows stay that the last batch of the pass is never too small.
        spare = self.least if self.least > 1 else 0
        due = max(held + rows - spare, 0) // size * size
        if not due:
            return [], Waiting((*waiting.blocks, block), held + rows)
        block = block.by_rows()
        head = min(-held % size, rows)
        first = Block.join([*waiting.blocks, block.take(0, head)])
        body = max(due - held, head)
        parts = [first.take(0, due), block.take(head, body)]
        # Copied, since a view would keep the whole block in memory.
        left = [first.take(due, held + head), Block.join([block.take(body, rows)])]
        return list(filter(_has_rows, parts)), Waiting.of(left)

    def rest(self, waiting: Waiting) -> list[Block]:
        """Return the last batch of a pass: all rows that wait, if there are any."""
        return [waiting.join()] if waiting.n_rows else []


WHOLE_BLOCKS = Batching()


def _has_rows(block: Block) -> bool:
    return n_rows(block["X"]) > 0


def rows_of_batch(batch_size: int | str | None, X: Data) -> int | None:
    """Return the number of rows of a batch; None if batches are blocks.

    Parameters
    ----------
    batch_size : int, "auto" or None
    X : dask collection or data in memory

    Raises
    ------
    ValueError
        If it is ``"auto"`` and the number of columns is unknown.
    """
    if not isinstance(batch_size, str):
        return None if batch_size is None else int(batch_size)
    value = as_collection(X).value
    columns = getattr(value, "shape", ())[1:]
    if not columns or sp.issparse(getattr(value, "_meta", value)):
        return VALUES // VALUES_IN_SPARSE_ROW
    if any(size != size for size in columns):
        raise ValueError(
            f"batch_size='auto' needs the number of columns, got X of shape "
            f"{value.shape}. Pass a number of rows as batch_size, or call "
            "`compute_chunk_sizes()` on X."
        )
    return int(max(VALUES // max(prod(columns), 1), 1))


def check_least(size: int | None, least: int, estimator: Estimator) -> None:
    """Check that a batch has as many rows as the estimator needs.

    Raises
    ------
    ValueError
        If it has fewer.
    """
    if size is not None and size < least:
        raise ValueError(
            f"batch_size={size} is too small: {type(estimator).__name__} needs at "
            f"least {least} rows to learn from. Pass batch_size={least} or more."
        )


#: How a batch lies in memory: row by row, column by column, or as it comes.
Layout = Literal["C", "F", "K"]


def in_layout(batch: Block, layout: Layout) -> Block:
    """Return a batch whose X lies in memory in a layout, and other tables row by row.

    NumPy sums tables of another memory layout in another order, which rounds
    differently. So the layout must not depend on where blocks end.

    Parameters
    ----------
    batch : Block
    layout : {"C", "F", "K"}
        ``"K"`` leaves the batch as it is.
    """
    if layout == "K":
        return batch
    return batch.replace(
        **{
            name: laid_out(batch[name], layout if name == "X" else "C")
            for name in batch
        }
    )


def laid_out(piece: Piece, layout: Layout) -> Piece:
    """Return a table that lies in memory in a layout. Sparse ones stay as they are.

    Parameters
    ----------
    piece : array or frame
    layout : {"C", "F", "K"}
    """
    if type(piece) is np.ndarray:
        return np.asarray(piece, order=layout)
    if is_one_array(piece):
        values = np.asarray(piece.to_numpy(), order=layout)
        return type(piece)(values, piece.index, piece.columns, copy=False)
    return piece
