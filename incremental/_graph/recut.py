"""`recut`: counts rows, and cuts all collections at the same rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from uuid import uuid4

from dask.array import PerformanceWarning
from toolz import merge

from incremental._blocks.collection import different_lengths
from incremental._blocks.rows import is_pandas, join_rows, n_rows, take_rows
from incremental._graph.block_tasks import Plan
from incremental._graph.blocks import Blocks, Source
from incremental._graph.task_spec import Graph, Key, Task, TaskRef
from incremental._typing import Piece


def recut(blocks: Blocks) -> Blocks:
    """Count the rows in one parallel pass, and cut all sources like the first one.

    Parameters
    ----------
    blocks : Blocks
        Blocks whose sources are cut at different rows.

    Returns
    -------
    Blocks

    Raises
    ------
    ValueError
        If the sources do not have the same number of rows.

    Warns
    -----
    dask.array.PerformanceWarning
        It says what the pass has cost, and how to do without it.
    """
    began = time.perf_counter()
    counts = _count(blocks)
    _warn(blocks, time.perf_counter() - began)
    leader, wanted = blocks.sources[0], counts[0]
    graph, sources = dict(blocks.graph), [leader]
    for source, own in zip(blocks.sources[1:], counts[1:], strict=True):
        if sum(own) != sum(wanted):
            names = " and ".join(source.names)
            raise different_lengths(
                names, (sum(own),), " and ".join(leader.names), sum(wanted)
            )
        tasks, cut = _cut(source, own, leader, wanted)
        graph.update(tasks)
        sources.append(cut)
    return replace(
        blocks, graph=graph, sources=sources, n_rows=tuple(wanted), recut=False
    )


def counted(blocks: Blocks) -> Blocks:
    """Return blocks whose numbers of rows are known; count them if they are not.

    Parameters
    ----------
    blocks : Blocks
        What `settle` returned.

    Warns
    -----
    dask.array.PerformanceWarning
        If all rows were read to count them. It says what that has cost.
    """
    if blocks.n_rows is not None:
        return blocks
    began = time.perf_counter()
    (rows, *_) = _count(blocks)
    warnings.warn(
        f"The lengths of the blocks of {' and '.join(blocks.names)} are unknown, and "
        "batches go on across blocks: all rows were read once more to count them, in "
        f"{time.perf_counter() - began:.1f} s. Pass arrays of known lengths to do "
        "without it (`to_dask_array(lengths=True)`), or leave out `batch_size`.",
        PerformanceWarning,
        stacklevel=5,
    )
    return replace(blocks, n_rows=tuple(rows))


def _count(blocks: Blocks) -> list[Sequence[int]]:
    """Return the rows of each block of each source. Count those that are unknown."""
    unknown = [source for source in blocks.sources if source.n_rows is None]
    keys = [key for source in unknown for key in source.keys]
    where = ["a block whose rows are counted"] * len(keys)
    plan = Plan(blocks.graph, [[key] for key in keys], where)
    graph = plan.with_futures(merge(*map(plan.tasks, plan.blocks)))
    token = uuid4().hex
    names = [(f"count-{token}", place) for place in range(len(keys))]
    for name, block in zip(names, plan.blocks, strict=True):
        graph[name] = Task(name, _n_rows, TaskRef(block.outputs[0]))
    counted = iter(blocks.scheduler.run(graph, names))
    return [
        [next(counted) for _ in source.keys] if source.n_rows is None else source.n_rows
        for source in blocks.sources
    ]


def _n_rows(pieces: Piece) -> int:
    return n_rows(pieces[0] if isinstance(pieces, tuple) else pieces)


def _warn(blocks: Blocks, seconds: float) -> None:
    names = " and ".join(blocks.names)
    warnings.warn(
        f"The lengths of the blocks of {names} are unknown, and they are cut "
        f"differently: all rows were read once more to count them, in {seconds:.1f} s. "
        "Pass dataframes for all of them to do without it; or, for arrays of known "
        "lengths, make them with `to_dask_array(lengths=True)` under "
        '`dask.config.set({"optimization.tune.active": False})`.',
        PerformanceWarning,
        stacklevel=5,
    )


def _cut(
    source: Source, own: Sequence[int], leader: Source, wanted: Sequence[int]
) -> tuple[Graph, Source]:
    """Make the tasks that cut a source like the leader.

    Parameters
    ----------
    source : Source
    own : sequence of int
        The rows of each of its blocks.
    leader : Source
    wanted : sequence of int
        The rows of each block of the leader.

    Returns
    -------
    graph : dict of task key to task
    source : Source
        The source after these tasks.
    """
    graph: Graph = {}
    name = f"recut-{uuid4().hex}"
    begins = [0, *accumulate(own)]
    keys: list[Key] = []
    for place, (start, stop) in enumerate(pairwise([0, *accumulate(wanted)])):
        parts = [
            (at, slice(max(start - begin, 0), min(stop, end) - begin))
            for at, (begin, end) in enumerate(pairwise(begins))
            if begin < stop and start < end
        ] or [(0, slice(0, 0))]
        function = CutRows(source.names, tuple(rows for _, rows in parts))
        refs = [TaskRef(source.keys[at]) for at, _ in parts]
        key = name, place
        graph[key] = Task(key, function, TaskRef(leader.keys[place]), *refs)
        keys.append(key)
    return graph, Source(source.names, keys)


@dataclass(frozen=True)
class CutRows:
    """A function that makes a block of rows of several blocks.

    Parameters
    ----------
    names : tuple of str
        What errors call the pieces.
    rows : tuple of slice
        The rows of each of the blocks.
    """

    names: tuple[str, ...]
    rows: tuple[slice, ...]

    def __call__(self, like: Piece, *blocks: Piece) -> Piece:
        """Return the rows, in the form that the blocks have.

        Parameters
        ----------
        like : object
            The block of the leader, whose index labels they must have.
        *blocks : object
            Each is a piece, or a tuple of pieces.

        Raises
        ------
        ValueError
            If they have other index labels.
        """
        if not isinstance(blocks[0], tuple):
            return self._cut(self.names[0], like, blocks)
        pieces = zip(self.names, zip(*blocks, strict=True), strict=True)
        return tuple(self._cut(name, like, piece) for name, piece in pieces)

    def _cut(self, name: str, like: Piece, pieces: Sequence[Piece]) -> Piece:
        taken = [
            take_rows(one, rows) for one, rows in zip(pieces, self.rows, strict=True)
        ]
        cut = taken[0] if len(taken) == 1 else join_rows(taken)
        first = like[0] if isinstance(like, tuple) else like
        if is_pandas(first) and is_pandas(cut) and not cut.index.equals(first.index):
            raise ValueError(
                f"The rows of {name} have other index labels than those that they are "
                "paired with. Take both from one dataframe; if the rows do pair by "
                "position, pass arrays instead."
            )
        return cut
