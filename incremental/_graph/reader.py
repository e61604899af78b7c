"""`BlockReader`: reads the blocks of a pass one by one, for several threads."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any
from uuid import uuid4

from incremental._blocks.assembly import Assembly
from incremental._blocks.block import Block
from incremental._errors import noted
from incremental._graph.block_tasks import flatten_pieces, literals, plan_blocks
from incremental._graph.blocks import Blocks
from incremental._graph.shared_reductions import settle
from incremental._graph.task_spec import Graph, Key, Task, TaskRef
from incremental._typing import Piece


class BlockReader:
    """A reader of the blocks of one pass. A task that several blocks need runs once.

    `read` may be called from several threads at once, as long as the calls begin in
    the order of the places.

    Parameters
    ----------
    blocks : Blocks
    order : sequence of int
        For each place, the position of its block.
    """

    def __init__(self, blocks: Blocks, order: Sequence[int]) -> None:
        blocks = settle(blocks)
        plan = plan_blocks(blocks, order)
        self._scheduler = blocks.scheduler
        self._assembly = blocks.assembly
        self._token = uuid4().hex
        self._blocks = plan.blocks
        self._tasks = [plan.tasks(block) for block in plan.blocks]
        planned = list(zip(plan.blocks, self._tasks, strict=True))
        self._borrowed = [plan.foreign(*block) for block in planned]
        self._futures = [plan.futures(*block) for block in planned]
        self._uses_left = Counter(key for keys in self._borrowed for key in keys)
        self._shared: dict[Key, Future[Any]] = {
            key: Future() for key in self._uses_left
        }
        self._lock = threading.Lock()

    def __enter__(self) -> BlockReader:
        self._pool = self._scheduler.open_pool()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A read that is running ends in the background; nobody waits for it.
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._blocks)

    def read(self, place: int) -> Block:
        """Return the block at a place. The caller may write to it."""
        block, tasks = self._blocks[place], self._tasks[place]
        lent = [key for key in tasks if key in self._shared]
        try:
            graph = {**tasks, **self._borrow(place), **self._futures[place]}
            made: Key = ("block", self._token, place)
            refs = map(TaskRef, block.outputs)
            graph[made] = Task(made, _assemble, block.where, self._assembly, *refs)
            whole, shared = self._run(graph, made, lent)
        except BaseException as error:
            for key in lent:
                self._shared[key].set_exception(error)
            raise
        for key, value in zip(lent, shared, strict=True):
            self._shared[key].set_result(value)
        self._tasks[place] = {}
        # The pieces may belong to data in memory, to a file or to an earlier result.
        # They are copied, because the caller may write to them.
        return Block({name: copy.deepcopy(whole[name]) for name in whole})

    def _run(self, graph: Graph, made: Key, lent: list[Key]) -> Any:
        """Compute a block, and what later blocks need of its tasks.

        Parameters
        ----------
        graph : dict of task key to task
        made : task key
            The task that makes the block.
        lent : list of task keys
            The tasks of the block that later blocks need.

        Returns
        -------
        block : Block
        shared : list
            The results of the tasks `lent`.
        """
        local = {} if self._pool is None else {"pool": self._pool}
        # No callbacks: parallel runs would unregister dask's diagnostics.
        return self._scheduler.run(
            graph,
            [made, lent],
            callbacks=(),
            **local,
        )

    def _borrow(self, place: int) -> Graph:
        """Return tasks that yield what the block at a place needs of earlier blocks.

        Waits until the earlier blocks have been read.
        """
        values = {key: self._shared[key].result() for key in self._borrowed[place]}
        with self._lock:
            self._uses_left.subtract(values.keys())
            for key in values:
                if not self._uses_left[key]:
                    del self._shared[key]
        return literals(values)


def _assemble(where: str, assembly: Assembly, *pieces: Piece) -> Block:
    """Make a block of the results of its reads, and check its number of rows.

    Parameters
    ----------
    where : str
        What error messages call the block.
    assembly : Assembly
    *pieces
        The results, each of which is a piece or a tuple of pieces.
    """
    with noted(f"in {where}"):
        block = assembly(*flatten_pieces(pieces))
        block.count_rows()
    return block
