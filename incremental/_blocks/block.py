"""`Block`: the same rows of X, y and everything else that has a value for each row."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incremental._blocks.columns import Columns, columns_of
from incremental._blocks.rows import by_rows, join_rows, n_rows, pick_rows, take_rows
from incremental._typing import Piece


class Block(Mapping[str, Piece]):
    """One block: the same rows of several inputs, in memory.

    Parameters
    ----------
    pieces : dict of str to array, sparse matrix, frame or list
        The rows of each input, by its name, such as ``"X"`` or ``"y"``.
    columns : dict of str to names or int, optional
        For each input, the names of its columns or else their number, as they were
        before X went through stages. By default those of `pieces`.
    digest : bytes, default=b""
        The digest by which the block is recognised when it is read again. Empty if
        it need not be recognised.

    Examples
    --------
    >>> import numpy as np
    >>> block = Block({"X": np.ones((3, 2)), "y": np.arange(3)})
    >>> block.count_rows()
    3
    >>> [batch["y"].tolist() for batch in block.batches(2)]
    [[0, 1], [2]]
    """

    __slots__ = ("_pieces", "columns", "digest")

    def __init__(
        self,
        pieces: Mapping[str, Piece],
        columns: Columns | None = None,
        digest: bytes = b"",
    ) -> None:
        self._pieces = dict(pieces)
        self.columns = columns_of(self._pieces) if columns is None else columns
        self.digest = digest

    def __getitem__(self, name: str) -> Piece:
        return self._pieces[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def get(self, name: str, default: Piece = None) -> Piece:
        """Return a piece, or the default if there is none of that name."""
        return self._pieces.get(name, default)

    def __reduce__(self) -> tuple[Any, ...]:
        return Block, (self._pieces, self.columns, self.digest)

    def count_rows(self) -> int:
        """Count the rows.

        Raises
        ------
        ValueError
            If the pieces differ in their number of rows.
        """
        counts = {name: n_rows(piece) for name, piece in self._pieces.items()}
        if len(set(counts.values())) > 1:
            received = ", ".join(f"{name} has {rows}" for name, rows in counts.items())
            raise ValueError(
                f"The pieces of a block must have the same number of rows: {received}. "
                "The collections are cut at different rows, or one of them declares "
                "chunks that it does not have. Cut them from one collection, or write "
                "them down together and read them back."
            )
        return next(iter(counts.values()))

    def replace(self, **pieces: Piece) -> Block:
        """Return this block with the given pieces in place of those of their names."""
        return Block({**self._pieces, **pieces}, self.columns, self.digest)

    def only(self, names: Container[str]) -> Block:
        """Return this block with the pieces of some names alone."""
        pieces = {name: piece for name, piece in self._pieces.items() if name in names}
        columns = {name: self.columns[name] for name in pieces}
        return Block(pieces, columns, self.digest)

    def recognised_by(self, digest: bytes) -> Block:
        """Return this block with another digest."""
        return Block(self._pieces, self.columns, digest)

    def by_rows(self) -> Block:
        """Return the same block with pieces whose rows can be sliced."""
        return self.replace(**{name: by_rows(self[name]) for name in self})

    def take(self, start: int, stop: int) -> Block:
        """Return the rows from `start` to `stop`, as views where that is possible."""
        rows = slice(start, stop)
        taken = {name: take_rows(piece, rows) for name, piece in self._pieces.items()}
        return Block(taken, self.columns)

    def pick(self, rows: NDArray[np.integer[Any]]) -> Block:
        """Return copies of rows, in the order of an array of their numbers."""
        picked = {name: pick_rows(piece, rows) for name, piece in self._pieces.items()}
        return Block(picked, self.columns)

    def batches(self, size: int | None) -> Iterator[Block]:
        """Yield the batches of the block.

        Parameters
        ----------
        size : int or None
            The number of rows of each batch but the last, which may have fewer. None
            makes the whole block one batch.
        """
        if size is None:
            yield self
            return
        # Converted once here, and not again for each batch.
        block = self.by_rows()
        for start in range(0, self.count_rows(), size):
            yield block.take(start, start + size)

    @classmethod
    def join(cls, blocks: Sequence[Block]) -> Block:
        """Put the rows of blocks below each other, as copies."""
        filled = [one for one in blocks if n_rows(one["X"])] or blocks[:1]
        first = filled[0]
        joined = {name: join_rows([one[name] for one in filled]) for name in first}
        return cls(joined, first.columns)
