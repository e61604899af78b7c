"""Blocks: the same rows of every collection, paired at the door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import is_dask_collection
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.utils import ensure_dict

from incremental._joint_graph import (
    as_nodes,
    optimize_together,
    reached,
    share_fused,
    stores,
)

Key = Any


@dataclass(frozen=True)
class Source:
    """Tasks that yield one piece, or a tuple of pieces, for every block.

    Attributes
    ----------
    names : tuple of str
        The collections that the tasks yield pieces of, in order.
    keys : list of task keys
        One for each block.
    """

    names: tuple[str, ...]
    keys: list[Key]


@dataclass(frozen=True)
class Blocks:
    """Aligned collections, as one graph and the tasks that yield each block.

    Attributes
    ----------
    graph : dict
        The tasks of all collections, optimised.
    sources : list of Source
        What yields the pieces of a block.
    n_rows : tuple of int or None
        The rows of each block, where the collections know them.
    settled : bool
        Whether statistics of many blocks are computed.
    on_disk : bool
        Whether rows go through a store on the disk of one machine on their way, as
        dask's disk shuffle puts them there.
    """

    graph: dict[Key, Any]
    sources: list[Source]
    n_rows: tuple[int, ...] | None
    settled: bool = False
    on_disk: bool = False

    def __len__(self) -> int:
        return len(self.sources[0].keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the collections, in the order of a block's pieces."""
        return tuple(name for source in self.sources for name in source.names)

    def keys(self, position: int) -> list[Key]:
        """Keys of the tasks that yield the block at `position`."""
        return [source.keys[position] for source in self.sources]

    def describe(self) -> list[str]:
        """Say of each block which one it is and, if known, which rows it holds."""
        last = len(self) - 1
        names = [f"block {position} (of 0 to {last})" for position in range(len(self))]
        if self.n_rows is None:
            return names
        stops = list(accumulate(self.n_rows))
        return [
            f"{name}, rows {stop - rows} to {stop - 1}"
            for name, rows, stop in zip(names, self.n_rows, stops, strict=True)
        ]


def is_array(value: object) -> bool:
    """Tell whether `value` is a dask array."""
    return isinstance(value, da.Array)


def is_frame(value: object) -> bool:
    """Tell whether `value` is a dask dataframe or series."""
    # The type is asked because a Delayed has every attribute.
    return is_dask_collection(value) and hasattr(type(value), "known_divisions")


def is_bag(value: object) -> bool:
    """Tell whether `value` is a dask bag."""
    return is_dask_collection(value) and hasattr(type(value), "foldby")


def is_lazy(value: object) -> bool:
    """Tell whether `value` is a dask collection of rows.

    Raises
    ------
    TypeError
        If it is a dask collection of another kind.
    """
    if is_array(value) or is_frame(value) or is_bag(value):
        return True
    if is_dask_collection(value):
        raise TypeError(
            f"Got a {type(value).__module__}.{type(value).__name__}; expected a dask "
            "array, dataframe, series or bag, or in-memory data. Convert it first, for "
            "example with `da.from_delayed` or `dd.from_delayed`; if it comes from "
            "`array.query-planning`, set that dask option to False."
        )
    return False


def n_rows(piece: Any) -> int:
    """Count the rows of an in-memory array, sparse matrix, frame or list."""
    if hasattr(piece, "shape"):
        return int(piece.shape[0])
    return len(piece if hasattr(piece, "__len__") else np.asarray(piece))


def take_rows(piece: Any, rows: slice) -> Any:
    """Cut rows out of an in-memory array, sparse matrix, frame or list."""
    return piece.iloc[rows] if hasattr(piece, "iloc") else by_rows(piece)[rows]


def by_rows(piece: Any) -> Any:
    """Return data whose rows can be taken: sparse matrices in CSR form."""
    return piece.tocsr() if hasattr(piece, "tocsr") else piece


def check_rows(names: Iterable[str], pieces: Iterable[Any]) -> int:
    """Count the rows of a block.

    Raises
    ------
    ValueError
        If the pieces of the block differ in their number of rows.
    """
    counts = {name: n_rows(piece) for name, piece in zip(names, pieces, strict=True)}
    if len(set(counts.values())) > 1:
        received = ", ".join(f"{name} has {rows}" for name, rows in counts.items())
        raise ValueError(
            f"The pieces of a block must have the same number of rows: {received}. "
            "The collections are cut at different rows, or one of them declares "
            "chunks that it does not have. Cut them from one collection, or write "
            "them down together and read them back."
        )
    return next(iter(counts.values()))


def align(collections: Mapping[str, Any]) -> Blocks:
    """Pair the rows of collections and cut them into blocks.

    The first collection rules: the others are cut where it is cut.

    Parameters
    ----------
    collections : dict of str to collection
        Dask arrays, dataframes, series and bags of ``n_samples`` rows. All but the
        first may be in memory if the first knows the length of its chunks.

    Returns
    -------
    Blocks

    Raises
    ------
    TypeError
        If the first collection is in memory while another one is not.
    ValueError
        If the rows cannot be paired.
    """
    # What a wrapper mapped is read with the dataframe it came from: a shuffle of it has
    # another order wherever it is computed apart.
    origins = {n: origin for n, v in collections.items() if (origin := _origin(v))}
    maps = {name: map_blocks for name, (_, map_blocks) in origins.items()}
    collections = {**collections, **{n: frame for n, (frame, _) in origins.items()}}
    collections = {name: _as_series(value) for name, value in collections.items()}
    leader, first = next(iter(collections.items()))
    if not is_lazy(first):
        lazy = next(name for name, value in collections.items() if is_lazy(value))
        raise TypeError(
            f"{leader} is in memory ({type(first).__name__}) but {lazy} is a dask "
            f"collection; pass both as dask collections, or compute {lazy}."
        )
    if is_array(first):
        first = merge_columns(leader, first)
    aligned = {leader: first}
    for name, value in collections.items():
        if name != leader:
            aligned[name] = _align_to(leader, first, name, value)
    known = [rows for value in aligned.values() if (rows := known_rows(value))]
    sources, graph = _read(aligned, maps)
    return Blocks(
        graph, sources, known[0] if known else None, on_disk=bool(stores(graph))
    )


def _origin(value: Any) -> Any:
    """Return the dataframe that an array was mapped from and the map, if known."""
    origins = getattr(value, "origins", ()) if is_array(value) else ()
    return origins[0] if origins and known_rows(value) is None else None


def _as_series(value: Any) -> Any:
    """Return the index of a dask dataframe as a series that has it as index too."""
    is_index = is_frame(value) and hasattr(type(value), "to_series")
    return value.to_series() if is_index else value


def known_rows(collection: Any) -> tuple[int, ...] | None:
    """Return the rows of each block of a collection, or None if it cannot tell."""
    if not is_array(collection) or np.isnan(collection.shape[0]):
        return None
    return tuple(int(rows) for rows in collection.chunks[0])


def merge_columns(name: str, array: Any) -> Any:
    """Put all columns of a dask array in one chunk.

    Raises
    ------
    ValueError
        If the array has no dimension, or chunks of an unknown number of columns.
    """
    if array.ndim == 0:
        raise ValueError(f"{name} is a dask array of 0 dimensions; expected rows.")
    split = {axis: -1 for axis in range(1, array.ndim) if array.numblocks[axis] > 1}
    if any(np.isnan(array.shape[axis]) for axis in split):
        raise ValueError(
            f"The number of columns of {name} is unknown (shape {array.shape}), and "
            f"they are in several chunks; call `compute_chunk_sizes()` on {name} first."
        )
    return array.rechunk(split, method="tasks") if split else array


def _align_to(leader: str, first: Any, name: str, value: Any) -> Any:
    if not is_lazy(value):
        return _as_array(leader, first, name, value)
    if is_array(value):
        return _align_array(leader, first, name, merge_columns(name, value))
    if is_frame(first) and is_frame(value):
        value = _align_divisions(first, value)
    _check_block_counts(leader, first, name, value)
    return value


def _as_array(leader: str, first: Any, name: str, value: Any) -> Any:
    rows = known_rows(first)
    if rows is None:
        raise ValueError(
            f"{name} is in memory ({type(value).__name__}) but the length of the "
            f"blocks of {leader} is unknown, so its rows cannot be cut. Pass {name} "
            f"as a dask collection cut like {leader}, or call "
            f"`compute_chunk_sizes()` on a dask array {leader} first."
        )
    value = np.asarray(value)
    if value.ndim == 0 or len(value) != sum(rows):
        raise ValueError(_different_lengths(leader, sum(rows), name, value.shape))
    return da.from_array(value, chunks=(rows, *value.shape[1:]), name=False)


def _align_array(leader: str, first: Any, name: str, value: Any) -> Any:
    rows, own = known_rows(first), known_rows(value)
    if rows is None or own is None:
        _check_block_counts(leader, first, name, value)
        return value
    if sum(rows) != sum(own):
        raise ValueError(_different_lengths(leader, sum(rows), name, value.shape))
    return value if rows == own else value.rechunk({0: rows}, method="tasks")


def _different_lengths(leader: str, rows: int, name: str, shape: Any) -> str:
    return (
        f"{name} has shape {shape} but {leader} has {rows} rows; expected the same "
        "number of rows. Pass collections of the same rows."
    )


def _align_divisions(first: Any, value: Any) -> Any:
    if not (first.known_divisions and value.known_divisions):
        return value
    ends = first.divisions[0], first.divisions[-1]
    if first.divisions == value.divisions or ends != (
        value.divisions[0],
        value.divisions[-1],
    ):
        return value
    return value.repartition(divisions=first.divisions)


def _n_blocks(collection: Any) -> int:
    if is_array(collection):
        return int(collection.numblocks[0])
    return int(collection.npartitions)


def _check_block_counts(leader: str, first: Any, name: str, value: Any) -> None:
    wanted, received = _n_blocks(first), _n_blocks(value)
    if wanted == received:
        return
    raise ValueError(
        f"{name} ({_kind(value)}) has {received} blocks but {leader} ({_kind(first)}) "
        f"has {wanted}, and their rows are not known, so they cannot be paired. "
        "Arrays made from the columns of one dataframe are cut differently by dask's "
        "optimiser: pass the dataframes themselves, or set "
        '`dask.config.set({"optimization.tune.active": False})` before the conversion '
        "to arrays; collections of known chunk sizes are realigned "
        "(`compute_chunk_sizes()`), dataframes can be cut alike with `repartition`."
    )


def _kind(collection: Any) -> str:
    if is_array(collection):
        known = "unknown" if known_rows(collection) is None else "known"
        return f"dask array of {known} chunk sizes"
    return f"dask {type(collection).__name__}"


def _read(
    collections: dict[str, Any], maps: dict[str, Callable[[Any], Any]]
) -> tuple[list[Source], dict[Key, Any]]:
    """Make one graph of all collections, in which what they share runs once."""
    frames = {name: value for name, value in collections.items() if is_frame(value)}
    others = {n: as_lists(v) for n, v in collections.items() if n not in frames}
    graph: dict[Key, Any] = {}
    sources = []
    shuffled = False
    if frames:
        tasks, keys, shuffled = _read_frames(frames)
        if maps:
            # With a map among them each goes a way of its own.
            for number, name in enumerate(frames):
                piece = _pieces(tasks, keys, number)
                if name in maps:
                    piece = merge_columns(name, maps[name](piece))
                others[name] = piece
        else:
            graph, sources = tasks, [Source(tuple(frames), keys)]
    if others:
        graph = share_fused({**graph, **optimize_together(others.values())})
        sources += [
            Source((name,), list(flatten(value.__dask_keys__())))
            for name, value in others.items()
        ]
    graph = _with_persisted(graph, sources, collections.values())
    _check_order(graph, sources, set(frames) if shuffled else set())
    return sources, graph


def as_lists(collection: Any) -> Any:
    """Return a bag whose partitions are lists; other collections as they are."""
    return collection.map_partitions(list) if is_bag(collection) else collection


def _read_frames(
    frames: dict[str, Any],
) -> tuple[dict[Key, Any], list[Key], bool]:
    """Return a graph, the tasks that yield a tuple of frames, and if it shuffles."""
    import dask.dataframe as dd

    # dask's tuning would fuse partitions by the columns that are read, so that the
    # blocks were not the partitions the user sees; a peer-to-peer shuffle cannot be
    # part of another graph; and `dask.optimize` must not be used on frames: it drops
    # their column projections.
    with dask.config.set(
        {"optimization.tune.active": False, "dataframe.shuffle.method": "tasks"}
    ):
        joint = dd.map_partitions(
            partial(_pair, tuple(frames)),
            *frames.values(),
            meta=(None, "object"),
            align_dataframes=False,
        )
        optimized = joint.optimize()
        graph = as_nodes(ensure_dict(optimized.__dask_graph__()))
        if len(frames) > 1 and (on_disk := stores(graph)):
            _check_one_shuffle(frames, joint.optimize(fuse=False), len(on_disk))
    shuffled = any("Shuffle" in type(part).__name__ for part in optimized.expr.walk())
    return graph, list(flatten(optimized.__dask_keys__())), shuffled


def _check_one_shuffle(frames: Iterable[str], joint: Any, n_stores: int) -> None:
    """Check that dataframes which are shuffled on disk take the same shuffles."""
    shuffles = [
        {part._name for part in frame.walk() if type(part).__name__ == "DiskShuffle"}
        for frame in joint.expr.dependencies()
    ]
    if n_stores > len(shuffles[0]) or any(one != shuffles[0] for one in shuffles):
        raise ValueError(
            f"{' and '.join(frames)} cannot be paired: they are shuffled on disk, each "
            "in a computation of its own, which may order the rows in another way. "
            "Pass `shuffle_method='tasks'` to what shuffles them, or persist the "
            "dataframe before taking its columns."
        )


def _pieces(graph: dict[Key, Any], keys: list[Key], number: int) -> Any:
    """Return one of the frames of each block, as a dask array of whole partitions."""
    layer, name = f"frames-{keys[0][0]}", f"frame-{number}-{keys[0][0]}"
    picks = {(name, at): (itemgetter(number), key) for at, key in enumerate(keys)}
    layers = HighLevelGraph({layer: graph, name: picks}, {layer: set(), name: {layer}})
    return da.Array(layers, name, ((np.nan,) * len(keys),), dtype=object)


def _check_order(
    graph: dict[Key, Any], sources: list[Source], shuffled: set[str]
) -> None:
    """Check that the collections take their rows from the same shuffles on disk."""
    on_disk = stores(graph)
    if len(sources) < 2 or not (on_disk or shuffled):
        return
    ways = [
        (reached(graph, source.keys, on_disk), bool(shuffled & set(source.names)))
        for source in sources
    ]
    if any(way != ways[0] for way in ways):
        names = (name for source in sources for name in source.names)
        raise ValueError(_unknown_order(" and ".join(names)))


def _unknown_order(names: str) -> str:
    return (
        f"{names} cannot be paired: rows of them were shuffled (`shuffle`, `merge`, "
        "`sort_values` and `set_index` do that), and they do not come from one "
        "computation of the shuffle; each computation may order the rows anew. Pass "
        "dataframes for all of them; or make one array of the dataframe "
        "(`a = df.to_dask_array()`) and take all from it (`a[:, :-1]`, `a[:, -1]`); or "
        "persist the dataframe first; or let dask shuffle with tasks before dataframes "
        'become arrays: `dask.config.set({"dataframe.shuffle.method": "tasks"})`.'
    )


def _pair(names: tuple[str, ...], *frames: Any) -> tuple[Any, ...]:
    check_rows(names, frames)
    for name, frame in zip(names, frames, strict=True):
        if not frame.index.equals(frames[0].index):
            raise ValueError(
                f"The rows of {name} and {names[0]} have different index labels in "
                "the same block. Take both from one dataframe; if the rows do pair "
                "by position, pass arrays instead."
            )
    return frames


def _with_persisted(
    graph: dict[Key, Any], sources: list[Source], collections: Iterable[Any]
) -> dict[Key, Any]:
    """Put back the futures of persisted collections, which optimisation drops."""
    if any(type(task).__name__ == "P2PBarrierTask" for task in graph.values()):
        raise ValueError(
            "A collection holds a peer-to-peer rechunk or shuffle, which cannot be "
            "part of a pass. Persist the collection first, or make it with "
            "`method='tasks'`, or under `dask.config.set({'array.rechunk.method': "
            "'tasks', 'dataframe.shuffle.method': 'tasks'})`."
        )
    used = {key for source in sources for key in source.keys}
    used.update(
        key for task in graph.values() for key in getattr(task, "dependencies", ())
    )
    missing = used - graph.keys()
    for collection in collections if missing else ():
        original = ensure_dict(collection.__dask_graph__())
        graph.update((key, original[key]) for key in missing & original.keys())
    return graph
