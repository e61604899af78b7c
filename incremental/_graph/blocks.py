"""`Blocks`: the tasks that yield each block, in one graph that reads all data once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

from dask.core import flatten
from dask.utils import ensure_dict
from toolz import groupby

from incremental._blocks.align import Aligned, align
from incremental._blocks.assembly import Assembly
from incremental._blocks.block import Block
from incremental._blocks.collection import Collection
from incremental._blocks.frames import shuffled_with_tasks
from incremental._blocks.stages import Stage
from incremental._graph.cuts import (
    calls_users_functions,
    cut_alike,
    depends_on_cuts,
    keeps_order,
    made_of_dataframe,
)
from incremental._graph.joint import (
    optimize_together,
    reached,
    share_fused,
    stores,
)
from incremental._graph.schedulers import Scheduler, active_scheduler, this_thread
from incremental._graph.task_spec import DataNode, Graph, Key, as_nodes
from incremental._typing import Data, Piece


@dataclass(frozen=True)
class Source:
    """Tasks that read: one for each block, which yields one piece or several.

    Attributes
    ----------
    names : tuple of str
        The names of the pieces that each task yields. If there are several, it yields
        a tuple of pieces in this order.
    keys : list of task keys
        The tasks, in the order of the positions.
    n_rows : tuple of int or None
        The number of rows of each block, if known.
    """

    names: tuple[str, ...]
    keys: list[Key]
    n_rows: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Blocks:
    """Aligned collections, as one graph and the tasks that yield each block.

    Attributes
    ----------
    graph : dict
        The tasks of all collections, optimised.
    sources : list of Source
        The tasks that yield the pieces of each block.
    assembly : Assembly
        What makes a block of the pieces.
    n_rows : tuple of int or None
        The number of rows of each block, if known.
    scheduler : Scheduler
        The scheduler that reads them. Data in memory are read in this thread.
    in_memory : bool
        Whether the data are in memory. They are then one block.
    recut : bool
        Whether the sources are cut at different rows. Before a pass
        `recut` then counts their rows, and cuts all of them like the first one.
    settled : bool
        Whether the reductions over many blocks have been computed.
    on_disk : bool
        Whether rows go through a store on the disk of one machine, as in dask's
        disk shuffle.
    by_columns : frozenset of str or None
        The pieces that lie in memory column by column. None if the tasks that read
        them tell.
    """

    graph: Graph
    sources: list[Source]
    assembly: Assembly
    n_rows: tuple[int, ...] | None
    scheduler: Scheduler
    in_memory: bool = False
    recut: bool = False
    settled: bool = False
    on_disk: bool = False
    by_columns: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self.sources[0].keys)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the pieces of a block, in the order of the inputs."""
        return tuple(output.name for output in self.assembly.outputs)

    def on(self, scheduler: Scheduler) -> Blocks:
        """Return the blocks, read by another scheduler unless they are in memory."""
        return self if self.in_memory else replace(self, scheduler=scheduler)

    def without_local_stages(self, name: str) -> tuple[Blocks, tuple[Stage, ...]]:
        """Take out the stages of a piece after the last one that is not row-local.

        Parameters
        ----------
        name : str
            The name of the piece.

        Returns
        -------
        blocks : Blocks
            The blocks without these stages.
        stages : tuple of Stage
            The stages that were taken out.
        """
        assembly, stages = self.assembly.without_local_stages(name)
        return replace(self, assembly=assembly), stages

    def lies_by_columns(self, name: str) -> bool:
        """Tell whether a piece is made of an array that dask made of a dataframe.

        Such an array lies in memory column by column.
        """
        if self.in_memory:
            return False
        if self.by_columns is not None:
            return name in self.by_columns
        read = {made.name: made.sources for made in self.assembly.outputs}[name]
        return any(
            made_of_dataframe(self.graph, source.keys[:1])
            for source in self.sources
            if not set(source.names).isdisjoint(read)
        )

    def keys(self, position: int) -> list[Key]:
        """Return the keys of the tasks that yield the block at a position."""
        return [source.keys[position] for source in self.sources]

    def describe(self) -> list[str]:
        """Return for each block a text with its position and, if known, its rows."""
        if self.in_memory:
            return ["the data in memory"]
        last = len(self) - 1
        names = [f"block {position} (of 0 to {last})" for position in range(len(self))]
        if self.n_rows is None:
            return names
        stops = list(accumulate(self.n_rows))
        return [
            f"{name}, rows {stop - rows} to {stop - 1}"
            for name, rows, stop in zip(names, self.n_rows, stops, strict=True)
        ]


def read_blocks(values: Mapping[str, Data]) -> Blocks:
    """Pair the rows of collections, and find the tasks that yield each block.

    Parameters
    ----------
    values : dict of str to dask collection or data in memory
        As for `align`.

    Returns
    -------
    Blocks

    Raises
    ------
    TypeError, ValueError
        As `align` does. Also if the rows were shuffled in separate computations.
    """
    # dask may compute here, to find the divisions of dataframes. On a cluster it would
    # shuffle from peer to peer, which may hang where a sort follows a merge.
    with shuffled_with_tasks():
        aligned = align(values)
    if not any(one.is_lazy for one in aligned.sources.values()):
        return _hold(aligned)
    graph, sources = _read(aligned.sources)
    known = all(one.n_rows is not None for one in aligned.sources.values())
    return Blocks(
        graph,
        sources,
        aligned.assembly(_names(sources)),
        aligned.n_rows,
        active_scheduler(),
        recut=not known and _must_recut(graph, sources),
        on_disk=bool(stores(graph)),
    )


def _must_recut(graph: Graph, sources: list[Source]) -> bool:
    """Tell whether the rows must be counted, because collections are cut differently.

    Raises
    ------
    ValueError
        If the rows would not pair even then.
    """
    keys = [source.keys for source in sources]
    if cut_alike(graph, keys):
        return False
    as_many = len({len(one) for one in keys}) == 1
    in_order = all(keeps_order(graph, one) for one in keys)
    depends = any(depends_on_cuts(graph, one) for one in keys)
    lazy = [source.keys for source in sources if source.n_rows is None]
    unknown = any(calls_users_functions(graph, one) for one in lazy)
    if depends or (in_order and unknown) or not (as_many or in_order):
        raise ValueError(_unknown_rows(sources))
    # If the order of the reads is unknown, the collections have equally many blocks,
    # which pair by their numbers. A block that also needs a statistic of all data looks
    # as if it had no order. The lengths of blocks are compared when they are read.
    return in_order


def _unknown_rows(sources: list[Source]) -> str:
    names = [" and ".join(source.names) for source in sources]
    blocks = ", ".join(
        f"{name} has {len(one.keys)} blocks"
        for name, one in zip(names, sources, strict=True)
    )
    return (
        f"{' and '.join(names)} cannot be paired: {blocks}, their lengths are unknown, "
        "and they are cut differently, while their rows depend on where they are cut "
        "(they were shuffled, sorted, sampled, merged or put together, need statistics "
        "of all data, or went through a function such as that of `map_partitions`). "
        "Pass dataframes for all of them; or persist the dataframe that was shuffled "
        "or sampled, and take all from that; or make one array of it (`a = "
        "df.to_dask_array()`) and take all from it (`a[:, :-1]`, `a[:, -1]`); or set "
        '`dask.config.set({"optimization.tune.active": False})` before dataframes '
        "become arrays."
    )


def _names(sources: list[Source]) -> tuple[str, ...]:
    return tuple(name for source in sources for name in source.names)


def _hold(aligned: Aligned) -> Blocks:
    """Return data in memory as one block."""
    graph, sources = _literals(aligned.sources)
    assembly = aligned.assembly(_names(sources))
    return Blocks(
        graph,
        sources,
        assembly,
        aligned.n_rows,
        this_thread(),
        in_memory=True,
        settled=True,
    )


def _literals(collections: dict[str, Collection]) -> tuple[Graph, list[Source]]:
    """Return the graph of data in memory, and a source for each of them."""
    keys = {name: ("in-memory", name) for name in collections}
    graph: Graph = {
        key: DataNode(key, collections[name].read()) for name, key in keys.items()
    }
    sources = [
        Source((name,), [key], collections[name].n_rows) for name, key in keys.items()
    ]
    return graph, sources


def _read(collections: dict[str, Collection]) -> tuple[Graph, list[Source]]:
    """Make one graph of all collections, in which shared tasks run once.

    Parameters
    ----------
    collections : dict of str to Collection
        Aligned collections, by name.

    Returns
    -------
    graph : dict of task key to task
    sources : list of Source
        One for each group of dataframes that have equally many partitions, and one for
        each other collection. The source of the first collection comes first.
    """
    values = {name: one.read() for name, one in collections.items() if one.is_lazy}
    frames = {name: values[name] for name in values if collections[name].has_index}
    others = {name: values[name] for name in values if name not in frames}
    graph, held = _literals(
        {name: one for name, one in collections.items() if not one.is_lazy}
    )
    sources = []
    shuffled: set[str] = set()
    # dask reads dataframes together only if they have as many partitions.
    for group in groupby(lambda name: frames[name].npartitions, frames).values():
        tasks, keys, moved = _read_frames({name: frames[name] for name in group})
        graph = {**graph, **share_fused(tasks)}
        sources.append(Source(tuple(group), keys))
        shuffled.update(group if moved else ())
    if others:
        graph = share_fused({**graph, **optimize_together(others.values())})
        sources += [
            Source(
                (name,),
                list(flatten(value.__dask_keys__())),
                collections[name].n_rows,
            )
            for name, value in others.items()
        ]
    graph = _with_persisted(graph, sources, values.values())
    _check_order(graph, sources, shuffled)
    leader = next(iter(collections))
    return graph, sorted([*sources, *held], key=lambda one: leader not in one.names)


def _read_frames(
    frames: dict[str, Any],
) -> tuple[Graph, list[Key], bool]:
    """Make one graph of dataframes, whose partitions are read and checked together.

    Parameters
    ----------
    frames : dict of str to dask dataframe or series
        Aligned dataframes, by name.

    Returns
    -------
    graph : dict of task key to task
    keys : list of task keys
        The tasks that each yield a tuple: the partition of every dataframe.
    shuffled : bool
        Whether rows of any dataframe are shuffled.
    """
    import dask.dataframe as dd

    # dask's tuning is off: it would fuse partitions, and blocks would no longer be
    # the user's partitions. Shuffles use tasks: a peer-to-peer shuffle cannot be part
    # of another graph. `dask.optimize` is not used: it drops column projections.
    with shuffled_with_tasks():
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
    """Check that dataframes shuffled on disk all go through the same shuffles.

    Parameters
    ----------
    frames : iterable of str
        The names of the dataframes.
    joint : dask dataframe
        The collection of which they are the inputs, optimised but not fused.
    n_stores : int
        How many stores on disk its graph has.

    Raises
    ------
    ValueError
        If they do not.
    """
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


def _check_order(graph: Graph, sources: list[Source], shuffled: set[str]) -> None:
    """Check that all collections take their rows from the same shuffles.

    Parameters
    ----------
    graph : dict of task key to task
    sources : list of Source
    shuffled : set of str
        The names of dataframes that are shuffled in the graph. An
        array made from such a dataframe has a shuffle of its own.

    Raises
    ------
    ValueError
        If they do not.
    """
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
        "computation of the shuffle; each computation may order the rows anew. "
        "Pass dataframes for all of them; or persist the dataframe that was shuffled, "
        "and take all from that; or make one array of it (`a = df.to_dask_array()`) "
        "and take all from it (`a[:, :-1]`, `a[:, -1]`); or let dask shuffle with "
        "tasks, in the same partitions for all columns, before dataframes become "
        'arrays: `dask.config.set({"dataframe.shuffle.method": "tasks", '
        '"optimization.tune.active": False})`. What a wrapper '
        "yields for a dataframe pairs with it as it is, but not once it is sliced or "
        "computed with: do that in a step of a pipeline, or persist first."
    )


def _pair(names: tuple[str, ...], *frames: Piece) -> tuple[Piece, ...]:
    """Return the partitions of one block, checked to have the same index labels."""
    Block(dict(zip(names, frames, strict=True))).count_rows()
    for name, frame in zip(names, frames, strict=True):
        if not frame.index.equals(frames[0].index):
            raise ValueError(
                f"The rows of {name} and {names[0]} have different index labels in "
                "the same block. Take both from one dataframe; if the rows do pair "
                "by position, pass arrays instead."
            )
    return frames


def _with_persisted(
    graph: Graph, sources: list[Source], collections: Iterable[Data]
) -> Graph:
    """Put back the futures of persisted collections, which dask drops.

    Parameters
    ----------
    graph : dict of task key to task
        The graph in which futures are missing. They are added to it.
    sources : list of Source
        The tasks that are wanted.
    collections : iterable of dask collections
        The collections from which the graph was made.

    Returns
    -------
    dict of task key to task
        The same graph.

    Raises
    ------
    ValueError
        If a collection is rechunked or shuffled from peer to peer.
    """
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
