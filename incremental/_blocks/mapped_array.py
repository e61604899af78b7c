"""Arrays of uncounted rows, whose columns NumPy puts side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph

from incremental._blocks.collections import is_array


class Origin(NamedTuple):
    """What an array was mapped from.

    Attributes
    ----------
    frames : tuple of dask dataframes
        Of the same partitions.
    map_blocks : callable
        Yields the array, given an array of the partitions of each of them.
    """

    frames: tuple[Any, ...]
    map_blocks: Callable[..., Any]


class Partitions(da.Array):  # type: ignore[misc]
    """A dask array of unknown lengths that NumPy puts beside others.

    dask's own refuse that, as they need not have the same rows.
    It also remembers the dataframe it was mapped from.
    `sklearn.pipeline.FeatureUnion` and `sklearn.compose.ColumnTransformer` put what
    their transformers yield side by side, and that is of the same partitions.
    """

    _origin: tuple[str, Origin] | None = None

    @classmethod
    def view(cls, array: Any, origin: Origin | None = None) -> Partitions:
        """Return a dask array as one.

        Parameters
        ----------
        array : dask array of shape (n_samples, n_columns)
        origin : Origin or None
        """
        view = cls(array.dask, array.name, array.chunks, meta=array._meta)
        view._origin = None if origin is None else (view.name, origin)
        return view

    @property
    def origin(self) -> Origin | None:
        """What it was mapped from, and how; None if it was assigned to since."""
        if self._origin is None or self._origin[0] != self.name:
            return None
        return self._origin[1]

    def copy(self) -> Partitions:
        """Return another array of the same tasks, which remembers the same."""
        return Partitions.view(super().copy(), self.origin)

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
    origins: list[Any] = [getattr(array, "origin", None) for array in arrays]
    if None in origins:
        return Partitions.view(_concatenate(arrays))
    # Each map would read its dataframe for itself, in the order of its own shuffle.
    frames = {frame._name: frame for origin in origins for frame in origin.frames}
    places = {name: place for place, name in enumerate(frames)}
    maps = [
        ([places[frame._name] for frame in origin.frames], origin.map_blocks)
        for origin in origins
    ]
    joint = Origin(tuple(frames.values()), partial(_map_all, maps))
    return Partitions.view(joint.map_blocks(*_as_blocks(joint.frames)), joint)


def _map_all(maps: Sequence[tuple[list[int], Callable[..., Any]]], *blocks: Any) -> Any:
    return _concatenate(
        [
            map_blocks(*(blocks[place] for place in places))
            for places, map_blocks in maps
        ]
    )


def _concatenate(arrays: Sequence[Any]) -> Any:
    return da.concatenate(arrays, axis=1, allow_unknown_chunksizes=True)


def _as_blocks(frames: tuple[Any, ...]) -> list[Any]:
    """Return, for each dataframe, an array whose blocks are its partitions."""
    import dask.dataframe as dd

    if len(frames) == 1:
        with untuned():
            parts = frames[0].optimize()
            graph, keys = parts.__dask_graph__(), parts.__dask_keys__()
        chunks = ((np.nan,) * len(keys),)
        return [da.Array(graph, keys[0][0], chunks, dtype=object)]
    # Shuffles with tasks order the rows of all columns alike.
    with untuned(), dask.config.set({"dataframe.shuffle.method": "tasks"}):
        parts = dd.map_partitions(
            _together, *frames, meta=(None, "object"), align_dataframes=False
        ).optimize()
        graph, keys = parts.__dask_graph__(), parts.__dask_keys__()
    return [pick_blocks(graph, keys, number) for number in range(len(frames))]


def _together(*parts: Any) -> tuple[Any, ...]:
    return parts


def pick_blocks(graph: Mapping[Any, Any], keys: Sequence[Any], number: int) -> Any:
    """Return one piece of each block, as an array of one dimension of whole pieces.

    Parameters
    ----------
    graph : dict
    keys : sequence of task keys
        Of the tasks that yield a tuple of the pieces of each block.
    number : int
        Which of them.
    """
    layer, name = f"frames-{keys[0][0]}", f"frame-{number}-{keys[0][0]}"
    picks = {(name, at): (itemgetter(number), key) for at, key in enumerate(keys)}
    layers = HighLevelGraph({layer: graph, name: picks}, {layer: set(), name: {layer}})
    return da.Array(layers, name, ((np.nan,) * len(keys),), dtype=object)


def untuned() -> Any:
    """Keep dask's tuning from fusing partitions: a result's blocks are those of X."""
    return dask.config.set({"optimization.tune.active": False})
