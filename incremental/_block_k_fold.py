"""`BlockKFold`: a splitter of scikit-learn whose folds are whole blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from incremental._blocks.collections import as_collection, is_lazy
from incremental._blocks.counted import CountedFrame
from incremental._estimators.sklearn_types import BaseCrossValidator
from incremental._search.folds import too_few_blocks


class BlockKFold(BaseCrossValidator):
    """K folds of whole blocks, for scikit-learn's tools on dask arrays.

    scikit-learn's `GridSearchCV`, `cross_validate` and their like take it as `cv`.
    Rows of a fold are then cut out of a dask array lazily and in their order, so that
    each block of a fold needs only the few blocks that its rows lie in. With the
    shuffling splitters of scikit-learn each needs all blocks, and all data come into
    memory.

    `incremental.cross_validate` takes it too. It reads each block once for all folds.

    Parameters
    ----------
    n_splits : int, default=5
        The number of folds, at least 2.
    shuffle : bool, default=False
        Whether the blocks of each fold are drawn. Otherwise they follow each other.
    random_state : int, RandomState instance or None, default=None
        What draws them.

    See Also
    --------
    cross_validate : Cross-validation of dataframes too, on one read for all folds.

    Examples
    --------
    >>> import dask.array as da
    >>> from incremental import BlockKFold
    >>> X = da.ones((10, 2), chunks=((3, 3, 4), (2,)))
    >>> for train, test in BlockKFold(3).split(X):
    ...     print(train, test)
    [3 4 5 6 7 8 9] [0 1 2]
    [0 1 2 6 7 8 9] [3 4 5]
    [0 1 2 3 4 5] [6 7 8 9]
    """

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        # It checks the parameters.
        KFold(n_splits, shuffle=shuffle, random_state=random_state)
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, optional
            Not used.
        """
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the numbers of the rows of each fold. Nothing is read.

        Parameters
        ----------
        X : dask array of shape (n_samples, n_features)
            The lengths of its blocks have to be known.
        y : array-like or dask array of shape (n_samples,), optional
        groups : object, optional
            Not used.

        Yields
        ------
        train, test : ndarray of int
            The rows to learn from and to score on, in the order of X.

        Raises
        ------
        TypeError
            If X or y is a dask dataframe or a bag, of which scikit-learn cannot take
            rows.
        ValueError
            If X is in memory, if the lengths of its blocks are unknown, or if it has
            fewer blocks than there are folds.
        """
        lengths = _lengths(X, y)
        stops = np.cumsum(lengths)
        for folds in self.split_blocks(len(lengths)):
            train, test = (
                np.concatenate(
                    [np.arange(stops[at] - lengths[at], stops[at]) for at in positions]
                )
                for positions in folds
            )
            yield train, test

    def split_blocks(self, n_blocks: int) -> Iterator[tuple[Any, Any]]:
        """Yield the positions of the blocks of each fold.

        Parameters
        ----------
        n_blocks : int
            The number of blocks.

        Yields
        ------
        train, test : ndarray of int
            The blocks to learn from and to score on.

        Raises
        ------
        ValueError
            If there are fewer blocks than folds.
        """
        if self.n_splits > n_blocks:
            raise ValueError(too_few_blocks(repr(self), self.n_splits, n_blocks))
        splitter = KFold(
            self.n_splits, shuffle=self.shuffle, random_state=self.random_state
        )
        yield from splitter.split(np.empty((n_blocks, 1)))


def _lengths(X: Any, y: Any) -> tuple[int, ...]:
    """Return the number of rows of each block of X.

    Raises
    ------
    TypeError, ValueError
        As `BlockKFold.split` does.
    """
    for name, value in {"X": X, "y": y}.items():
        if value is None or isinstance(value, CountedFrame) or not is_lazy(value):
            continue
        one = as_collection(value)
        if one.has_index or not one.is_table:
            raise TypeError(
                f"{name} is a {one.describe()}, of which scikit-learn cannot take "
                "rows; expected a dask array. Call `incremental.cross_validate`, which "
                f"takes it, or pass `CountedFrame({name})` of a dataframe."
            )
    if isinstance(X, CountedFrame):
        return X.lengths
    if not is_lazy(X):
        raise ValueError(
            f"X is in memory ({type(X).__name__}), a single block; expected a dask "
            "array. Pass scikit-learn's `KFold` as cv."
        )
    lengths = as_collection(X).n_rows
    if lengths is None:
        raise ValueError(
            f"The lengths of the blocks of X are unknown (shape {X.shape}); expected "
            "known ones. Call `X.compute_chunk_sizes()` first, or "
            "`incremental.cross_validate`, which need not know them."
        )
    return lengths
