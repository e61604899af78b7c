"""Digests of blocks: whether one that is read again is what was fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from toolz import pipe

from incremental._blocks.rows import n_rows, take_rows
from incremental._fit.step import Fitting, Steps
from incremental._fit.tokens import tokenize

SIZE = 16
UNKNOWN = bytes(SIZE)

_ROWS = 64

Functions = Sequence[Callable[[Any], Any]]


def digest(names: tuple[str, ...], functions: Functions, *pieces: Any) -> bytes:
    """Describe a block by its lengths, names and types, and by some of its rows.

    These are the first, the last and others that are spread evenly over the block. It
    makes no difference how the block lies in memory.

    Parameters
    ----------
    names : tuple of str
        What the pieces are.
    functions : sequence of callable
        What X is still to go through. What they yield for some rows has to be the same
        rows of what they yield for all.
    *pieces : array, sparse matrix, frame or list
    """
    found = blake2b(digest_size=SIZE)
    if n_rows(pieces[0]):
        # Frames come first, and X may be one or not.
        for name, piece in sorted(zip(names, pieces, strict=True), key=_first):
            found.update(repr((name, n_rows(piece))).encode())
            for rows in _some_rows(piece):
                mapped = pipe(rows, *functions) if name == "X" else rows
                for part in _parts(mapped):
                    found.update(part)
    return found.digest()


def _first(named: tuple[str, Any]) -> str:
    return named[0]


def _some_rows(piece: Any) -> list[Any]:
    """Cut out rows, as slices: to take them one by one costs ten times as much."""
    step = -(-n_rows(piece) // _ROWS)
    return [
        take_rows(piece, slice(None, None, step)),
        take_rows(piece, slice(-1, None)),
    ]


def _parts(rows: Any) -> list[bytes]:
    """Return what makes rows different from others, however they lie in memory."""
    if hasattr(rows, "iloc"):
        if rows.ndim == 1:
            return [repr((rows.name, _type(rows.dtype))).encode(), *_values(rows)]
        types = list(map(_type, rows.dtypes.to_numpy()))
        about = repr([list(rows.columns), types]).encode()
        # One type after the other, as a column at a time takes many times as long.
        alike = [np.flatnonzero(np.equal(types, one)) for one in dict.fromkeys(types)]
        groups = (rows.iloc[:, at] for at in alike) if len(alike) > 1 else (rows,)
        return [about, *(part for one in groups for part in _values(one))]
    return [tokenize(rows).encode()]


def _values(rows: Any) -> list[bytes]:
    return _parts(rows.to_numpy())


def _type(dtype: Any) -> str:
    return dtype.str if isinstance(dtype, np.dtype) else dtype.name


@dataclass(frozen=True)
class Described:
    """Prepare a block, and hand on its digest as one piece more.

    Parameters
    ----------
    prepare : callable
    names : tuple of str
        What the pieces of a block are.
    functions : sequence of callable
        As for `digest`.
    """

    prepare: Callable[..., Any]
    names: tuple[str, ...]
    functions: Functions

    def __call__(self, *pieces: Any) -> tuple[Any, bytes]:
        """Return what is prepared, and the digest of the pieces."""
        found = digest(self.names, self.functions, *pieces)
        return self.prepare(*pieces), found


@dataclass(frozen=True)
class Compared:
    """Fit a block that is what it was in the pass before, and keep its digest.

    Parameters
    ----------
    step : callable
    names : tuple of str
        What the pieces of a block are.
    functions : sequence of callable
        As for `digest`.
    expected : bytes
        The digests of the blocks in the order of the pass; `UNKNOWN` for any.
    prepared : bool
        Whether the last piece is the digest.
    """

    step: Callable[..., Fitting]
    names: tuple[str, ...]
    functions: Functions
    expected: bytes
    prepared: bool

    def __call__(self, fitting: Fitting, *pieces: Any) -> Fitting:
        """Return the fitting after one more block.

        Raises
        ------
        ValueError
            If the block is not what it was.
        """
        if self.prepared:
            *pieces, found = pieces  # type: ignore[assignment]
        else:
            found = digest(self.names, self.functions, *pieces)
        place = len(fitting.digests)
        if self.expected[place : place + SIZE] not in (found, UNKNOWN):
            raise ValueError(f"The block {DIFFERS}. {REMEDY}")
        return self.step(fitting, *pieces)._replace(digests=fitting.digests + found)


DIFFERS = "has other rows, columns or types than when the fit read it before"
REMEDY = (
    "With `checkpoint` each read has to yield the same rows. Where they are drawn anew "
    "(augmented, sampled or shuffled without a seed), give a seed, or fit without "
    "`checkpoint`. Where the data have changed, remove the checkpoints to begin anew."
)


def compared(
    plan: Steps, names: tuple[str, ...], functions: Functions, expected: bytes
) -> Steps:
    """Plan to compare each block with its digest.

    In the parallel part of the fit, if it has one.

    Parameters
    ----------
    plan : Steps
    names, functions, expected
        As for `Compared`.
    """
    prepared = plan.prepare is not None
    step = Compared(plan.step, names, functions, expected, prepared)
    if plan.prepare is None:
        return plan._replace(step=step)
    return plan._replace(step=step, prepare=Described(plan.prepare, names, functions))
