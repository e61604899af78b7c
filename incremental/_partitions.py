"""Arrays of uncounted rows, whose columns NumPy puts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np

from incremental._blocks import is_array


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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as what it is, for scikit-learn's ``n_jobs``."""
        return type(self), super().__reduce__()[1]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Put columns side by side; all else is as for other dask arrays."""
        stacks = func is np.hstack and not kwargs
        if stacks or (func is np.concatenate and kwargs == {"axis": 1}):
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
