"""Stages: functions that the X of a block goes through, without learning.

X may go through stages whole, or in parts that fit in the processor's cache. Parts are
faster: what a stage yields is still in the cache when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from toolz import pipe

from incremental._blocks.rows import n_rows, rows_in_cache
from incremental._typing import Data, Piece


class Stage(NamedTuple):
    """A function of the X of a block that needs no learning.

    Attributes
    ----------
    function : callable
        Takes the X of a block, or a tuple of several. It can be pickled.
    name : str
        What diagnostics and logs call it, such as ``"transform"``.
    row_local : bool
        Whether each row of the result depends, bit by bit, only on the same row of an
        array. Then the rows may go through the stage in parts.
    token : str or None
        The name of the result. Stages of the same token yield the same for a block,
        and only the first of them runs. None for a stage that always runs.
    """

    function: Callable[[Piece], Piece]
    name: str
    row_local: bool = False
    token: str | None = None


class Mapped(NamedTuple):
    """How a wrapper made one lazy array.

    Attributes
    ----------
    sources : tuple of dask collections
        The collections that are read. They have the same blocks.
    stages : tuple of Stage
        What a block of the source goes through. With several sources the first
        stage takes a tuple of their blocks.
    """

    sources: tuple[Data, ...]
    stages: tuple[Stage, ...]


def apply_once(stages: Sequence[Stage], X: Piece, results: dict[str, Piece]) -> Piece:
    """Put X through stages, and run no stage twice for a block.

    Several pieces of a block may go through the same stage. If it ran for each of
    them, and draws at random, the pieces would not fit together.

    Parameters
    ----------
    stages : sequence of Stage
    X : array, frame or list, or a tuple of several
        What the first stage takes.
    results : dict of token to result
        The results of stages for this block. New results are added to it.

    Returns
    -------
    array or frame
        The result of the last stage, or X if there is none.
    """
    for stage in stages:
        if stage.token is None:
            X = stage.function(X)
            continue
        if stage.token not in results:
            results[stage.token] = stage.function(X)
        X = results[stage.token]
    return X


def apply(stages: Sequence[Stage], X: Piece) -> Piece:
    """Put the X of a block through stages, one after the other."""
    return pipe(X, *(stage.function for stage in stages))


def local_suffix(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages after the last one that is not row-local."""
    at = len(stages)
    while at and stages[at - 1].row_local:
        at -= 1
    return tuple(stages[at:])


@dataclass(frozen=True)
class InParts:
    """An X whose rows go through stages when they are taken with a slice.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        X before the stages.
    stages : sequence of Stage
        Row-local stages.
    """

    rows: NDArray[Any]
    stages: Sequence[Stage]

    @classmethod
    def of(cls, X: Piece, stages: Sequence[Stage]) -> Piece:
        """Put off the stages of a NumPy array; apply them to other data at once.

        Taking rows of other data would need a copy.

        Parameters
        ----------
        X : array, sparse matrix, frame or list
        stages : sequence of Stage
            Row-local stages.

        Returns
        -------
        InParts, or what the stages yield for other data
        """
        if stages and type(X) is np.ndarray:
            return cls(X, stages)
        return apply(stages, X)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of X before the stages."""
        return tuple(self.rows.shape)

    def __getitem__(self, rows: slice) -> Piece:
        return apply(self.stages, self.rows[rows])


def apply_in_c_order(stages: Sequence[Stage], X: Piece) -> Piece:
    """Put X through row-local stages, a NumPy array in parts that fit in the cache.

    If the stages yield arrays for the parts, the result is one array in C order. If
    they yield pandas objects, X goes through whole.
    """
    parts = InParts.of(X, stages)
    if not isinstance(parts, InParts):
        return parts
    size = rows_in_cache(X)
    first = parts[:size]
    if not isinstance(first, np.ndarray):
        return parts[:]
    output = np.empty((n_rows(X), *first.shape[1:]), first.dtype)
    output[:size] = first
    for start in range(size, len(output), size):
        output[start : start + size] = parts[start : start + size]
    return output
