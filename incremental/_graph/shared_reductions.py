"""`settle`: computes before a pass what it needs of all data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from dask.utils import funcname, key_split
from toolz import merge

from incremental._graph.block_tasks import Plan, dependencies_first
from incremental._graph.blocks import Blocks
from incremental._graph.joint import stores
from incremental._graph.recut import recut
from incremental._graph.schedulers import Scheduler
from incremental._graph.task_spec import (
    DataNode,
    Graph,
    GraphNode,
    Key,
    Task,
    TaskRef,
    as_nodes,
)


def settle(blocks: Blocks) -> Blocks:
    """Count rows where that is needed, and compute the reductions over many blocks.

    The results take the place of the reductions. If a pass computed a reduction, the
    first block that needs it would wait until the reduction has read all the blocks
    that it covers. These would be held in memory until the fit reaches them.

    Parameters
    ----------
    blocks : Blocks

    Returns
    -------
    Blocks
        The same object if it is settled already.

    Raises
    ------
    ValueError
        If rows go through a store on disk and the scheduler may run a task twice. A
        task that ran twice would write its rows twice.
    """
    if blocks.settled:
        return blocks
    if blocks.on_disk and blocks.scheduler.is_remote:
        raise ValueError(
            f"The rows of {' and '.join(blocks.names)} are shuffled on the disk of one "
            "machine, which is not safe on a cluster: after the loss of a worker rows "
            "would be missing there, or be there twice. Pass `shuffle_method='tasks'`, "
            "or make the collection while the client is there, or persist it first."
        )
    if blocks.recut:
        blocks = recut(blocks)
    statistics = _statistics(blocks)
    graph = blocks.graph
    if statistics:
        graph = _settle(graph, statistics, blocks.scheduler)
    return replace(blocks, graph=graph, settled=True)


def _settle(graph: Graph, keys: list[Key], scheduler: Scheduler) -> Graph:
    """Compute tasks in one parallel run and replace them by their results.

    Parameters
    ----------
    graph : dict of task key to task
    keys : list of task keys
        The tasks to compute.
    scheduler : Scheduler

    Returns
    -------
    dict of task key to task
    """
    where = ["a statistic of several blocks"] * len(keys)
    plan = Plan(graph, [[key] for key in keys], where)
    tasks = plan.with_futures(merge(*map(plan.tasks, plan.blocks)))
    outputs = [block.outputs[0] for block in plan.blocks]
    # On a cluster the results stay there, and futures take their place.
    options = {"sync": False} if scheduler.is_remote else {}
    results = scheduler.run(tasks, outputs, **options)
    return {**graph, **{k: _literal(k, r) for k, r in zip(keys, results, strict=True)}}


def _literal(key: Key, value: Any) -> Any:
    """Return a task that yields a result. A future is one already."""
    return value if isinstance(value, TaskRef | GraphNode) else DataNode(key, value)


def _statistics(blocks: Blocks) -> list[Key]:
    """Find the reductions to compute before a pass.

    A reduction depends on at least three reads, and at least two blocks need it. It
    is computed before the pass if a block needs it directly, not only through another
    reduction, and if a block also uses one of its reads directly. That read would be
    held in memory.
    """
    nodes = as_nodes(blocks.graph)

    def needs(key: Key) -> list[Key]:
        found = nodes[key].dependencies if key in nodes else ()
        return [key for key in found if not isinstance(nodes.get(key), DataNode)]

    uses = Counter(chain.from_iterable(map(needs, nodes)))
    if not uses or max(uses.values()) < 2:
        return []
    outputs = {key for at in range(len(blocks)) for key in blocks.keys(at)}
    ordered = dependencies_first(outputs, needs, ())
    reads = _some_reads(ordered, needs)
    users = _some_users(blocks, ordered, needs)
    reducing = {k for k in ordered if len(reads[k]) > 2 and len(users[k]) > 1}
    reducing -= _uses_of_stores(ordered, needs) | _moves_of_rows(nodes, ordered)
    direct = dependencies_first(outputs - reducing, needs, reducing)
    used_directly = {key for key in direct if len(needs(key)) == 0}
    nearest = {need for key in direct for need in needs(key)} | outputs
    return [
        key
        for key in ordered
        if key in reducing and key in nearest and reads[key] & used_directly
    ]


def _uses_of_stores(ordered: list[Key], needs: Callable[[Key], list[Key]]) -> set[Key]:
    """Find the tasks that write to a store on disk, wait for that, or read from it.

    Such tasks must run together, because their results are only part of what they do.

    Parameters
    ----------
    ordered : list of task keys
        All tasks that the blocks need, each after those that it needs.
    needs : callable
        ``needs(key)`` returns the tasks that a task needs directly.

    Returns
    -------
    set of task keys
    """
    on_disk = stores(dict.fromkeys(ordered))
    if not on_disk:
        return set()
    after: set[Key] = set()
    for key in ordered:
        if key in on_disk or not after.isdisjoint(needs(key)):
            after.add(key)
    found = {key for key in ordered if not on_disk.isdisjoint(needs(key))}
    for key in reversed(ordered):
        if key in found:
            found.update(after.intersection(needs(key)))
    return found | on_disk


def _moves_of_rows(nodes: Graph, ordered: list[Key]) -> set[Key]:
    """Find the tasks that put blocks together, and those whose results are cut.

    Such tasks yield rows, and are not computed before the pass. Computed before, they
    would read apart from the pass. If a read draws rows at random, they would then
    yield other rows than the rest of the pass does.

    Parameters
    ----------
    nodes : dict of task key to task
    ordered : list of task keys
        As for `_uses_of_stores`.

    Returns
    -------
    set of task keys
    """
    moves = {key for key in ordered if key_split(key).endswith("rechunk-merge")}
    for key in ordered:
        node = nodes.get(key)
        if isinstance(node, Task):
            inner = node.args[0].values() if node.has_subgraph() else [node]
            cuts = (
                one for one in inner if funcname(getattr(one, "func", 0)) == "getitem"
            )
            moves.update(*(one.dependencies for one in cuts))
    return moves


def _some_reads(
    ordered: list[Key], needs: Callable[[Key], list[Key]]
) -> dict[Key, set[Key]]:
    """Find for each task up to three reads that it depends on.

    Parameters
    ----------
    ordered, needs
        As for `_uses_of_stores`.

    Returns
    -------
    dict of task key to set of task keys
    """
    found: dict[Key, set[Key]] = {}
    for key in ordered:
        found[key] = set(islice(chain.from_iterable(found[n] for n in needs(key)), 9))
        found[key] = set(islice(found[key], 3)) or {key}
    return found


def _some_users(
    blocks: Blocks, ordered: list[Key], needs: Callable[[Key], list[Key]]
) -> dict[Key, set[int]]:
    """Find for each task up to two blocks that need it.

    Parameters
    ----------
    blocks : Blocks
    ordered, needs
        As for `_uses_of_stores`.

    Returns
    -------
    dict of task key to set of int
        The positions of the blocks.
    """
    found: defaultdict[Key, set[int]] = defaultdict(set)
    for at in range(len(blocks)):
        for key in blocks.keys(at):
            found[key].add(at)
    for key in reversed(ordered):
        for need in needs(key):
            if len(found[need]) < 2:
                found[need].update(islice(found[key], 2))
    return found
