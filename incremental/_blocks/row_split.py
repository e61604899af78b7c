"""`RowSplit`: some rows of a block are drawn, and the others are left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incremental._blocks.block import Block
from incremental._blocks.rows import is_pandas
from incremental._errors import noted
from incremental._typing import Piece


@dataclass(frozen=True)
class RowSplit:
    """A function that splits a block into two of some of its rows each.

    It draws the same rows whenever it is called on the same block.

    Parameters
    ----------
    share : float
        How many of the rows are drawn, between 0 and 1.
    seed : int
        What draws them.
    by : str or None
        The name of the piece by whose values they are stratified.
    """

    share: float
    seed: int
    by: str | None = None

    def count(self, n_rows: int) -> int:
        """Return how many of some rows are drawn.

        The number is rounded at random, so that the share holds on average also for
        blocks of very few rows.
        """
        return int(n_rows * self.share + self._rng().random())

    def __call__(self, block: Block) -> tuple[Block, Block]:
        """Return the rows that are left, and those that are drawn, in their order."""
        n_rows = block.count_rows()
        drawn = np.zeros(n_rows, dtype=bool)
        drawn[self._draw(block, n_rows)] = True
        block = block.by_rows()
        return block.pick(np.flatnonzero(~drawn)), block.pick(np.flatnonzero(drawn))

    def _draw(self, block: Block, n_rows: int) -> NDArray[np.integer[Any]]:
        rng = self._rng()
        rng.random()  # It rounded the number.
        rows = rng.permutation(n_rows)
        count = self.count(n_rows)
        if self.by is None or n_rows == 0:
            return rows[:count]
        groups = _groups(self.by, block[self.by])[rows]
        sizes = np.bincount(groups)
        wanted = sizes * (count / n_rows)
        taken = np.floor(wanted).astype(int)
        # What is left goes to the groups that lost most when their number was rounded.
        lost = np.lexsort((rng.random(len(sizes)), taken - wanted))
        taken[lost[: count - taken.sum()]] += 1
        rows = rows[np.argsort(groups, kind="stable")]
        first = np.repeat(np.cumsum(sizes) - sizes, sizes)
        return rows[np.arange(n_rows) - first < np.repeat(taken, sizes)]

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def _groups(name: str, values: Piece) -> NDArray[np.integer[Any]]:
    """Return for each value the number of the group of those that are equal to it.

    Raises
    ------
    ValueError
        If there are several values for each row.
    """
    if np.ndim(values) != 1:
        raise ValueError(
            f"{name} must have one value for each row, got shape {np.shape(values)}. "
            "Pass one of its columns."
        )
    if is_pandas(values):
        # Missing values are a group too.
        return np.unique(values.factorize()[0], return_inverse=True)[1]
    with noted(f"{name} is of values that cannot be compared"):
        return np.unique(np.asarray(values), return_inverse=True)[1]
