"""The partitions of dataframes and bags as the blocks of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from dask.tokenize import tokenize

from incremental._blocks import is_array, is_bag


class Partitions(da.Array):  # type: ignore[misc]
    """A dask array of unknown lengths that NumPy puts beside others.

    dask's own refuse that, as they need not have the same rows.
    `sklearn.pipeline.FeatureUnion` and `sklearn.compose.ColumnTransformer` put what
    their transformers yield side by side, and that is of the same partitions.
    """

    @classmethod
    def view(cls, array: Any) -> Partitions:
        """Return a dask array as one."""
        return cls(array.dask, array.name, array.chunks, meta=array._meta)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Put columns side by side; all else is as for other dask arrays."""
        columns = func is np.hstack or kwargs.get("axis") == 1
        if func in (np.hstack, np.concatenate) and columns and len(args) == 1:
            return _beside(args[0])
        return super().__array_function__(func, types, args, kwargs)


def _beside(arrays: Sequence[Any]) -> Partitions:
    for array in arrays:
        if not is_array(array):
            raise TypeError(
                "Expected dask arrays to put side by side, got "
                f"{type(array).__name__}. "
                "Let all transformers yield arrays (`set_output(transform='default')`)."
            )
    counts = [array.numblocks[0] for array in arrays]
    if len(set(counts)) > 1:
        raise ValueError(
            f"Arrays side by side must be of the same partitions, got {counts} blocks. "
            "Make them from one collection."
        )
    return Partitions.view(
        da.concatenate(arrays, axis=1, allow_unknown_chunksizes=True)
    )


def as_partitions(X: Any) -> Any:
    """Return an array of one dimension whose blocks are partitions, as they are.

    All that is mapped from them begins at the same tasks, which run once if it is
    computed together: dask merges what a frame is mapped to with the read.

    Parameters
    ----------
    X : dask dataframe, series or bag
        Blocks of a bag are lists.
    """
    with untuned():
        parts = X.map_partitions(list) if is_bag(X) else X.optimize()
        name = f"partitions-{tokenize(parts)}"
        keys = parts.__dask_keys__()
        layer = {(name, n): key for n, key in enumerate(keys)}
        graph = HighLevelGraph.from_collections(name, layer, dependencies=[parts])
    return da.Array(graph, name, ((np.nan,) * len(keys),), dtype=object)


def untuned() -> Any:
    """Keep dask's tuning from fusing partitions: a result's blocks are those of X."""
    return dask.config.set({"optimization.tune.active": False})
