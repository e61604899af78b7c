"""`RowShuffle`: mixes the rows of a few blocks that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from incremental._blocks.block import Block
from incremental._blocks.rows import n_rows


class Mixing(NamedTuple):
    """The rows that a `RowShuffle` holds.

    Attributes
    ----------
    seed : int
        Draws the order of the rows of a pass.
    shares : tuple of tuple of Block
        For each block that has rows left, the shares that are still to be used.
    n_taken : int
        How many blocks were taken in this pass.
    largest : int
        The number of rows of the largest block taken in this pass.
    """

    seed: int = 0
    shares: Sequence[Sequence[Block]] = ()
    n_taken: int = 0
    largest: int = 0

    def map_rows(self, function: Callable[[Block], Block]) -> Mixing:
        """Return it with what a function makes of the rows that it holds."""
        shares = tuple(tuple(map(function, held)) for held in self.shares)
        return self._replace(shares=shares)


@dataclass(frozen=True)
class RowShuffle:
    """A rule that draws rows from a window of blocks, in a random order.

    The rows of each block are divided at random into ``window + 1`` shares. One share
    is used at once, and one more with each of the next `window` blocks. So rows of
    ``window + 1`` blocks are mixed, and the rows held are about those of half as many
    blocks.

    Parameters
    ----------
    window : int
        By how many blocks a row is moved at most.
    """

    window: int

    def take(self, mixing: Mixing, block: Block) -> tuple[Block, Mixing]:
        """Add a block, and return a share of each of the last blocks, mixed."""
        rng = np.random.RandomState([mixing.seed, mixing.n_taken])
        rows = n_rows(block["X"])
        order = np.array_split(rng.permutation(rows), self.window + 1)
        added = [block.pick(chosen) for chosen in order]
        held = [*mixing.shares, added]
        due = Block.join([shares[0] for shares in held])
        left = tuple(tuple(shares[1:]) for shares in held if len(shares) > 1)
        largest = max(rows, mixing.largest)
        after = mixing._replace(
            shares=left, n_taken=mixing.n_taken + 1, largest=largest
        )
        return _permuted(due, rng), after

    def rest(self, mixing: Mixing) -> list[Block]:
        """Return all rows that are left at the end of a pass, mixed, as blocks."""
        if not mixing.shares:
            return []
        rng = np.random.RandomState([mixing.seed, mixing.n_taken])
        left = Block.join([share for shares in mixing.shares for share in shares])
        return list(_permuted(left, rng).batches(max(mixing.largest, 1)))


def _permuted(block: Block, rng: np.random.RandomState) -> Block:
    return block.pick(rng.permutation(n_rows(block["X"])))
