"""`MappedArray`: a dask array that knows what a wrapper made it from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.highlevelgraph import HighLevelGraph

from incremental._blocks.frames import shuffled_with_tasks
from incremental._blocks.stages import Mapped, Stage, apply, apply_once
from incremental._typing import Data, Piece


class MappedArray(da.Array):
    """A dask array that remembers its sources, and the stages they went through.

    A fit reads the sources in one graph with y, so that the rows pair even if a
    shuffle orders them anew in each computation. A fit can also choose in which tasks
    X goes through the stages.

    NumPy can put two such arrays side by side even if their lengths are unknown.
    `sklearn.pipeline.FeatureUnion` and `sklearn.compose.ColumnTransformer` need
    that. dask refuses it for its own arrays, as their rows may differ.

    What NumPy gets of such an array with one value for each row is kept, because
    scikit-learn's metrics ask for the same predictions up to six times.
    """

    # How the array was made, with its name and its chunks of rows at that time. If it
    # has others now, it was changed in place.
    _made: tuple[str, tuple[float, ...], Mapped] | None = None
    # The values that NumPy got, with the name of the array at that time.
    _got: tuple[str, np.ndarray] | None = None

    @classmethod
    def of(cls, array: da.Array, mapped: Mapped | None) -> MappedArray:
        """Make a `MappedArray` of a dask array.

        Parameters
        ----------
        array : dask array
        mapped : Mapped or None
            How it was made; None if that is unknown.

        Returns
        -------
        MappedArray
            An array of the same tasks.
        """
        view = cls(array.dask, array.name, array.chunks, meta=array._meta)
        if mapped is not None:
            view._made = view.name, view.chunks[0], mapped
        return view

    @property
    def mapped(self) -> Mapped | None:
        """How the array was made.

        None if that is unknown, or if the array was changed in place since.
        """
        if self._made is None or self._made[:2] != (self.name, self.chunks[0]):
            return None
        return self._made[2]

    def copy(self) -> MappedArray:
        """Return another array of the same tasks, which remembers the same."""
        return MappedArray.of(super().copy(), self.mapped)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as a `MappedArray`, for scikit-learn's ``n_jobs``."""
        return type(self), super().__reduce__()[1]

    def __array__(
        self, dtype: Any = None, copy: bool | None = None, **params: Any
    ) -> Any:
        """Compute it for NumPy, once if it has one value for each row."""
        if self.ndim != 1:
            return super().__array__(dtype, copy=copy, **params)
        if self._got is None or self._got[0] != self.name:
            self._got = self.name, np.asarray(self.compute())
        # A copy, so that nobody changes the values that are kept.
        return np.array(self._got[1], dtype=dtype)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Put 2D arrays of unknown length side by side; leave all else to dask."""
        stacks = func is np.hstack and not kwargs
        stacks = stacks or (func is np.concatenate and kwargs == {"axis": 1})
        arrays = args[0] if stacks and all(np.ndim(a) == 2 for a in args[0]) else ()
        if any(isinstance(a, da.Array) and np.isnan(a.shape[0]) for a in arrays):
            return _beside(arrays)
        return super().__array_function__(func, types, args, kwargs)


@dataclass(frozen=True)
class Beside:
    """A function that puts several arrays side by side, each after its own stages.

    Parameters
    ----------
    parts : tuple of (tuple of int, tuple of Stage)
        For each array, the numbers of the pieces that it is made from, and its
        stages.
    """

    parts: tuple[tuple[tuple[int, ...], tuple[Stage, ...]], ...]

    def __call__(self, pieces: Piece) -> Piece:
        """Return the columns of all arrays, side by side, for one block.

        Parameters
        ----------
        pieces : array or frame, or a tuple of them
            The piece of the block that was read; a tuple if there are several.
        """
        given = pieces if isinstance(pieces, tuple) else (pieces,)
        outputs = []
        results: dict[str, Piece] = {}
        for places, stages in self.parts:
            chosen = tuple(given[place] for place in places)
            pieces = chosen if len(chosen) > 1 else chosen[0]
            outputs.append(apply_once(stages, pieces, results))
        if any(map(sp.issparse, outputs)):
            return sp.hstack(outputs, format="csr")
        return np.hstack(outputs)


def _beside(arrays: Sequence[Any]) -> MappedArray:
    """Put arrays of the same blocks side by side.

    Raises
    ------
    TypeError
        If one of them is not a dask array.
    ValueError
        If their numbers of blocks differ.
    """
    for array in arrays:
        if not isinstance(array, da.Array):
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
    joined = da.concatenate(arrays, axis=1, allow_unknown_chunksizes=True)
    made = [getattr(array, "mapped", None) for array in arrays]
    known = [one for one in made if one is not None]
    if len(known) < len(made):
        return MappedArray.of(joined, None)
    sources = {_name(source): source for one in known for source in one.sources}
    places = {name: place for place, name in enumerate(sources)}
    beside = Beside(
        tuple(
            (tuple(places[_name(source)] for source in one.sources), one.stages)
            for one in known
        )
    )
    mapped = Mapped(
        tuple(sources.values()), (Stage(beside, "hstack", token=joined.name),)
    )
    if all(hasattr(type(source), "known_divisions") for source in mapped.sources):
        # If each was read apart, a shuffle might give each its own order of rows.
        joined = _read_together(mapped, joined)
    return MappedArray.of(joined, mapped)


def _name(source: Data) -> str:
    return str(getattr(source, "_name", None) or source.name)


def _read_together(mapped: Mapped, joined: da.Array) -> da.Array:
    """Return an array of which each block is made in one task, which reads all sources.

    Parameters
    ----------
    mapped : Mapped
        The dataframes, and the stages that the tuple of their partitions goes through.
    joined : dask array
        The columns put side by side by dask, of which each reads for itself. Only its
        chunks and meta are used.

    Returns
    -------
    dask array
    """
    import dask.dataframe as dd

    # A shuffle with tasks gives the rows of all columns the same order.
    with shuffled_with_tasks():
        parts = dd.map_partitions(
            _together, *mapped.sources, meta=(None, "object"), align_dataframes=False
        ).optimize()
        graph, keys = parts.__dask_graph__(), parts.__dask_keys__()
    token = uuid4().hex
    read, made, stages = f"frames-{token}", f"hstack-{token}", f"stages-{token}"
    tasks: dict[Any, Any] = {
        (made, at, 0): (apply, stages, key) for at, key in enumerate(keys)
    }
    layers = {read: graph, made: {**tasks, stages: mapped.stages}}
    high = HighLevelGraph(layers, {read: set(), made: {read}})
    chunks = joined.chunks[0], *((sum(sizes),) for sizes in joined.chunks[1:])
    return da.Array(high, made, chunks, meta=joined._meta)


def _together(*parts: Piece) -> tuple[Piece, ...]:
    return parts
