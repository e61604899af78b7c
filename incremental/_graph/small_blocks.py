"""Several small blocks are read in one task.

A task costs more than reading a small block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from incremental._errors import noted
from incremental._graph.task_spec import DataNode, Graph, Key
from incremental._typing import State


class Reads(NamedTuple):
    """The tasks that read some blocks, which one task can run.

    Attributes
    ----------
    own : dict of task key to task
        The tasks that no other blocks need, each after those that it needs.
    shared : dict of task key to task
        Values that other blocks may need too.
    needs : tuple of task keys
        What else the own tasks need.
    """

    own: Graph
    shared: Graph
    needs: tuple[Key, ...]


def separate(groups: Sequence[Graph]) -> list[Reads] | None:
    """Separate the tasks of groups of blocks, so that each group is read in one task.

    Parameters
    ----------
    groups : sequence of dict of task key to task
        The tasks that read the blocks of each group.

    Returns
    -------
    list of Reads or None
        None if a group needs what another one reads.
    """
    found = []
    for tasks in groups:
        shared = {k: node for k, node in tasks.items() if isinstance(node, DataNode)}
        own = {key: node for key, node in tasks.items() if key not in shared}
        needs = set().union(*(node.dependencies for node in own.values())) - own.keys()
        found.append(Reads(own, shared, tuple(needs)))
    every = {key for reads in found for key in reads.own}
    return None if any(every.intersection(one.needs) for one in found) else found


class ReadTogether:
    """A function that reads some blocks, one after the other.

    Parameters
    ----------
    reads : Reads
    outputs : sequence of sequence of task keys
        For each block, the tasks that yield its pieces.
    where : sequence of str
        What errors call each block.
    """

    __slots__ = ("needs", "outputs", "own", "where")

    def __init__(
        self, reads: Reads, outputs: Sequence[Sequence[Key]], where: Sequence[str]
    ) -> None:
        self.own = reads.own
        self.needs = reads.needs
        self.outputs = outputs
        self.where = where

    def __call__(
        self, prepare: Callable[..., Any] | None, gate: object, *needs: Any
    ) -> list[tuple[Any, ...]]:
        """Return for each block what a step takes.

        Parameters
        ----------
        prepare : callable or None
            ``prepare(*pieces)``, what is done to each block.
        gate : object
            It was only waited for.
        *needs
            The results of the tasks that are needed.
        """
        values = dict(zip(self.needs, needs, strict=True))
        for key, node in self.own.items():
            values[key] = node(values)
        blocks = [tuple(values[key] for key in keys) for keys in self.outputs]
        if prepare is None:
            return blocks
        prepared = []
        for where, pieces in zip(self.where, blocks, strict=True):
            with noted(f"in {where}"):
                prepared.append((prepare(*pieces),))
        return prepared


def take_together(
    chosen: Sequence[tuple[int, str]],
    step: Callable[..., State],
    state: State,
    blocks: Sequence[tuple[Any, ...]],
) -> State:
    """Take some of the blocks that `ReadTogether` has read, one after the other.

    Parameters
    ----------
    chosen : sequence of (int, str)
        The number of each block among those, and what errors call it.
    step : callable
        ``step(state, *pieces) -> state``.
    state : object
    blocks : list of tuple
        What was read.
    """
    for number, where in chosen:
        with noted(f"in {where}"):
            state = step(state, *blocks[number])
    return state
