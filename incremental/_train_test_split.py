"""`train_test_split`: lazy collections of some of the rows, and of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from incremental._blocks.block import Block
from incremental._blocks.collections import as_collection, is_lazy, name_collections
from incremental._blocks.row_split import RowSplit
from incremental._graph.blocks import Blocks, read_blocks
from incremental._graph.fold import for_later, mapped, pick
from incremental._typing import Data, Piece, RandomState

# What error messages call the piece to stratify by.
_STRATIFY = "stratify"


def train_test_split(
    *collections: Data,
    test_size: float = 0.25,
    by: str = "rows",
    shuffle: bool = True,
    random_state: RandomState = None,
    stratify: Data = None,
) -> list[Any]:
    """Split collections into rows to learn from and rows to score on, lazily.

    Nothing is read or gathered. Rows are paired as in `Incremental.fit`. Which rows are
    drawn is settled by the call, so that the parts agree also if each is computed by
    itself. Each read of a block has to yield the same rows in the same order.

    Parameters
    ----------
    *collections : dask array, dataframe, series or bag of shape (n_samples, ...)
        The first is a dask collection. Others may be in memory if it knows the lengths
        of its blocks. All are cut where the first is cut. If it is of xarray, its
        labels are lost.
    test_size : float, default=0.25
        The share of the rows, or of the blocks, to score on.
    by : {"rows", "blocks"}, default="rows"
        Whether rows are drawn in each block, or whole blocks. Where the rows of a block
        are alike, such as in sorted data, whole blocks are no fair sample. But if only
        one part is computed, only its blocks are read.
    shuffle : bool, default=True
        Whether blocks are drawn at random. Otherwise the last ones are those to score
        on. Rows are always drawn at random. Rows and blocks keep their order.
    random_state : int, RandomState instance or None, default=None
        What draws them.
    stratify : array-like or collection of shape (n_samples,), default=None
        Usually y. Of the rows of a block with the same value the same share is drawn,
        as far as their number allows. Missing values count as equal in a dataframe.

    Returns
    -------
    list of dask array, dataframe, series or bag
        The train part of the first collection, its test part, the train part of the
        second, and so on. Dataframes keep their index, but not their divisions. Data
        in memory become a dask array or dataframe.

    Raises
    ------
    TypeError
        If there is no collection, or one of a kind that has no rows.
    ValueError
        If the rows cannot be paired, if the first is in memory, if a parameter is out
        of its range, or if there is only one block and `by` is ``"blocks"``.

    See Also
    --------
    cross_validate : Scores on each part of the data in turn.

    Examples
    --------
    >>> import dask.array as da
    >>> from incremental import train_test_split
    >>> X = da.ones((1000, 5), chunks=(100, 5))
    >>> y = da.arange(1000, chunks=100)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, by="blocks")
    >>> X_train.shape, y_test.shape
    ((800, 5), (200,))
    """
    _check(test_size, by, shuffle, stratify)
    named = name_collections("train_test_split", collections)
    if not is_lazy(collections[0]):
        raise ValueError(
            f"The first collection is in memory ({type(collections[0]).__name__}); "
            "expected a dask collection. scikit-learn's own `train_test_split` splits "
            "data in memory."
        )
    given = {name: as_collection(one) for name, one in named.items()}
    if stratify is not None:
        named = {**named, _STRATIFY: stratify}
    blocks = for_later(read_blocks(named))
    rng = check_random_state(random_state)
    if by == "blocks":
        parts = _draw_blocks(blocks, test_size, rng if shuffle else None)
    else:
        by_value = None if stratify is None else _STRATIFY
        parts = _draw_rows(blocks, test_size, rng, by_value)
    functions = dict(enumerate(parts.functions))
    graph, keys = mapped(blocks, functions, name="split")
    return [
        one.of_tasks(
            *pick(graph, [keys[at] for at in positions], partial(_piece, which, name)),
            n_rows=n_rows,
        )
        for name, one in given.items()
        for which, (positions, n_rows) in enumerate(parts.blocks)
    ]


class _Parts(NamedTuple):
    """How blocks are split into two parts.

    Attributes
    ----------
    functions : sequence of callable
        For each block, the function that makes a pair of blocks of it.
    blocks : sequence of two pairs
        For each part, the positions of its blocks, and the number of rows of each of
        them, which is NaN if it is not known.
    """

    functions: Sequence[Callable[[Block], tuple[Block, Block]]]
    blocks: Sequence[tuple[Sequence[int], Sequence[float]]]


def _draw_blocks(
    blocks: Blocks, share: float, rng: np.random.RandomState | None
) -> _Parts:
    """Draw whole blocks; take the last ones if nothing draws them."""
    if len(blocks) < 2:
        raise ValueError(
            "by='blocks' splits whole blocks, but the first collection has "
            f"{len(blocks)}; expected at least 2. Cut it into more blocks, or pass "
            "by='rows'."
        )
    n_test = min(max(round(len(blocks) * share), 1), len(blocks) - 1)
    order = np.arange(len(blocks)) if rng is None else rng.permutation(len(blocks))
    positions = sorted(order[:-n_test].tolist()), sorted(order[-n_test:].tolist())
    known = blocks.n_rows or [np.nan] * len(blocks)
    return _Parts(
        [_twice] * len(blocks),
        tuple((own, [known[at] for at in own]) for own in positions),
    )


def _draw_rows(
    blocks: Blocks, share: float, rng: np.random.RandomState, by: str | None
) -> _Parts:
    """Draw rows of each block, perhaps stratified by the values of a piece."""
    seeds = rng.randint(2**32, size=len(blocks), dtype=np.uint32)
    splits = [RowSplit(share, int(seed), by) for seed in seeds]
    every = list(range(len(blocks)))
    if blocks.n_rows is None:
        unknown = [np.nan] * len(blocks)
        return _Parts(splits, ((every, unknown), (every, unknown)))
    pairs = list(zip(splits, blocks.n_rows, strict=True))
    test = [split.count(rows) for split, rows in pairs]
    train = [rows - split.count(rows) for split, rows in pairs]
    return _Parts(splits, ((every, train), (every, test)))


def _twice(block: Block) -> tuple[Block, Block]:
    return block, block


def _piece(which: int, name: str, parts: tuple[Block, Block]) -> Piece:
    return parts[which][name]


def _check(test_size: Any, by: Any, shuffle: Any, stratify: Data) -> None:
    """Check the parameters.

    Raises
    ------
    ValueError
        If one is out of its range, or if they contradict each other.
    """
    real = isinstance(test_size, Real) and not isinstance(test_size, bool)
    if not (real and 0 < test_size < 1):
        raise ValueError(
            f"test_size must be a number between 0 and 1, got {test_size!r}. It is the "
            "share of the rows, or of the blocks, to score on."
        )
    if not isinstance(by, str) or by not in ("rows", "blocks"):
        raise ValueError(f"by must be 'rows' or 'blocks', got {by!r}.")
    if not isinstance(shuffle, bool | np.bool_):
        raise ValueError(f"shuffle must be True or False, got {shuffle!r}.")
    if by == "blocks" and stratify is not None:
        raise ValueError(
            "stratify must be None if by='blocks', since whole blocks are drawn. Pass "
            "by='rows'."
        )
    if by == "rows" and not shuffle:
        raise ValueError(
            "shuffle must be True if by='rows', since the rows of each block are "
            "drawn, got False. Pass by='blocks' for the last blocks."
        )
