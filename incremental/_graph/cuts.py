"""Where collections of unknown lengths are cut, as far as their tasks show it.

The fewer columns dask reads, the larger it makes the partitions. So two arrays made of
different columns of one dataframe may be cut at different rows, even if they have the
same number of blocks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from dask.utils import funcname, key_split

from incremental._graph.task_spec import DataNode, Graph, GraphNode, Key, Task

# Functions that dask calls with a partition, and whose rows depend on where it is cut:
# they draw rows at random, compare the rows of a partition, or move them to others.
_BY_PARTITION = {
    "sample",
    "pd_split",
    "_apply_random",
    "_apply_random_func",
    "_wrap_func",
    "sort_values",
    "sort_index",
    "drop_duplicates",
    "nlargest",
    "nsmallest",
    "head",
    "tail",
    "safe_head",
    "safe_tail",
    "shuffle_group",
    "_shuffle_group",
    "shuffle_group_2",
    "shuffle_group_get",
}

# Packages whose functions, apart from those above, yield the same rows wherever
# partitions are cut.
_KNOWN = {
    "_operator",
    "builtins",
    "cytoolz",
    "dask",
    "distributed",
    "functools",
    "incremental",
    "itertools",
    "numpy",
    "operator",
    "pandas",
    "pyarrow",
    "scipy",
    "toolz",
}


def cut_alike(graph: Graph, sources: Sequence[Sequence[Key]]) -> bool:
    """Return False if the tasks show that collections are cut at different rows.

    Return True if nothing shows it.

    Parameters
    ----------
    graph : dict of task key to task
    sources : sequence of list of task keys
        For each collection the tasks that yield its blocks.

    Returns
    -------
    bool
        False if they have different numbers of blocks. Also if blocks at the same
        position need different reads, or reads of different numbers of parts.
    """
    if len({len(keys) for keys in sources}) > 1:
        return False
    patterns = [_pattern(graph, keys) for keys in sources]
    known = [pattern for pattern in patterns if any(pattern)]
    return all(pattern == known[0] for pattern in known)


def keeps_order(graph: Graph, keys: Sequence[Key]) -> bool:
    """Tell whether blocks take what is read in the order of the reads.

    Then each block needs consecutive reads, and begins no earlier than the last read of
    the block before.

    Parameters
    ----------
    graph : dict of task key to task
    keys : list of task keys
        The tasks that yield the blocks of a collection.
    """
    last = 0
    for numbers in filter(None, _numbered(_reads(graph, keys))):
        if numbers != list(range(numbers[0], numbers[-1] + 1)) or numbers[0] < last:
            return False
        last = numbers[-1]
    return True


def depends_on_cuts(graph: Graph, keys: Sequence[Key]) -> bool:
    """Tell whether the rows, or their order, depend on where partitions are cut.

    They do where rows are shuffled, drawn at random, sorted or compared with others.

    Parameters
    ----------
    graph : dict of task key to task
    keys : list of task keys
        The tasks that yield the blocks of a collection.
    """
    return any(funcname(one) in _BY_PARTITION for one in _functions(graph, keys))


def calls_users_functions(graph: Graph, keys: Sequence[Key]) -> bool:
    """Tell whether a function of an unknown package gets partitions of a dataframe.

    What it returns may depend on where these partitions are cut, and dask's optimiser
    may cut them elsewhere. It does not do so with arrays.

    Parameters
    ----------
    graph : dict of task key to task
    keys : list of task keys
        The tasks that yield the blocks of a collection.
    """
    functions = list(_functions(graph, keys))
    of_frames = any(_module(one).startswith("dask.dataframe") for one in functions)
    packages = {_module(one).partition(".")[0] for one in functions}
    return of_frames and not packages <= _KNOWN


def made_of_dataframe(graph: Graph, keys: Sequence[Key]) -> bool:
    """Tell whether tasks yield the values of partitions, as ``to_dask_array`` does.

    Parameters
    ----------
    graph : dict of task key to task
    keys : list of task keys
        Tasks that yield blocks of a collection.
    """
    return any(
        (_module(one), funcname(one)) == ("dask.dataframe.methods", "values")
        for one in _functions(graph, keys)
    )


def _module(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__module__", None) or type(function).__module__)


def _pattern(graph: Graph, keys: Sequence[Key]) -> list[list[tuple[int, int]]]:
    """Return for each block the numbers of the reads that it needs.

    Each comes with the number of parts that are fused into the read. Only the most
    frequent kind of read counts.
    """
    reads = _reads(graph, keys)
    kinds = Counter(key_split(one) for block in reads for one in set(block))
    if not kinds:
        return [[] for _ in keys]
    (widest, _), *_ = kinds.most_common(1)
    own = [[one for one in block if key_split(one) == widest] for block in reads]
    parts = {one: _count_leaves(graph[one]) for block in own for one in block}
    return [
        [(number, parts[one]) for number, one in zip(numbers, block, strict=True)]
        for numbers, block in zip(_numbered(own), own, strict=True)
    ]


def _numbered(reads: Iterable[Sequence[Key]]) -> Iterator[list[int]]:
    """Give the reads of blocks numbers, in the order in which they are needed."""
    numbers: defaultdict[Key, int] = defaultdict(lambda: len(numbers))
    for block in reads:
        yield [numbers[one] for one in block]


def _reads(graph: Graph, keys: Sequence[Key]) -> list[list[Key]]:
    """List for each block the tasks that need no other one, in order."""
    return [
        [
            key
            for key in _needed(graph, [one])
            if isinstance(graph.get(key), Task) and not graph[key].dependencies
        ]
        for one in keys
    ]


def _needed(graph: Graph, keys: Iterable[Key]) -> dict[Key, None]:
    """Return tasks and all that they need, directly or through others, in order."""
    seen: dict[Key, None] = {}
    stack = list(keys)[::-1]
    while stack:
        key = stack.pop()
        if key not in seen:
            seen[key] = None
            needs = getattr(graph.get(key), "dependencies", ())
            stack.extend(sorted(needs, key=_order, reverse=True))
    return seen


def _order(key: Key) -> tuple[str, Any]:
    """Sort the tasks of one layer by their numbers."""
    name, *numbers = key if isinstance(key, tuple) else (key,)
    return str(name), [n if isinstance(n, int) else -1 for n in numbers]


def _inner(node: Any) -> Iterator[Any]:
    """Yield what a task, or a container in it, holds."""
    if isinstance(node, Task):
        yield from node.args
        yield from node.kwargs.values()
    elif isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, list | tuple):
        yield from node


def _tasks_in(node: Any) -> Iterator[Task]:
    """Yield the tasks that are held in a task, at any depth."""
    for held in _inner(node):
        if isinstance(held, Task):
            yield held
        if isinstance(held, GraphNode | Mapping | list | tuple) and not isinstance(
            held, DataNode
        ):
            yield from _tasks_in(held)


def _functions(graph: Graph, keys: Sequence[Key]) -> Iterator[Callable[..., Any]]:
    """Yield the functions that are called with what was read, not those that read."""
    for node in map(graph.get, _needed(graph, keys)):
        if isinstance(node, Task):
            for task in (node, *_tasks_in(node)):
                if task.dependencies or any(True for _ in _tasks_in(task)):
                    yield task.func
                    # What dask wraps, as in `map_partitions`, is an argument.
                    yield from (held for held in _inner(task) if _is_function(held))


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, GraphNode | type)


def _count_leaves(node: Any) -> int:
    """Count the tasks in a task that need no other one."""
    inner = [
        task
        for task in _tasks_in(node)
        if not task.dependencies and not any(True for _ in _tasks_in(task))
    ]
    return max(len(inner), 1)
