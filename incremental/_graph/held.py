"""`hold`: a block in memory, from which rows are cut as blocks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np

from incremental._blocks.assembly import Assembly, Output
from incremental._blocks.block import Block
from incremental._graph.blocks import Blocks, Source
from incremental._graph.fold import mapped
from incremental._graph.schedulers import Scheduler
from incremental._graph.task_spec import (
    DataNode,
    Graph,
    GraphNode,
    Task,
    TaskRef,
)

Rows = slice | np.ndarray


def hold(blocks: Blocks, position: int = 0) -> Held:
    """Read a block, with X after its stages, and keep it where it was read.

    On a cluster it stays on a worker.

    Parameters
    ----------
    blocks : Blocks
        What `settle` returned.
    position : int, default=0
    """
    graph, keys = mapped(blocks, {position: _same}, name="hold")
    options = {"sync": False} if blocks.scheduler.is_remote else {}
    (block,) = blocks.scheduler.run(graph, keys, **options)
    by_columns = frozenset(filter(blocks.lies_by_columns, blocks.names))
    return Held(block, blocks.names, blocks.scheduler, by_columns)


def _same(block: Block) -> Block:
    return block


@dataclass(frozen=True)
class Held:
    """A block that is held in memory.

    Attributes
    ----------
    block : Block or distributed.Future
    names : tuple of str
        The names of its pieces.
    scheduler : Scheduler
        The scheduler that reads what is cut from it.
    by_columns : frozenset of str
        The pieces that lie in memory column by column.
    """

    block: Any
    names: tuple[str, ...]
    scheduler: Scheduler
    by_columns: frozenset[str]

    def cut(self, rows: Sequence[Rows]) -> Blocks:
        """Return rows of the block as blocks.

        Parameters
        ----------
        rows : sequence of slice or array of int
            The rows of each block. Slices have a start and a stop.
        """
        token = uuid4().hex
        keys = [(f"cut-{token}", place) for place in range(len(rows))]
        lengths = tuple(
            one.stop - one.start if isinstance(one, slice) else len(one) for one in rows
        )
        is_future = isinstance(self.block, TaskRef | GraphNode)
        graph: Graph
        if self.scheduler.shares_memory or is_future:
            whole = self.block.key if is_future else f"held-{token}"
            held = self.block if is_future else DataNode(whole, self.block)
            tasks = (
                Task(k, _cut, TaskRef(whole), one)
                for k, one in zip(keys, rows, strict=True)
            )
            graph = {whole: held, **{task.key: task for task in tasks}}
        else:
            # Each process gets its rows, and not the whole block.
            cuts = (_cut(self.block, one) for one in rows)
            graph = {k: DataNode(k, one) for k, one in zip(keys, cuts, strict=True)}
        source = Source(("block",), keys, lengths)
        outputs = [Output(name, ("block",)) for name in self.names]
        return Blocks(
            graph,
            [source],
            _AsTheyAre(source.names, outputs),
            lengths,
            self.scheduler,
            settled=True,
            by_columns=self.by_columns,
        )


@dataclass(frozen=True)
class _AsTheyAre(Assembly):
    """An assembly for tasks that yield whole blocks."""

    def __call__(self, *pieces: Any) -> Block:
        """Return the block."""
        (block,) = pieces
        return block  # type: ignore[no-any-return]


def _cut(block: Block, rows: Rows) -> Block:
    if isinstance(rows, slice):
        return block.by_rows().take(rows.start, rows.stop)
    return block.pick(rows)
