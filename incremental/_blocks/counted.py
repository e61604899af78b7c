"""`CountedFrame`: a dask dataframe of which scikit-learn's tools can take rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incremental._blocks.collection import Collection
from incremental._blocks.frames import Frame, untuned
from incremental._typing import Data, Piece


class CountedFrame:
    """A dask dataframe or series whose partitions have known lengths.

    scikit-learn's `GridSearchCV`, `cross_validate` and their like cannot take rows of
    a dask dataframe. They can of this object, if the rows are those of whole
    partitions, as `BlockKFold` yields them. What they take is a dask dataframe again,
    and nothing of it is read. The other tools of this package do not need it.

    Parameters
    ----------
    frame : dask dataframe or series
    lengths : sequence of int, optional
        The number of rows of each partition. By default the rows are counted, which
        reads the dataframe once. For y, pass the `lengths` of X.

    Attributes
    ----------
    frame : dask dataframe or series
    lengths : tuple of int

    Raises
    ------
    TypeError
        If `frame` is no dask dataframe or series.
    ValueError
        If there is no length for each partition.

    See Also
    --------
    BlockKFold : The splitter to use with it.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> from sklearn.linear_model import SGDClassifier
    >>> from sklearn.model_selection import GridSearchCV
    >>> from incremental import BlockKFold, CountedFrame, Incremental
    >>> frame = pd.DataFrame({"a": range(60), "y": [0, 1] * 30})
    >>> ddf = dd.from_pandas(frame, npartitions=6)
    >>> X = CountedFrame(ddf[["a"]])
    >>> y = CountedFrame(ddf["y"], X.lengths)
    >>> model = Incremental(SGDClassifier(random_state=0), classes=[0, 1])
    >>> grid = {"estimator__alpha": [1e-4, 1e-2]}
    >>> search = GridSearchCV(model, grid, cv=BlockKFold(3)).fit(X, y)
    >>> search.predict(ddf[["a"]])
    dask.array<predict, shape=(nan,), dtype=int64, chunksize=(nan,), ...>
    """

    def __init__(self, frame: Data, lengths: Sequence[int] | None = None) -> None:
        if not hasattr(type(frame), "known_divisions"):
            raise TypeError(
                f"frame must be a dask dataframe or series, got "
                f"{type(frame).__name__}. scikit-learn takes rows of others as they "
                "are."
            )
        own = Frame(frame)
        if lengths is None:
            lengths = _count(own)
        if len(lengths) != own.n_blocks:
            raise ValueError(
                f"lengths must have a number for each of the {own.n_blocks} partitions "
                f"of frame, got {len(lengths)}."
            )
        self.frame = own.value
        self.lengths = tuple(int(rows) for rows in lengths)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and that of columns for a dataframe."""
        return (sum(self.lengths), *self.frame._meta.shape[1:])

    def __len__(self) -> int:
        return sum(self.lengths)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """Compute the values. scikit-learn asks for those of y, to encode labels."""
        return np.asarray(self.frame.compute(), dtype=dtype)

    def __getitem__(self, rows: Any) -> Data:
        """Return some partitions, lazily.

        Parameters
        ----------
        rows : array-like of int or bool, or a tuple of it and an ellipsis
            The numbers of the rows of whole partitions, in the order of the dataframe.

        Returns
        -------
        dask dataframe or series

        Raises
        ------
        ValueError
            If the rows are not those of whole partitions, in their order.
        """
        wanted = np.asarray(rows[0] if isinstance(rows, tuple) else rows)
        if wanted.dtype.kind == "b":
            wanted = np.flatnonzero(wanted)
        stops = np.cumsum(self.lengths)
        positions = np.unique(np.searchsorted(stops, wanted, side="right"))
        whole = [
            np.arange(stops[at] - self.lengths[at], stops[at])
            for at in positions
            if at < len(stops)
        ]
        if not whole or not np.array_equal(np.concatenate(whole), wanted):
            raise ValueError(
                f"Expected the rows of whole partitions in the order of the dataframe, "
                f"got {_shortened(wanted)}. Pass cv=BlockKFold(...), or call "
                "`incremental.train_test_split` for other rows."
            )
        return self.frame.partitions[positions.tolist()]


def without_lengths(value: Data) -> Data:
    """Return the dataframe in a `CountedFrame`; any other value as it is."""
    return value.frame if isinstance(value, CountedFrame) else value


def _count(frame: Collection) -> list[int]:
    # Otherwise dask may read one column in larger partitions.
    with untuned():
        counts = frame.value.map_partitions(_rows, meta=(None, "int64"))
        return [int(rows) for rows in counts.compute()]


def _rows(part: Piece) -> Piece:
    import pandas as pd

    return pd.Series([len(part)])


def _shortened(rows: NDArray[Any]) -> str:
    with np.printoptions(threshold=6, edgeitems=3):
        return str(rows)
