"""One graph of several collections, in which whatever they share runs once.

If collections were optimised one by one, each would run the shared tasks again. That
is slow. If a shared task shuffles rows or draws at random, the rows would not pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any

import dask.array as da
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.utils import key_split

from incremental._graph.task_spec import (
    Alias,
    Graph,
    GraphNode,
    Key,
    Task,
    TaskRef,
    as_nodes,
)


def optimize_together(collections: Collection[Any]) -> Graph:
    """Optimise dask arrays and bags as one graph.

    Parameters
    ----------
    collections : sequence of dask arrays and bags

    Returns
    -------
    dict
        The tasks of all collections.
    """
    merged = HighLevelGraph.merge(*(one.dask for one in collections))
    keys = list(flatten([one.__dask_keys__() for one in collections]))
    graph = da.Array.__dask_optimize__(merged, keys)
    bags = [one for one in collections if not isinstance(one, da.Array)]
    if bags:
        graph = bags[0].__dask_optimize__(graph, keys)
    return as_nodes(graph)


def share_fused(graph: Graph) -> Graph:
    """Let a task that several fused tasks hold run once, outside of them.

    dask fuses the tasks of a dataframe when it becomes an array. Arrays of one
    dataframe then hold the same tasks, each in fused tasks of its own.

    Parameters
    ----------
    graph : dict of task key to task
        The tasks as dask's optimisation yields them.

    Returns
    -------
    dict of task key to task
    """
    nodes = as_nodes(graph)
    fused = {key: inner for key, node in nodes.items() if (inner := _fused(key, node))}
    holders = Counter(chain.from_iterable(fused.values()))
    shared = {key for key, n in holders.items() if n > 1 or key in nodes}
    found = dict(nodes)
    for key, inner in fused.items():
        # A fused task may have the key of the inner task that yields its result.
        taken = {one for one in inner if one in shared and _target(nodes, one) != key}
        if taken:
            for one in taken:
                if one not in found:
                    found[one] = inner[one].substitute({}, key=one)
            found[key] = _without(nodes[key], inner, taken)
    return found


def stores(graph: Mapping[Key, Any]) -> set[Key]:
    """Find the tasks that open a store on disk, which other tasks write to and read.

    dask's disk shuffle and ``Bag.groupby`` make such stores. The order of the rows in
    a store depends on which task writes first.
    """
    return {key for key in graph if key_split(key) in ("zpartd", "partd")}


def reached(graph: Graph, keys: Iterable[Key], among: set[Key]) -> set[Key]:
    """Return which tasks of a set are needed, directly or through others.

    Parameters
    ----------
    graph : dict of task key to task
    keys : iterable of task keys
        The tasks that need others.
    among : set of task keys
        The tasks to look for.

    Returns
    -------
    set of task keys
    """
    seen: set[Key] = set()
    stack = list(keys)
    while stack:
        key = stack.pop()
        if key not in seen:
            seen.add(key)
            stack.extend(getattr(graph.get(key), "dependencies", ()))
    return seen & among


def _fused(key: Key, node: Any) -> Graph:
    """Return the tasks inside a fused task, at all depths, by their keys.

    Parameters
    ----------
    key : task key
        The key of the fused task.
    node : object
        The task that may be a fused one.

    Returns
    -------
    dict of task key to task
        Empty if it is not a fused task, or if its inner keys are not unique.
    """
    if not isinstance(node, Task) or not node.has_subgraph():
        return {}
    inner, output, names, *needs = node.args
    # Fused tasks of a `Blockwise` layer use the same inner keys for all blocks.
    of_blockwise = isinstance(output, str) and isinstance(key, tuple)
    refs = tuple(need.key for need in needs if isinstance(need, TaskRef))
    if of_blockwise or tuple(names) != refs:
        return {}
    found: Graph = {}
    for one, held in inner.items():
        deeper = _fused(one, held)
        found.update(deeper)
        if deeper:
            # The inner task that yields its result may already have this key.
            found.setdefault(one, Alias(one, held.args[1]))
        elif not isinstance(held, Alias):
            found[one] = held
        else:
            found.setdefault(one, held)
    return found


def _target(nodes: Graph, key: Key) -> Key:
    """Return the key of the task that an alias stands for; other keys as they are."""
    while isinstance(node := nodes.get(key), Alias):
        key = node.target
    return key


def _without(node: Task, inner: Graph, taken: set[Key]) -> GraphNode:
    """Return a fused task that gets some of its inner results from outside.

    Parameters
    ----------
    node : Task
        The fused task.
    inner : dict of task key to task
        What `_fused` found in it.
    taken : set of task keys
        The inner tasks that run outside.

    Returns
    -------
    Task or Alias
        An alias if the result itself comes from outside.
    """
    output = node.args[1]
    if output in taken:
        return Alias(node.key, output)
    rest: Graph = {}
    stack = [output]
    while stack:
        key = stack.pop()
        if key in inner and key not in taken and key not in rest:
            rest[key] = inner[key].substitute({}, key=key)
            stack.extend(inner[key].dependencies)
    return Task.fuse(*rest.values(), key=node.key)
