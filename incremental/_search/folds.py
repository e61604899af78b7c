"""Folds: which blocks a model of a cross-validation learns from, and is scored on."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import KFold

from incremental._errors import noted


class Fold(NamedTuple):
    """The positions of the blocks of a fold.

    Attributes
    ----------
    train : tuple of int
        The blocks that its model learns from.
    test : tuple of int
        The blocks that its model is scored on.
    """

    train: tuple[int, ...]
    test: tuple[int, ...]


def as_folds(
    cv: Any, n_blocks: int, *, shuffle: bool = False, random_state: Any = None
) -> list[Fold]:
    """Return the folds that `cv` makes of some blocks.

    Parameters
    ----------
    cv : int, splitter or iterable
        A number of folds, a splitter of scikit-learn, to which each block is a row, or
        pairs of positions of blocks, to learn from and to score on.
    n_blocks : int
    shuffle : bool, default=False
        Whether the blocks of each of a number of folds are drawn.
    random_state : int, RandomState instance or None, default=None
        What draws them.

    Returns
    -------
    list of Fold

    Raises
    ------
    TypeError
        If `cv` is something else.
    ValueError
        If there are fewer blocks than folds, or if a fold is no two disjoint sets of
        blocks.
    """
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        return _of_number(int(cv), n_blocks, shuffle, random_state)
    if shuffle or random_state is not None:
        raise ValueError(
            "shuffle and random_state must not be given if cv is no number of folds, "
            f"got shuffle={shuffle!r}, random_state={random_state!r} and cv={cv!r}. "
            "Give them to the splitter: `BlockKFold(5, shuffle=True, random_state=0)`."
        )
    if hasattr(cv, "split_blocks"):
        pairs = cv.split_blocks(n_blocks)
    elif hasattr(cv, "split") and not isinstance(cv, str):
        pairs = cv.split(np.empty((n_blocks, 1)))
    elif isinstance(cv, Iterable) and not isinstance(cv, str):
        pairs = cv
    else:
        raise TypeError(
            "cv must be a number of folds, a `BlockKFold` or another splitter, or an "
            f"iterable of pairs of positions of blocks, got {cv!r}."
        )
    with noted(f"while {cv!r} splits {n_blocks} blocks"):
        folds = [_checked(number, pair, n_blocks) for number, pair in enumerate(pairs)]
    if not folds:
        raise ValueError(f"cv must make at least one fold, got none from {cv!r}.")
    return folds


def _of_number(
    n_splits: int, n_blocks: int, shuffle: bool, random_state: Any
) -> list[Fold]:
    if n_splits > n_blocks:
        raise ValueError(too_few_blocks(f"cv={n_splits}", n_splits, n_blocks))
    splitter = KFold(n_splits, shuffle=shuffle, random_state=random_state)
    pairs = splitter.split(np.empty((n_blocks, 1)))
    return [
        Fold(tuple(map(int, train)), tuple(map(int, test))) for train, test in pairs
    ]


def too_few_blocks(what: str, n_splits: int, n_blocks: int) -> str:
    """Return the message that there are fewer blocks than folds.

    Parameters
    ----------
    what : str
        What asks for the folds.
    n_splits, n_blocks : int
    """
    return (
        f"{what} makes {n_splits} folds of whole blocks, but X has {n_blocks}; "
        f"expected at least {n_splits}. Cut X into more blocks, for example with "
        "`da.from_array(X, chunks=(10_000, -1))` or `df.repartition(npartitions=20)`, "
        "or make fewer folds. If all data fit in memory, scikit-learn's own tools take "
        "the same estimators."
    )


def _checked(number: int, pair: Any, n_blocks: int) -> Fold:
    """Return a fold, if it is one."""
    try:
        train, test = pair
        fold = Fold(_positions(train), _positions(test))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Fold {number} of cv must be a pair of lists of integers, the positions "
            f"of blocks, got {pair!r}."
        ) from error
    for name, positions in fold._asdict().items():
        if not positions:
            raise ValueError(
                f"Fold {number} of cv has no block to {_PURPOSE[name]}, got {pair!r}; "
                "expected at least one."
            )
        outside = [at for at in positions if not 0 <= at < n_blocks]
        if outside or len(set(positions)) < len(positions):
            raise ValueError(
                f"The blocks to {_PURPOSE[name]} in fold {number} of cv must be "
                f"different integers from 0 to {n_blocks - 1}, since X has {n_blocks} "
                f"blocks, got {list(positions)}."
            )
    if both := sorted(set(fold.train) & set(fold.test)):
        raise ValueError(
            f"Fold {number} of cv scores its model on blocks that it learns from: "
            f"{both}. Expected different blocks."
        )
    return fold


_PURPOSE = {"train": "learn from", "test": "score on"}


def _positions(values: Any) -> tuple[int, ...]:
    """Return integers as a tuple."""
    if any(isinstance(at, bool | np.bool_) or at != int(at) for at in values):
        raise TypeError("positions are integers")
    return tuple(sorted(int(at) for at in values))
