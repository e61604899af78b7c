"""Arrays of uncounted rows, whose columns NumPy puts side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np

from incremental._blocks.collections import is_array

Map = Callable[[Any], Any]


class Partitions(da.Array):  # type: ignore[misc]
    """A dask array of unknown lengths that NumPy puts beside others.

    dask's own refuse that, as they need not have the same rows.
    It also remembers the dataframe it was mapped from.
    `sklearn.pipeline.FeatureUnion` and `sklearn.compose.ColumnTransformer` put what
    their transformers yield side by side, and that is of the same partitions.
    """

    _origin: tuple[str, Any, Map] | None = None

    @classmethod
    def view(cls, array: Any, origin: tuple[Any, Map] | None = None) -> Partitions:
        """Return a dask array as one.

        Parameters
        ----------
        array : dask array of shape (n_samples, n_columns)
        origin : tuple of (dask dataframe, callable) or None
            What it was mapped from, and what maps an array of those partitions alike.
        """
        view = cls(array.dask, array.name, array.chunks, meta=array._meta)
        view._origin = None if origin is None else (view.name, *origin)
        return view

    @property
    def origins(self) -> list[tuple[Any, Map]]:
        """What it was mapped from, and how; none if it was assigned to since."""
        if self._origin is None or self._origin[0] != self.name:
            return []
        return [self._origin[1:]]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as what it is, for scikit-learn's ``n_jobs``."""
        return type(self), super().__reduce__()[1]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Put columns side by side; all else is as for other dask arrays."""
        stacks = func is np.hstack and not kwargs
        stacks = stacks or (func is np.concatenate and kwargs == {"axis": 1})
        if stacks and all(np.ndim(one) == 2 for one in args[0]):
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
    origins = [origin for array in arrays for origin in getattr(array, "origins", [])]
    same = len({frame._name for frame, _ in origins}) == 1
    if not same or len(origins) < len(arrays):
        return Partitions.view(_concatenate(arrays))
    # dask merges a map over a frame with the read of it: each map would read it again.
    frame = origins[0][0]
    map_all = partial(_map_all, [map_blocks for _, map_blocks in origins])
    return Partitions.view(map_all(_as_blocks(frame)), (frame, map_all))


def _map_all(maps: Sequence[Map], blocks: Any) -> Any:
    return _concatenate([map_blocks(blocks) for map_blocks in maps])


def _concatenate(arrays: Sequence[Any]) -> Any:
    return da.concatenate(arrays, axis=1, allow_unknown_chunksizes=True)


def _as_blocks(frame: Any) -> Any:
    """Return an array of one dimension whose blocks are partitions, as they are."""
    with untuned():
        parts = frame.optimize()
        graph, keys = parts.__dask_graph__(), parts.__dask_keys__()
    return da.Array(graph, keys[0][0], ((np.nan,) * len(keys),), dtype=object)


def untuned() -> Any:
    """Keep dask's tuning from fusing partitions: a result's blocks are those of X."""
    return dask.config.set({"optimization.tune.active": False})
