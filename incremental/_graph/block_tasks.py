"""`Plan`: for each block of a pass, the tasks that it is the first to need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple
from uuid import uuid4

from dask.utils import key_split

from incremental._errors import noted
from incremental._graph.blocks import Blocks
from incremental._graph.task_spec import (
    Alias,
    DataNode,
    Graph,
    GraphNode,
    Key,
    Task,
    TaskRef,
    Tuple,
    as_nodes,
)
from incremental._typing import Piece


def literals(values: dict[Key, Any]) -> Graph:
    """Return a graph whose tasks yield given values, by their keys."""
    return {key: DataNode(key, value) for key, value in values.items()}


# Iterators of these modules can be read only once. Files are iterators of another
# module, and stay what they are.
_READ_ONCE = ("builtins", "itertools")


class PlannedBlock(NamedTuple):
    """The tasks of one block in a `Plan`.

    Attributes
    ----------
    where : str
        What error messages call the block.
    new : list of task keys
        The tasks that no earlier block needs, by their keys in the collections. A
        task comes after those that it needs.
    outputs : list of task keys
        The tasks that yield the pieces of the block, by their keys in the plan.
    """

    where: str
    new: list[Key]
    outputs: list[Key]


class Plan:
    """The tasks of one pass, each assigned to the block that needs it first.

    The tasks get new keys. There are two reasons: a scheduler may know a key of the
    collections with another definition, and two passes must not share results.

    Parameters
    ----------
    graph : dict of task key to task
        The tasks of all collections.
    wanted : sequence of list of task keys
        For each place, the tasks that yield its block.
    where : sequence of str
        For each place, what error messages call its block.

    Attributes
    ----------
    blocks : list of PlannedBlock
        One block for each place.
    """

    def __init__(
        self, graph: Graph, wanted: Sequence[list[Key]], where: Sequence[str]
    ) -> None:
        self._token = uuid4().hex
        self._futures = {
            task.key: task for task in graph.values() if isinstance(task, TaskRef)
        }
        self._nodes = as_nodes(graph)
        # For each key in the collections, its new key, and the place of the first block
        # that needs it.
        self._keys: dict[Key, Key] = {}
        self._first: dict[Key, int] = {}
        self.blocks = []
        wanted = [list(map(self._target, keys)) for keys in wanted]
        uses = Counter(
            chain(
                chain.from_iterable(wanted),
                chain.from_iterable(map(self._needs, self._nodes)),
            )
        )
        for place, (keys, name) in enumerate(zip(wanted, where, strict=True)):
            new = self._walk(keys, place)
            if len(keys) > 1 and all(uses[key] == 1 and key in new for key in keys):
                new, keys = self._join(new, keys)
            outputs = list(map(self._renamed, keys))
            self.blocks.append(PlannedBlock(name, new, outputs))
        self._names = set(self._keys.values())

    def tasks(self, block: PlannedBlock, gate: Key | None = None) -> Graph:
        """Return the tasks that a block is the first to need.

        Parameters
        ----------
        block : PlannedBlock
            One of `blocks`.
        gate : task key, optional
            A task that these tasks wait for. Those that need none of the others depend
            on it directly, the rest through what they need. By default they wait for
            none.

        Returns
        -------
        dict of task key to task
            The tasks under their new keys.
        """
        found: Graph = {}
        for key in block.new:
            node, name = self._nodes[key], self._keys[key]
            if isinstance(node, DataNode) and name not in block.outputs:
                found[name] = DataNode(name, node.value)
                continue
            refs = [TaskRef(self._renamed(need)) for need in self._needs(key)]
            if gate is not None and not self._waits(key):
                refs.append(TaskRef(gate))
            read = _Read(node, tuple(node.dependencies), block.where)
            found[name] = Task(name, read, *refs)
        return found

    def foreign(self, block: PlannedBlock, tasks: Graph) -> set[Key]:
        """Return the tasks of earlier blocks that a block needs.

        Parameters
        ----------
        block : PlannedBlock
            One of `blocks`.
        tasks : dict of task key to task
            What `tasks` returned for the block.

        Returns
        -------
        set of task keys
            Their new keys.
        """
        return (self._read_by(block, tasks) & self._names) - tasks.keys()

    def futures(self, block: PlannedBlock, tasks: Graph) -> Graph:
        """Return the futures that a block needs.

        Parameters
        ----------
        block, tasks
            As for `foreign`.

        Returns
        -------
        dict of task key to future
            The futures under their own keys, which do not change.
        """
        needs = self._read_by(block, tasks) & self._futures.keys()
        return {key: self._futures[key] for key in needs}

    def _read_by(self, block: PlannedBlock, tasks: Graph) -> set[Key]:
        """Return the keys of all tasks whose results a block takes directly."""
        return set(block.outputs).union(*(task.dependencies for task in tasks.values()))

    def with_futures(self, graph: Graph) -> Graph:
        """Return a graph of planned tasks with all futures, under their own keys."""
        return {**graph, **self._futures}

    def _walk(self, keys: list[Key], place: int) -> list[Key]:
        """Assign the tasks that no earlier block needs to a block.

        Parameters
        ----------
        keys : list of task keys
            The tasks that yield the block, by their keys in the collections.
        place : int
            The place of the block.

        Returns
        -------
        list of task keys
            As `PlannedBlock.new`.
        """
        new: list[Key] = []
        for key in dependencies_first(keys, self._needs, self._first):
            if key in self._nodes:
                self._first[key] = place
                self._keys[key] = f"{key_split(key)}-{self._token}", place, len(new)
                new.append(key)
        return new

    def _join(self, new: list[Key], outputs: list[Key]) -> tuple[list[Key], list[Key]]:
        """Join the tasks that yield a block in one task, which runs faster.

        Parameters
        ----------
        new : list of task keys
            What `_walk` returned for the block.
        outputs : list of task keys
            The tasks that yield the block. They are among `new`.

        Returns
        -------
        new : list of task keys
            The joint task in place of `outputs`.
        outputs : list of task keys
            The joint task.
        """
        joint, first = ("joint", self._token, outputs[0]), outputs[0]
        self._nodes[joint] = Tuple(*map(self._nodes.__getitem__, outputs))
        self._keys[joint] = self._keys[first]
        self._first[joint] = self._first[first]
        return [*(key for key in new if key not in outputs), joint], [joint]

    def _target(self, key: Key) -> Key:
        """Return the task that an alias stands for; other tasks as they are."""
        while isinstance(node := self._nodes.get(key), Alias):
            key = node.target
        return key

    def _needs(self, key: Key) -> list[Key]:
        """Return what a task needs directly, by the keys in the collections."""
        node = self._nodes.get(key)
        return [] if node is None else list(map(self._target, node.dependencies))

    def _renamed(self, key: Key) -> Key:
        return self._keys.get(key, key)

    def _waits(self, key: Key) -> bool:
        """Tell whether a task needs another new task of its block that can wait."""
        return any(
            self._first.get(need) == self._first[key]
            and not isinstance(self._nodes[need], DataNode)
            for need in self._needs(key)
        )


def plan_blocks(blocks: Blocks, order: Sequence[int]) -> Plan:
    """Plan a pass over blocks.

    Parameters
    ----------
    blocks : Blocks
        What `settle` returned.
    order : sequence of int
        For each place, the position of its block.

    Returns
    -------
    Plan
    """
    where = blocks.describe()
    return Plan(
        blocks.graph, [blocks.keys(at) for at in order], [where[at] for at in order]
    )


class _Read:
    """A function that runs one task of a collection. Its errors name the block.

    Parameters
    ----------
    node : GraphNode
        The task.
    needs : tuple of task keys
        The tasks that it needs, by the keys that `node` knows.
    where : str
        What error messages call the block.
    """

    __slots__ = ("needs", "node", "where")

    def __init__(self, node: GraphNode, needs: tuple[Key, ...], where: str) -> None:
        self.node = node
        self.needs = needs
        self.where = where

    def __call__(self, *values: Any) -> Any:
        # The values are those of `needs`. A gate adds one more, which is not needed.
        with noted(f"while computing {self.where}"):
            return _whole(self.node(dict(zip(self.needs, values, strict=False))))


def _whole(value: Any) -> Any:
    """Return an iterator, which can be read only once, as a list."""
    lazy = isinstance(value, Iterator) and type(value).__module__ in _READ_ONCE
    return list(value) if lazy else value


def dependencies_first(
    keys: Iterable[Key],
    needs: Callable[[Key], Iterable[Key]],
    known: Container[Key],
) -> list[Key]:
    """List tasks and all that they need, each after those that it needs.

    Parameters
    ----------
    keys : iterable of task keys
        The tasks.
    needs : callable
        ``needs(key)`` returns the tasks that a task needs directly.
    known : container of task keys
        Tasks to leave out, with what only they need.

    Returns
    -------
    list of task keys
    """
    found: dict[Key, None] = {}
    opened = set()
    stack = list(keys)[::-1]
    while stack:
        key = stack[-1]
        if key in found or key in known:
            stack.pop()
        elif key in opened:
            found[stack.pop()] = None
        else:
            opened.add(key)
            stack.extend(needs(key))
    return list(found)


def flatten_pieces(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the pieces of a block from the results of its tasks.

    A result is a piece or a tuple of results.
    """
    for piece in pieces:
        if type(piece) is tuple:
            yield from flatten_pieces(piece)
        else:
            yield piece
