"""`Batching`: which rows of blocks that follow each other make a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from incremental._blocks.block import Block
from incremental._blocks.collections import as_collection
from incremental._blocks.rows import is_one_array, n_rows
from incremental._typing import Estimator

#: The values in a batch of `batch_size="auto"`, and in a row whose length says nothing.
VALUES = 1_000_000
VALUES_IN_SPARSE_ROW = 100

# Blocks whose rows were read but are not fitted yet, in order.
Waiting = Sequence[Block]


@dataclass(frozen=True)
class Batching:
    """A rule that cuts the rows of a pass into batches.

    The batches depend on the rows and their order alone, not on where blocks end. An
    estimator may need some rows at least. Then fewer rows at the end of a pass join
    the batch before them, as with `sklearn.utils.gen_batches`.

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
        waiting : sequence of Block
        block : Block

        Returns
        -------
        due : list of Block
            Each is a whole number of batches: one if there is no size.
        waiting : sequence of Block
            The rows that wait now.
        """
        if self.size is not None:
            return self._take_rows(waiting, block, self.size)
        if self.least <= 1:
            return [block], ()
        return self._take_blocks([*waiting, block])

    def _take_blocks(self, blocks: list[Block]) -> tuple[list[Block], Waiting]:
        """Return the first blocks that suffice, if those after them suffice too."""
        rows, end = 0, 0
        while end < len(blocks) and rows < self.least:
            rows += n_rows(blocks[end]["X"])
            end += 1
        later = blocks[end:]
        if _count(later) < self.least:
            return [], blocks
        return [_joined(blocks[:end])], later

    def _take_rows(
        self, waiting: Waiting, block: Block, size: int
    ) -> tuple[list[Block], Waiting]:
        held, rows = _count(waiting), n_rows(block["X"])
        # So many rows stay that the last batch of the pass is never too small.
        spare = self.least if self.least > 1 else 0
        due = max(held + rows - spare, 0) // size * size
        if not due:
            return [], (*waiting, block)
        block = block.by_rows()
        head = min(-held % size, rows)
        first = _joined([*waiting, block.take(0, head)])
        body = max(due - held, head)
        parts = [first.take(0, due), block.take(head, body)]
        # Copied, since a view would keep the whole block in memory.
        left = [first.take(due, held + head), Block.join([block.take(body, rows)])]
        return list(filter(_has_rows, parts)), tuple(filter(_has_rows, left))

    def rest(self, waiting: Waiting) -> list[Block]:
        """Return the last batch of a pass: all rows that wait, if there are any."""
        return [_joined(waiting)] if waiting else []


WHOLE_BLOCKS = Batching()


def _has_rows(block: Block) -> bool:
    return n_rows(block["X"]) > 0


def _count(blocks: Waiting) -> int:
    return sum(n_rows(block["X"]) for block in blocks)


def _joined(blocks: Sequence[Block]) -> Block:
    filled = list(filter(_has_rows, blocks)) or blocks[:1]
    return filled[0] if len(filled) == 1 else Block.join(filled)


def rows_of_batch(batch_size: Any, X: Any) -> int | None:
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


def in_c_order(batch: Block) -> Block:
    """Return a batch whose tables lie in memory row by row.

    How its rows lay in blocks must not matter: sums over another order of values are
    rounded differently.
    """
    return batch.replace(**{name: _in_c_order(batch[name]) for name in batch})


def _in_c_order(piece: Any) -> Any:
    if type(piece) is np.ndarray:
        return np.ascontiguousarray(piece)
    if is_one_array(piece):
        values = np.ascontiguousarray(piece.to_numpy())
        return type(piece)(values, piece.index, piece.columns, copy=False)
    return piece
