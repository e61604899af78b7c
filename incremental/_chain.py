"""A pass over blocks as one dask graph, with a look-ahead bounded by its edges.

This is the only module that touches dask's task specification, which is private
(``dask._task_spec``): a task has to be renamed and to get one more dependency, and no
public call does that. Tested with dask 2026.3 to 2026.8.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from numbers import Integral
from typing import Any, NamedTuple
from uuid import uuid4

import dask
from dask._task_spec import Alias, DataNode, GraphNode, Task, TaskRef, Tuple
from dask._task_spec import convert_legacy_graph as as_nodes
from dask.base import get_scheduler
from dask.callbacks import Callback
from dask.delayed import Delayed
from dask.local import get_sync
from dask.multiprocessing import get as get_processes
from dask.multiprocessing import get_context
from dask.system import CPU_COUNT
from dask.threaded import get as get_threaded
from dask.utils import key_split
from toolz import merge

from incremental._blocks import Blocks, Key, Source
from incremental._joint_graph import stores
from incremental._notes import noted

Step = Callable[..., Any]
Watch = Callable[[int, Callable[[], Any]], bool | None]
Graph = dict[Key, Any]


def scheduler() -> Callable[..., Any]:
    """Return the ``get`` function of the active scheduler; threads by default."""
    return get_scheduler() or get_threaded  # type: ignore[no-any-return]


def _is_remote(get: Callable[..., Any]) -> bool:
    return hasattr(getattr(get, "__self__", None), "nthreads")


def hands_back(get: Callable[..., Any]) -> bool:
    """Tell whether a scheduler's states pass through this process."""
    return not _is_remote(get)


def shares_memory(get: Callable[..., Any]) -> bool:
    """Tell whether a scheduler runs each task once, in this process."""
    return get in (get_threaded, get_sync)


def reads_ahead(get: Callable[..., Any]) -> bool:
    """Tell whether a scheduler may compute while the caller goes on."""
    return get is not get_sync


def open_pool(get: Callable[..., Any]) -> Executor | None:
    """Open a pool for runs from several threads, where dask would open one for each."""
    if dask.config.get("pool", None) is not None:
        return None
    if get is get_threaded:
        return ThreadPoolExecutor(n_threads(get))
    if get is get_processes:
        return ProcessPoolExecutor(n_threads(get), mp_context=get_context())
    return None


def n_threads(get: Callable[..., Any]) -> int:
    """Count the tasks that a scheduler runs at the same time."""
    if _is_remote(get):
        return sum(get.__self__.nthreads().values())  # type: ignore[attr-defined]
    if get is get_sync:
        return 1
    if isinstance(get, partial):  # dask's own around an executor
        return int(get.args[-1])
    pool = dask.config.get("pool", None)
    workers = getattr(pool, "_max_workers", getattr(pool, "_processes", None))
    return int(workers or dask.config.get("num_workers", None) or CPU_COUNT)


def resolve_prefetch(
    prefetch: Any, get: Callable[..., Any], per_thread: int = 1
) -> int:
    """Return the number of blocks to read ahead.

    Parameters
    ----------
    prefetch : int or "auto"
    get : callable
        The scheduler.
    per_thread : int, default=1
        How many blocks ``"auto"`` takes for each of its threads.

    Raises
    ------
    ValueError
        If `prefetch` is neither ``"auto"`` nor an integer of 0 or more.
    """
    if isinstance(prefetch, str) and prefetch == "auto":
        return max(n_threads(get), 2) * per_thread
    integral = isinstance(prefetch, Integral) and not isinstance(prefetch, bool)
    if not integral or prefetch < 0:
        raise ValueError(
            f"prefetch must be 'auto' or an integer of 0 or more, got {prefetch!r}. "
            "It is the number of blocks to read ahead of the one in use."
        )
    return int(prefetch)


def fold(
    blocks: Blocks,
    step: Step,
    state: Any,
    *,
    order: Sequence[int],
    prefetch: int,
    get: Callable[..., Any],
    name: str,
    prepare: Step | None = None,
    prepare_name: str = "prepare",
    watch: Watch | None = None,
) -> Any:
    """Fold the blocks into a state, one after the other.

    Parameters
    ----------
    blocks : Blocks
    step : callable
        ``step(state, *pieces) -> state``; must pickle.
    state : object
        The first state.
    order : sequence of int
        Positions of the blocks, in the order in which they are used.
    prefetch : int
        How many blocks may be read ahead of the one in use.
    get : callable
        The scheduler that runs the pass.
    name : str
        What diagnostics call the steps.
    prepare : callable, optional
        ``prepare(*pieces)`` is called on each block before, in parallel, and the step
        gets what it returns: one piece, or a tuple of them. Must pickle.
    prepare_name : str, default="prepare"
        What diagnostics call that.
    watch : callable, optional
        ``watch(place, load)`` is called here after each step, in order, with a function
        that returns the state then. It may not be changed. What it returns says whether
        to stop there.

    Returns
    -------
    object
        The last state.
    """
    plan = plan_pass(blocks, order, get)
    graph: Graph = {}
    before = None if prepare is None else _Stage(graph, prepare_name, _apply, prepare)
    steps = _Stage(graph, name, _use, step)
    done: list[Key] = [f"state-{uuid4().hex}"]
    graph[done[0]] = DataNode(done[0], state)
    for place, block in enumerate(plan.blocks):
        gate: Key = done[place - prefetch] if place > prefetch else None
        if gate is not None and not shares_memory(get):
            # A task between them, so that no read makes the state travel.
            fitted, gate = gate, (f"look-ahead-{done[0]}", place)
            graph[gate] = Task(gate, _nothing, TaskRef(fitted))
        graph.update(plan.tasks(block, gate))
        outputs = block.outputs
        if before is not None:
            outputs = [before.add(place, block.where, outputs)]
        done.append(steps.add(place, block.where, [done[place], *outputs]))
    graph = plan.with_futures(graph)
    if _is_remote(get):
        return _run_remotely(get, graph, done[1:], watch)
    return _run_locally(get, graph, done[1:], watch)


def _run_locally(
    get: Callable[..., Any], graph: Graph, states: list[Key], watch: Watch | None
) -> Any:
    own = (None, None, None, _LocalRun(states, watch).after_task, None)
    callbacks = [*_active_callbacks(), own]
    try:
        return run(get, graph, [states[-1]], callbacks=callbacks)[0]
    except _Stopped as stopped:
        return stopped.state


class _Stopped(Exception):  # noqa: N818
    """Ends a run where its watch says so."""

    def __init__(self, state: Any) -> None:
        super().__init__("The fit was stopped.")
        self.state = state


class _LocalRun:
    """Watch a pass on dask's local schedulers, and keep its blocks in order.

    They begin with the task that became ready last, so that a block may wait for its
    read until later ones are read, and the fit with it. Distributed has priorities.
    """

    def __init__(self, states: list[Key], watch: Watch | None) -> None:
        self._places = {key: place for place, key in enumerate(states)}
        self._watch = watch

    def after_task(
        self, key: Key, result: Any, graph: Any, state: Any, worker: Any
    ) -> None:
        state["ready"].sort(key=_place, reverse=True)
        place = self._places.get(key)
        if place is None or self._watch is None:
            return
        if self._watch(place, lambda: result):
            raise _Stopped(result)


def _run_remotely(
    get: Callable[..., Any], graph: Graph, states: list[Key], watch: Watch | None
) -> Any:
    with _advised():
        if watch is None:
            return run(get, graph, [states[-1]])[0]
        from distributed import wait

        futures = run(get, graph, states, sync=False)
        try:
            for place, future in enumerate(futures):
                wait([future])
                if future.status != "finished":
                    future.result()
                if watch(place, future.result):
                    return future.result()
                if place:
                    futures[place - 1].release()
            return futures[-1].result()
        finally:
            for future in futures:
                future.release()


@contextmanager
def _advised() -> Iterator[None]:
    """Add what to do to an error of the cluster itself."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "distributed":
            error.add_note(
                "The fit stopped and leaves the estimator as it was. Where workers ran "
                "out of memory, use smaller blocks or a smaller `prefetch`. Where they "
                "or the connection were lost, `checkpoint` lets the same call go on."
            )
        raise


def _place(key: Key) -> int:
    return int(key[1]) if isinstance(key, tuple) else 0


def map_blocks(
    blocks: Blocks,
    function: Step,
    *,
    get: Callable[..., Any],
    name: str,
    order: Sequence[int] | None = None,
) -> list[Any]:
    """Call ``function(*pieces)`` on blocks in parallel and return the results.

    Only for results that are small: all of them are returned. Of all blocks unless
    their positions are given.
    """
    plan = plan_pass(blocks, range(len(blocks)) if order is None else order, get)
    graph: Graph = {}
    calls = _Stage(graph, name, _apply, function)
    keys = []
    for place, block in enumerate(plan.blocks):
        graph.update(plan.tasks(block))
        keys.append(calls.add(place, block.where, block.outputs))
    return list(run(get, plan.with_futures(graph), keys))


class _Stage:
    """A function that a graph holds once and calls for each block."""

    def __init__(self, graph: Graph, name: str, call: Step, function: Step) -> None:
        self._graph = graph
        self._name = f"{name}-{uuid4().hex}"
        self._call = call
        # Not of the same name, by which distributed learns how long a call takes.
        self._function = f"function-{self._name}"
        graph[self._function] = DataNode(self._function, function)

    def add(self, place: int, where: str, inputs: list[Key]) -> Key:
        """Add the call for the block at a place, and return its key."""
        key = self._name, place
        refs = map(TaskRef, [self._function, *inputs])
        self._graph[key] = Task(key, self._call, where, *refs)
        return key


def run(get: Callable[..., Any], graph: Graph, keys: list[Any], **options: Any) -> Any:
    """Run a graph as it is: dask's fusion would undo the look-ahead's bound."""
    if not _is_remote(get):
        # dask takes its callbacks away from other threads where it finds them itself.
        options.setdefault("callbacks", _active_callbacks())
    return get(graph, keys, optimize_graph=False, chunksize=1, **options)


_runs_with: Counter[Any] = Counter()
_counting = threading.RLock()


def _active_callbacks() -> list[tuple[Any, ...]]:
    """Return dask's callbacks, to which runs that overlap are to be as one.

    When a run ends, dask's profilers forget the tasks that are under way, and with them
    those of a run in another thread.
    """
    return list(map(_until_all_end, Callback.active.copy()))


def _until_all_end(callback: tuple[Any, ...]) -> tuple[Any, ...]:
    start, start_state, before_task, after_task, finish = callback

    def start_first(graph: Any) -> None:
        with _counting:
            if start is not None and not _runs_with[callback]:
                start(graph)
            _runs_with[callback] += 1

    def finish_last(graph: Any, state: Any, failed: bool) -> None:
        with _counting:
            _runs_with[callback] -= 1
            if not _runs_with[callback]:
                del _runs_with[callback]
                if finish is not None:
                    finish(graph, state, failed)

    return start_first, start_state, before_task, after_task, finish_last


def literals(values: dict[Key, Any]) -> Graph:
    """Return the graph that yields values under their keys."""
    return {key: DataNode(key, value) for key, value in values.items()}


class PlannedBlock(NamedTuple):
    """The tasks of one block, in a plan."""

    where: str
    new: list[Key]
    outputs: list[Key]


class Plan:
    """Which tasks each block is the first to need, under keys of their own.

    Keys are fresh because a scheduler may know a key of the collections with another
    definition, and because two passes must not share results.

    Parameters
    ----------
    blocks : Blocks
    order : sequence of int
        Positions of the blocks, in the order in which they are used.
    where : list of str
        What to call each block in errors, by its position.

    Attributes
    ----------
    blocks : list of PlannedBlock
        In the order of use.
    """

    def __init__(self, blocks: Blocks, order: Sequence[int], where: list[str]) -> None:
        self._token = uuid4().hex
        self._futures = {
            task.key: task
            for task in blocks.graph.values()
            if isinstance(task, TaskRef)
        }
        self._nodes = as_nodes(blocks.graph)
        self._keys: dict[Key, Key] = {}
        self._first: dict[Key, int] = {}
        self.blocks = []
        wanted = [list(map(self._target, blocks.keys(at))) for at in order]
        uses = Counter(
            chain(
                chain.from_iterable(wanted),
                chain.from_iterable(map(self._needs, self._nodes)),
            )
        )
        for place, (at, keys) in enumerate(zip(order, wanted, strict=True)):
            new = self._walk(keys, place)
            if len(keys) > 1 and all(uses[key] == 1 and key in new for key in keys):
                new, keys = self._join(new, keys)
            outputs = list(map(self._renamed, keys))
            self.blocks.append(PlannedBlock(where[at], new, outputs))
        self._names = set(self._keys.values())

    def tasks(self, block: PlannedBlock, gate: Key | None = None) -> Graph:
        """Return the tasks that a block is the first to need.

        Parameters
        ----------
        block : PlannedBlock
        gate : task key, optional
            What those of them wait for that no other task of the block precedes.

        Returns
        -------
        dict
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
        """Return the keys of earlier blocks' tasks whose results a block needs."""
        return (self._read_by(block, tasks) & self._names) - tasks.keys()

    def futures(self, block: PlannedBlock, tasks: Graph) -> Graph:
        """Return the futures that a block needs, under their own keys."""
        needs = self._read_by(block, tasks) & self._futures.keys()
        return {key: self._futures[key] for key in needs}

    def _read_by(self, block: PlannedBlock, tasks: Graph) -> set[Key]:
        return set(block.outputs).union(*(task.dependencies for task in tasks.values()))

    def with_futures(self, graph: Graph) -> Graph:
        """Add the futures that the tasks refer to, under their own keys."""
        return {**graph, **self._futures}

    def _walk(self, keys: list[Key], place: int) -> list[Key]:
        """Name the tasks that no earlier block needs, dependencies first."""
        new: list[Key] = []
        for key in _dependencies_first(keys, self._needs, self._first):
            if key in self._nodes:
                self._first[key] = place
                self._keys[key] = f"{key_split(key)}-{self._token}", place, len(new)
                new.append(key)
        return new

    def _join(self, new: list[Key], outputs: list[Key]) -> tuple[list[Key], list[Key]]:
        """Make one task of those that yield a block, which costs less to run."""
        joint, first = ("joint", self._token, outputs[0]), outputs[0]
        self._nodes[joint] = Tuple(*map(self._nodes.__getitem__, outputs))
        self._keys[joint] = self._keys[first]
        self._first[joint] = self._first[first]
        return [*(key for key in new if key not in outputs), joint], [joint]

    def _target(self, key: Key) -> Key:
        while isinstance(node := self._nodes.get(key), Alias):
            key = node.target
        return key

    def _needs(self, key: Key) -> list[Key]:
        node = self._nodes.get(key)
        return [] if node is None else list(map(self._target, node.dependencies))

    def _renamed(self, key: Key) -> Key:
        return self._keys.get(key, key)

    def _waits(self, key: Key) -> bool:
        """Tell whether a task waits for another one that the same block brings."""
        return any(
            self._first.get(need) == self._first[key]
            and not isinstance(self._nodes[need], DataNode)
            for need in self._needs(key)
        )


def plan_pass(blocks: Blocks, order: Sequence[int], get: Callable[..., Any]) -> Plan:
    """Plan a pass, with statistics of many blocks settled.

    Raises
    ------
    ValueError
        If rows go through a store on disk and the scheduler may run a task twice,
        which would put its rows there twice.
    """
    if blocks.on_disk and _is_remote(get):
        raise ValueError(
            f"The rows of {' and '.join(blocks.names)} are shuffled on the disk of one "
            "machine, which is not safe on a cluster: after the loss of a worker rows "
            "would be missing there, or be there twice. Pass `shuffle_method='tasks'`, "
            "or make the collection while the client is there, or persist it first."
        )
    return Plan(settle(blocks), order, blocks.describe())


def settle(blocks: Blocks) -> Blocks:
    """Compute statistics of many blocks, and put in what they yield.

    Inside the graph of a pass they would make the first block that needs them wait for
    all of their reads, with the data held until its own blocks are used.
    """
    statistics = [] if blocks.settled else _statistics(blocks)
    graph = _settle(blocks.graph, statistics) if statistics else blocks.graph
    return replace(blocks, graph=graph, settled=True)


def has_statistics(blocks: Blocks) -> bool:
    """Tell whether `settle` has to compute anything."""
    return not blocks.settled and bool(_statistics(blocks))


def _settle(graph: Graph, keys: list[Key]) -> Graph:
    """Compute tasks in one parallel reduction and put in what they yield."""
    source = Blocks(graph, [Source(("statistic",), keys)], None)
    where = ["a statistic of several blocks"] * len(keys)
    plan = Plan(source, range(len(keys)), where)
    tasks = plan.with_futures(merge(*map(plan.tasks, plan.blocks)))
    outputs = [block.outputs[0] for block in plan.blocks]
    lazy = [Delayed(output, tasks) for output in outputs]
    settled = dask.persist(*lazy, optimize_graph=False)
    results = [dict(done.dask)[done.key] for done in settled]
    return {**graph, **{k: _literal(k, r) for k, r in zip(keys, results, strict=True)}}


def _literal(key: Key, value: Any) -> Any:
    return value if isinstance(value, TaskRef | GraphNode) else DataNode(key, value)


def _statistics(blocks: Blocks) -> list[Key]:
    """Find the tasks that reduce what several blocks read, for several blocks.

    Those are settled that a block needs through no other one, and whose reads a block
    uses in another way too: these reads would be held.
    """
    nodes = as_nodes(blocks.graph)

    def needs(key: Key) -> list[Key]:
        found = nodes[key].dependencies if key in nodes else ()
        return [key for key in found if not isinstance(nodes.get(key), DataNode)]

    uses = Counter(chain.from_iterable(map(needs, nodes)))
    if not uses or max(uses.values()) < 2:
        return []
    outputs = {key for at in range(len(blocks)) for key in blocks.keys(at)}
    ordered = _dependencies_first(outputs, needs, ())
    reads = _some_reads(ordered, needs)
    users = _some_users(blocks, ordered, needs)
    reducing = {k for k in ordered if len(reads[k]) > 2 and len(users[k]) > 1}
    reducing -= _uses_of_stores(ordered, needs)
    direct = _dependencies_first(outputs - reducing, needs, reducing)
    used_directly = {key for key in direct if len(needs(key)) == 0}
    nearest = {need for key in direct for need in needs(key)} | outputs
    return [
        key
        for key in ordered
        if key in reducing and key in nearest and reads[key] & used_directly
    ]


def _uses_of_stores(ordered: list[Key], needs: Callable[[Key], list[Key]]) -> set[Key]:
    """Find the tasks that write to a store on disk, wait for that, or read from it.

    What they yield is not all that they do: none may be computed apart from the others.
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


def _some_reads(
    ordered: list[Key], needs: Callable[[Key], list[Key]]
) -> dict[Key, set[Key]]:
    """Find reads that each task depends on, three at most."""
    found: dict[Key, set[Key]] = {}
    for key in ordered:
        found[key] = set(islice(chain.from_iterable(found[n] for n in needs(key)), 9))
        found[key] = set(islice(found[key], 3)) or {key}
    return found


def _some_users(
    blocks: Blocks, ordered: list[Key], needs: Callable[[Key], list[Key]]
) -> dict[Key, set[int]]:
    """Find blocks that depend on each task, two at most."""
    found: defaultdict[Key, set[int]] = defaultdict(set)
    for at in range(len(blocks)):
        for key in blocks.keys(at):
            found[key].add(at)
    for key in reversed(ordered):
        for need in needs(key):
            if len(found[need]) < 2:
                found[need].update(islice(found[key], 2))
    return found


def _dependencies_first(
    keys: Iterable[Key],
    needs: Callable[[Key], Iterable[Key]],
    known: Container[Key],
) -> list[Key]:
    """Order what `keys` need and is not known, each after all that it needs."""
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


class _Read:
    """Run a task under another key, and say which block it was for if it fails."""

    __slots__ = ("needs", "node", "where")

    def __init__(self, node: GraphNode, needs: tuple[Key, ...], where: str) -> None:
        self.node = node
        self.needs = needs
        self.where = where

    def __call__(self, *values: Any) -> Any:
        # With a gate there is one value more than needs.
        with noted(f"while computing {self.where}"):
            return self.node(dict(zip(self.needs, values, strict=False)))


def _use(where: str, step: Step, state: Any, *pieces: Any) -> Any:
    return _apply(where, partial(step, state), *pieces)


def _apply(where: str, function: Step, *pieces: Any) -> Any:
    with noted(f"in {where}"):
        return function(*flatten_pieces(pieces))


def flatten_pieces(pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield the pieces of a block, which tasks return one by one or as tuples."""
    for piece in pieces:
        if type(piece) is tuple:
            yield from flatten_pieces(piece)
        else:
            yield piece


def _nothing(state: object) -> None:
    return None
