"""`Stream`: the rows that all candidates learn from, counted in blocks or batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from incremental._graph.blocks import Blocks
from incremental._graph.held import Held, hold
from incremental._graph.recut import counted


class Position(NamedTuple):
    """A place in the stream.

    Attributes
    ----------
    place : int
        How many blocks of the pass are taken.
    offset : int
        How many rows of the next one are taken.
    units : int
        How many blocks or batches are taken, over all passes.
    """

    place: int = 0
    offset: int = 0
    units: int = 0


START = Position()


class Run(NamedTuple):
    """Rows that candidates take in one go.

    Attributes
    ----------
    blocks : Blocks
    order : tuple of int
        The positions of the blocks to take.
    n_read : int
        How many blocks are read for it.
    end : Position
        Where the stream is then.
    """

    blocks: Blocks
    order: tuple[int, ...]
    n_read: int
    end: Position


class Stream:
    """The rows that candidates learn from.

    A block of which only some batches are due is read once, and held until the rest is
    due, for all candidates together.

    Parameters
    ----------
    blocks : Blocks
        What `settle` returned.
    size : int or None
        How many rows a batch has. None if the stream is counted in blocks.
    """

    def __init__(self, blocks: Blocks, size: int | None) -> None:
        self.blocks = blocks if size is None else counted(blocks)
        self._size = size
        self._held: tuple[int, Held] | None = None

    @property
    def unit(self) -> str:
        """What the stream is counted in, for people."""
        return "blocks" if self._size is None else "batches"

    def next(
        self,
        order: Sequence[int],
        start: Position,
        stop: int,
        most: int | None = None,
    ) -> Run:
        """Return the next rows to take: whole blocks, or a part of one.

        Parameters
        ----------
        order : sequence of int
            The positions of the blocks of the pass.
        start : Position
        stop : int
            Before how many units the run ends at the latest. More than are taken.
        most : int, optional
            Of how many blocks it takes rows at most. By default there is no limit.
        """
        if self._size is None:
            taken = tuple(order[start.place :][: stop - start.units][:most])
            end = Position(start.place + len(taken), 0, start.units + len(taken))
            return Run(self.blocks, taken, len(taken), end)
        known = self.blocks.n_rows or ()
        rows = [known[at] for at in order]
        before, total = sum(rows[: start.place]) + start.offset, sum(rows)
        batches = before // self._size + stop - start.units
        due = min(batches * self._size, total) - before
        place, left = start.place, due
        end_at = len(order) if most is None else min(place + most, len(order))
        while not start.offset and place < end_at and rows[place] <= left:
            left -= rows[place]
            place += 1
        taken = tuple(order[start.place : place])
        if taken:
            units = self._n_batches(before, before + due - left, total)
            end = Position(place, 0, start.units + units)
            return Run(self.blocks, taken, len(taken), end)
        offset = min(start.offset + due, rows[place])
        n_read, held = self._hold(order[place])
        part = held.cut([slice(start.offset, offset)])
        units = self._n_batches(before, before + offset - start.offset, total)
        end = Position(place, offset, start.units + units)
        if offset == rows[place]:
            end, self._held = Position(place + 1, 0, end.units), None
        return Run(part, (0,), n_read, end)

    def _n_batches(self, before: int, after: int, total: int) -> int:
        """Return how many batches end between two rows of a pass."""
        size = self._size or 1

        def ended(rows: int) -> int:
            # The last batch of a pass may be smaller.
            return -(-total // size) if rows == total else rows // size

        return ended(after) - ended(before)

    def _hold(self, at: int) -> tuple[int, Held]:
        """Return a block that is held, and how many had to be read for it."""
        if self._held is not None and self._held[0] == at:
            return 0, self._held[1]
        held = hold(self.blocks, at)
        self._held = at, held
        return 1, held
