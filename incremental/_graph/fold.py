"""`fold`: runs a pass as one dask graph, whose dependencies bound the look-ahead."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import uuid4

from dask.delayed import Delayed
from toolz import merge, partition_all

from incremental._blocks.block import Block
from incremental._errors import noted
from incremental._graph.block_tasks import (
    Plan,
    PlannedBlock,
    flatten_pieces,
    plan_blocks,
)
from incremental._graph.blocks import Blocks
from incremental._graph.recut import recut
from incremental._graph.schedulers import Scheduler
from incremental._graph.shared_reductions import settle
from incremental._graph.small_blocks import (
    Reads,
    ReadTogether,
    separate,
    take_together,
)
from incremental._graph.task_spec import DataNode, Graph, Key, Task, TaskRef
from incremental._typing import Piece, State

# ``watch(place, load)``, see `fold`.
Watch = Callable[[int, Callable[[], list[Any]]], bool | None]

Result = TypeVar("Result")


class Preparation(NamedTuple):
    """A function of each block that runs in a task of its own before the steps.

    Attributes
    ----------
    function : callable
        ``function(block)``. It can be pickled. The chains get what it returns.
    name : str
        What diagnostics call it.
    """

    function: Callable[[Block], Any]
    name: str


class Chain(NamedTuple, Generic[State]):
    """A learner that takes the blocks of a pass one after the other.

    Attributes
    ----------
    start : object
        The state before the first block.
    step : callable
        ``step(state, block)``, which returns the next state. It can be pickled. If
        there is a preparation, the step gets what that returns for the block.
    uses : container of int, optional
        The positions of the blocks that the chain takes. By default all.
    name : str, default="partial_fit"
        What diagnostics call the steps of the chain.
    prepare : Preparation, optional
        What runs on each block before the chain takes it. Chains that have the same
        object share its tasks.
    """

    start: State
    step: Callable[[State, Any], State]
    uses: Container[int] | None = None
    name: str = "partial_fit"
    prepare: Preparation | None = None

    def takes(self, position: int) -> bool:
        """Tell whether the chain takes the block at a position."""
        return self.uses is None or position in self.uses


def fold(
    blocks: Blocks,
    chains: Sequence[Chain[State]],
    *,
    order: Sequence[int],
    prefetch: int,
    together: int = 1,
    watch: Callable[[int, Callable[[], list[State]]], bool | None] | None = None,
) -> list[State]:
    """Let each chain take the blocks in order. The chains run beside each other.

    Each block is read once for all chains. It is dropped when all of them have taken
    it.

    Parameters
    ----------
    blocks : Blocks
        What `settle` returned.
    chains : sequence of Chain
    order : sequence of int
        For each place, the position of its block.
    prefetch : int
        How many blocks may be read ahead of the one that the slowest chain takes.
    together : int, default=1
        How many blocks a chain takes in one task, which is faster where blocks are
        small. At most half of ``prefetch + 1``; 1 if there is a `watch`.
    watch : callable, optional
        ``watch(place, load)`` is called when all chains have taken the block at a
        place, in the order of the places. ``load()`` returns the states of the chains
        after that block. They must not be changed. If `watch` returns True, the pass
        stops.

    Returns
    -------
    list
        The last state of each chain.
    """
    scheduler = blocks.scheduler
    watched = watch is not None
    size = 1 if watched else max(min(together, (prefetch + 1) // 2), 1)
    pass_ = _Pass(blocks, chains, order, prefetch, size, watched=watched)
    if scheduler.is_remote:
        return _run_remotely(scheduler, pass_, watch)
    return _run_locally(scheduler, pass_, watch)


class _Pass:
    """The graph of one pass.

    Parameters
    ----------
    blocks, chains, order, prefetch
        As for `fold`.
    together : int
        How many blocks a chain takes in one task.
    watched : bool
        Whether `taken` is needed.

    Attributes
    ----------
    graph : dict of task key to task
    wanted : list of task keys
        The tasks that yield the last states.
    taken : list of task keys
        For each place, the task that ends when all chains have taken its block. It
        yields their states. Empty if it is not needed.
    """

    def __init__(
        self,
        blocks: Blocks,
        chains: Sequence[Chain[Any]],
        order: Sequence[int],
        prefetch: int,
        together: int,
        *,
        watched: bool,
    ) -> None:
        self.graph: Graph = {}
        self._chains = chains
        self._waits = not blocks.scheduler.shares_memory or len(chains) > 1
        self._assemble = blocks.assembly
        self._token = uuid4().hex
        self._shared = self._assembled()
        self._prepared = self._preparations()
        self._steps = [
            _Calls(self.graph, chain.name, self._step(chain)) for chain in chains
        ]
        # For each place, the tasks that yield the states before its block. The last
        # entry has the tasks of the last states.
        self._states = [[self._start(chain) for chain in chains]]
        self._joins = watched and len(chains) > 1
        self.taken: list[Key] = []
        plan = plan_blocks(blocks, order)
        placed = list(zip(order, plan.blocks, strict=True))
        groups = list(partition_all(together, placed))
        reads = self._reads_of(plan, groups) if together > 1 else None
        if reads is None:
            for place, (at, block) in enumerate(placed):
                gate = self._gate(place - prefetch) if place > prefetch else None
                self.graph.update(plan.tasks(block, gate))
                self._take(place, at, block)
        else:
            for number, (group, read) in enumerate(zip(groups, reads, strict=True)):
                last = number * together + len(group) - 1
                gate = self._gate(last - prefetch) if last > prefetch else None
                self._take_group(number * together, group, read, gate)
        self.graph = plan.with_futures(self.graph)
        self.wanted = self.taken[-1:] if self._joins else self._states[-1]
        if watched and not self._joins:
            self.taken = [states[0] for states in self._states[1:]]

    def states(self, result: Any) -> list[Any]:
        """Return the states of all chains from the result of a task of `taken`."""
        return list(result) if self._joins else [result]

    def last_states(self, results: Sequence[Any]) -> list[Any]:
        """Return the last states from the results of all tasks of `wanted`."""
        return self.states(results[0]) if self._joins else list(results)

    def _take(self, place: int, at: int, block: PlannedBlock) -> None:
        """Add the tasks in which the chains take a block.

        Parameters
        ----------
        place : int
            The place of the block.
        at : int
            Its position.
        block : PlannedBlock
            The tasks that read it, which are in the graph already.
        """
        inputs = self._inputs(place, at, block)
        # A step may change its state in place. So it waits until `watch` has seen it.
        after = self.taken[-1:] if self._joins else []
        before = self._states[-1]
        states = [
            step.add(place, block.where, [state, *inputs[id(chain.prepare)]], after)
            if chain.takes(at)
            else state
            for chain, step, state in zip(
                self._chains, self._steps, before, strict=True
            )
        ]
        self._states.append(states)
        if self._joins:
            key = f"states-{self._token}", place
            self.graph[key] = Task(key, _as_list, *map(TaskRef, states))
            self.taken.append(key)

    def _reads_of(
        self, plan: Plan, groups: Sequence[Sequence[tuple[int, PlannedBlock]]]
    ) -> list[Reads] | None:
        """Return the tasks that read each group, if one task can run them.

        That task prepares the blocks too. So the result is None if the chains have
        different preparations. It is also None if a group needs what another one reads.
        """
        if len({id(chain.prepare) for chain in self._chains}) > 1:
            return None
        return separate(
            [merge(*(plan.tasks(block) for _, block in group)) for group in groups]
        )

    def _take_group(
        self,
        first: int,
        group: Sequence[tuple[int, PlannedBlock]],
        reads: Reads,
        gate: Key | None,
    ) -> None:
        """Add one task that reads some blocks, and one in which each chain takes them.

        Parameters
        ----------
        first : int
            The place of the first of the blocks.
        group : sequence of (int, PlannedBlock)
            The position of each block, and the tasks that read it.
        reads : Reads
            These tasks.
        gate : task key or None
            The task that the read waits for.
        """
        where = [block.where for _, block in group]
        outputs = [block.outputs for _, block in group]
        key = f"read-{self._token}", first
        prepare = self._prepares and TaskRef(self._prepares.function)
        needs = map(TaskRef, reads.needs)
        waits = None if gate is None else TaskRef(gate)
        read = ReadTogether(reads, outputs, where)
        self.graph.update(reads.shared)
        self.graph[key] = Task(key, read, prepare, waits, *needs)
        numbered = list(enumerate(group))
        states = []
        for chain, step, state in zip(
            self._chains, self._steps, self._states[-1], strict=True
        ):
            chosen = [(n, one.where) for n, (at, one) in numbered if chain.takes(at)]
            states.append(
                step.add_group(first, chosen, state, key) if chosen else state
            )
        # No gate is on a state between the blocks of a group.
        self._states += [states] * len(group)

    def _inputs(
        self, place: int, position: int, block: PlannedBlock
    ) -> dict[int, list[Key]]:
        """Return the tasks whose results steps take for a block, by preparation."""
        read = block.outputs
        if self._shared is not None:
            read = [self._shared.add(place, block.where, read)]
        wanted = {id(one.prepare) for one in self._chains if one.takes(position)}
        return {
            which: [self._prepared[which].add(place, block.where, read)]
            if which in self._prepared
            else read
            for which in wanted
        }

    @property
    def _prepares(self) -> _Calls | None:
        """What prepares blocks for all chains, if their preparation is the same."""
        return self._shared or self._prepared.get(id(self._chains[0].prepare))

    def _assembled(self) -> _Calls | None:
        """Return the calls that make blocks in tasks that all chains share.

        None if no such task is needed: no piece goes through stages, or all chains
        share one preparation. The preparations then make the blocks; where a chain has
        none, its steps do.
        """
        first = self._chains[0].prepare
        alike = first is not None and all(c.prepare is first for c in self._chains)
        if alike or not self._assemble.has_stages:
            return None
        return _Calls(self.graph, "transform", _OnPieces(_same, self._assemble))

    def _preparations(self) -> dict[int, _Calls]:
        """Return the calls of each preparation, by the identity of the preparation."""
        found = {id(one.prepare): one.prepare for one in self._chains}
        return {
            which: _Calls(
                self.graph,
                prepare.name,
                _OnPieces(prepare.function, self._assemble)
                if self._shared is None
                else prepare.function,
            )
            for which, prepare in found.items()
            if prepare is not None
        }

    def _step(self, chain: Chain[Any]) -> Callable[..., Any]:
        if chain.prepare is not None or self._shared is not None:
            return chain.step
        return _StepOnPieces(chain.step, self._assemble)

    def _start(self, chain: Chain[Any]) -> Key:
        """Add a task that yields the first state of a chain."""
        key = f"state-{uuid4().hex}"
        self.graph[key] = DataNode(key, chain.start)
        return key

    def _gate(self, place: int) -> Key:
        """Return a task that ends when all chains have taken all blocks before a place.

        Where the task of a state can serve as the gate, that one is returned.
        Otherwise a new task is added.
        """
        states = self._states[place]
        if not self._waits:
            return states[0]
        # This task yields nothing, so that no state travels to where a block is read.
        gate = f"look-ahead-{self._token}", place
        self.graph[gate] = Task(gate, _nothing, *map(TaskRef, states))
        return gate


@dataclass(frozen=True)
class _OnPieces:
    """A function of the results of reads, which calls another one with the block.

    Parameters
    ----------
    function : callable
        ``function(block)``
    assemble : Assembly
        What makes the block.
    """

    function: Callable[[Block], Any]
    assemble: Callable[..., Block]

    def __call__(self, *pieces: Any) -> Any:
        return self.function(self.assemble(*flatten_pieces(pieces)))


@dataclass(frozen=True)
class _StepOnPieces:
    """A function of a state and the results of reads, which calls a chain's step.

    Parameters
    ----------
    step : callable
        ``step(state, block)``
    assemble : Assembly
        What makes the block.
    """

    step: Callable[[Any, Block], Any]
    assemble: Callable[..., Block]

    def __call__(self, state: Any, *pieces: Any) -> Any:
        return self.step(state, self.assemble(*flatten_pieces(pieces)))


class _Calls:
    """A function in a graph, and the tasks that call it, one for each block.

    Parameters
    ----------
    graph : dict of task key to task
        The graph. The function is added to it once, as a task of its own.
    name : str
        What diagnostics call the tasks.
    function : callable
        The function. It takes the results of the `inputs` of a call.
    """

    def __init__(self, graph: Graph, name: str, function: Callable[..., Any]) -> None:
        self._graph = graph
        self._name = f"{name}-{uuid4().hex}"
        # Distributed estimates by name how long tasks take. So the name of the calls
        # is not used here.
        self.function = f"function-{self._name}"
        graph[self.function] = DataNode(self.function, function)

    def add(
        self, place: int, where: str, inputs: list[Key], after: Sequence[Key] = ()
    ) -> Key:
        """Add the call for a block to the graph.

        Parameters
        ----------
        place : int
            The place of the block.
        where : str
            What error messages call the block.
        inputs : list of task keys
            The tasks whose results the function takes.
        after : sequence of task keys
            More tasks that the call waits for.

        Returns
        -------
        task key
            The key of the call.
        """
        key = self._name, place
        refs = map(TaskRef, [self.function, *inputs])
        waits = map(TaskRef, after)
        self._graph[key] = Task(key, _apply, where, len(inputs), *refs, *waits)
        return key

    def add_group(
        self, place: int, chosen: Sequence[tuple[int, str]], state: Key, read: Key
    ) -> Key:
        """Add one call for some blocks that were read together.

        Parameters
        ----------
        place : int
            The place of the first of the blocks.
        chosen : sequence of (int, str)
            As for `take_together`.
        state : task key
            The state before the blocks.
        read : task key
            The task that reads them.

        Returns
        -------
        task key
            The key of the call.
        """
        key = self._name, place
        refs = map(TaskRef, [self.function, state, read])
        self._graph[key] = Task(key, take_together, chosen, *refs)
        return key


def _apply(where: str, n_inputs: int, function: Any, *values: Any) -> Any:
    """Call a function for a block, as the task that `_Calls.add` makes.

    Parameters
    ----------
    where : str
        What error messages call the block.
    n_inputs : int
        How many of the values the function takes.
    function : callable
    *values
        The values that it takes, then those that it only waited for.
    """
    with noted(f"in {where}"):
        return function(*values[:n_inputs])


def _same(block: Block) -> Block:
    return block


def _as_list(*states: Any) -> list[Any]:
    return list(states)


def _nothing(*states: object) -> None:
    return None


def _run_locally(scheduler: Scheduler, pass_: _Pass, watch: Watch | None) -> list[Any]:
    """Run a pass on this machine, and return the last states."""
    own = (None, None, None, _LocalRun(pass_, watch).after_task, None)
    callbacks = [*scheduler.callbacks, own]
    try:
        results = scheduler.run(pass_.graph, pass_.wanted, callbacks=callbacks)
        return pass_.last_states(results)
    except _Stopped as stopped:
        return stopped.states


class _Stopped(Exception):  # noqa: N818
    """The signal that ends a local run when `watch` returns True, with the states."""

    def __init__(self, states: list[Any]) -> None:
        super().__init__("The fit was stopped.")
        self.states = states


class _LocalRun:
    """A callback for one local run, which orders its tasks and calls `watch`.

    dask's local schedulers begin with the task that became ready last. So an early
    block might be read after later ones, and the fit would wait for it. Distributed
    needs no such help: it has priorities.
    """

    def __init__(self, pass_: _Pass, watch: Watch | None) -> None:
        self._places = {key: place for place, key in enumerate(pass_.taken)}
        self._pass = pass_
        self._watch = watch

    def after_task(
        self, key: Key, result: Any, graph: Any, state: Any, worker: Any
    ) -> None:
        """Take part in a run as dask's ``posttask`` callback."""
        # dask takes the next task from the end of the list.
        state["ready"].sort(key=_place, reverse=True)
        place = self._places.get(key)
        if place is None or self._watch is None:
            return
        states = self._pass.states(result)
        if self._watch(place, lambda: states):
            raise _Stopped(states)


def _run_remotely(scheduler: Scheduler, pass_: _Pass, watch: Watch | None) -> list[Any]:
    """Run a pass on a cluster, and return the last states."""
    with _advised():
        if watch is None:
            return pass_.last_states(scheduler.run(pass_.graph, pass_.wanted))
        from distributed import wait

        futures = scheduler.run(pass_.graph, pass_.taken, sync=False)
        try:
            for place, future in enumerate(futures):
                wait([future])
                if future.status != "finished":
                    future.result()
                if watch(place, _Loaded(pass_, future)):
                    return _Loaded(pass_, future)()
                if place:
                    futures[place - 1].release()
            return _Loaded(pass_, futures[-1])()
        finally:
            for future in futures:
                future.release()


@dataclass(frozen=True)
class _Loaded:
    """A function that fetches the states of all chains from a cluster.

    Parameters
    ----------
    pass_ : _Pass
    future : distributed.Future
        The result of a task of `pass_.taken`.
    """

    pass_: _Pass
    future: Any

    def __call__(self) -> list[Any]:
        return self.pass_.states(self.future.result())


@contextmanager
def _advised() -> Iterator[None]:
    """Add advice to an error of the cluster, which is not one of a task."""
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
    """Return the place of the block that a task is for; 0 if it is for none."""
    return int(key[1]) if isinstance(key, tuple) else 0


def map_blocks(
    blocks: Blocks,
    function: Callable[[Block], Result],
    *,
    name: str,
    order: Sequence[int] | None = None,
) -> list[Result]:
    """Call a function on blocks in parallel.

    Parameters
    ----------
    blocks : Blocks
    function : callable
        ``function(block)``. It can be pickled.
    name : str
        What diagnostics call the tasks.
    order : sequence of int, optional
        The positions of the blocks. By default all, in the order of the data.

    Returns
    -------
    list
        The results in the same order. All are in memory at once, so that they should
        be small.
    """
    positions = range(len(blocks)) if order is None else order
    return map_each_block(blocks, dict.fromkeys(positions, function), name=name)


def map_each_block(
    blocks: Blocks, functions: Mapping[int, Callable[[Block], Result]], *, name: str
) -> list[Result]:
    """Call on each block a function of its own, in parallel.

    Parameters
    ----------
    blocks : Blocks
    functions : dict of int to callable
        For each position, ``function(block)``. They can be pickled.
    name : str
        What diagnostics call the tasks.

    Returns
    -------
    list
        As from `map_blocks`, in the order of `functions`.
    """
    blocks = settle(blocks)
    graph, keys = mapped(blocks, functions, name=name)
    return list(blocks.scheduler.run(graph, keys))


def reduce_blocks(
    blocks: Blocks,
    function: Callable[[Block], Result],
    finish: Callable[[list[Result]], Any],
    *,
    name: str,
) -> Any:
    """Return a lazy value that is made of what a function returns for all blocks.

    Nothing is read before it is computed, unless the collections are cut at
    different rows: then these are counted.

    Parameters
    ----------
    blocks : Blocks
    function : callable
        ``function(block)``. It must pickle, and its results should be small.
    finish : callable
        ``finish(results)`` returns the value. It must pickle.
    name : str
        What dask's diagnostics call the tasks.

    Returns
    -------
    Delayed

    Raises
    ------
    ValueError
        If rows go through a store on disk. Whether that is safe depends on the
        scheduler, which is known only when the value is computed.
    """
    blocks = for_later(blocks)
    functions = dict.fromkeys(range(len(blocks)), function)
    graph, keys = mapped(blocks, functions, name=name)
    key = f"{name}-{uuid4().hex}"
    graph[key] = Task(key, _finish, finish, *map(TaskRef, keys))
    return Delayed(key, graph)


def for_later(blocks: Blocks) -> Blocks:
    """Return blocks whose tasks any scheduler may run later.

    Nothing is read, unless the collections are cut at different rows: then these are
    counted.

    Raises
    ------
    ValueError
        If rows go through a store on disk.
    """
    if blocks.on_disk:
        raise ValueError(
            f"The rows of {' and '.join(blocks.names)} are shuffled on the disk of one "
            "machine, which is not safe on every scheduler that may compute the "
            "result later. Pass `shuffle_method='tasks'`, or persist them first; a "
            "score can be computed at once (compute=True)."
        )
    return recut(blocks) if blocks.recut else blocks


def mapped(
    blocks: Blocks, functions: Mapping[int, Callable[[Block], Any]], *, name: str
) -> tuple[Graph, list[Key]]:
    """Return a graph that calls functions on blocks, and the keys of the calls.

    Parameters
    ----------
    blocks : Blocks
        They are cut alike.
    functions, name
        As for `map_each_block`.
    """
    plan = plan_blocks(blocks, list(functions))
    graph: Graph = {}
    # The graph holds a function once, also if it is called on many blocks.
    calls = {
        id(one): _Calls(graph, name, _OnPieces(one, blocks.assembly))
        for one in functions.values()
    }
    keys = []
    for place, (one, block) in enumerate(
        zip(functions.values(), plan.blocks, strict=True)
    ):
        graph.update(plan.tasks(block))
        keys.append(calls[id(one)].add(place, block.where, block.outputs))
    return plan.with_futures(graph), keys


def _finish(finish: Callable[[list[Any]], Any], *results: Any) -> Any:
    return finish(list(results))


def pick(
    graph: Graph, keys: Sequence[Key], function: Callable[[Any], Piece]
) -> tuple[Graph, str]:
    """Return a graph with more tasks, which take something of what others yield.

    Parameters
    ----------
    graph : dict of task key to task
        What `mapped` returned.
    keys : sequence of task keys
        Those of its tasks whose results the function is called with.
    function : callable
        It can be pickled.

    Returns
    -------
    graph : dict of task key to task
        The tasks are ``(name, 0)``, ``(name, 1)``, ..., in the order of `keys`.
    name : str
    """
    name = f"pick-{uuid4().hex}"
    added = {
        (name, place): Task((name, place), function, TaskRef(key))
        for place, key in enumerate(keys)
    }
    return {**graph, **added}, name
