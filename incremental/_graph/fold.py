"""A pass over blocks as one dask graph, with a look-ahead bounded by its edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from incremental._errors import noted
from incremental._graph.blocks import Blocks
from incremental._graph.plan import flatten_pieces
from incremental._graph.schedulers import Scheduler
from incremental._graph.shared_reductions import plan_pass
from incremental._graph.task_spec import DataNode, Graph, Key, Task, TaskRef

Step = Callable[..., Any]
Watch = Callable[[int, Callable[[], Any]], bool | None]


def fold(
    blocks: Blocks,
    step: Step,
    state: Any,
    *,
    order: Sequence[int],
    prefetch: int,
    scheduler: Scheduler,
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
    scheduler : Scheduler
        Runs the pass.
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
    plan = plan_pass(blocks, order, scheduler)
    graph: Graph = {}
    before = None if prepare is None else _Stage(graph, prepare_name, _apply, prepare)
    steps = _Stage(graph, name, _use, step)
    done: list[Key] = [f"state-{uuid4().hex}"]
    graph[done[0]] = DataNode(done[0], state)
    for place, block in enumerate(plan.blocks):
        gate: Key = done[place - prefetch] if place > prefetch else None
        if gate is not None and not scheduler.shares_memory:
            # A task between them, so that no read makes the state travel.
            fitted, gate = gate, (f"look-ahead-{done[0]}", place)
            graph[gate] = Task(gate, _nothing, TaskRef(fitted))
        graph.update(plan.tasks(block, gate))
        outputs = block.outputs
        if before is not None:
            outputs = [before.add(place, block.where, outputs)]
        done.append(steps.add(place, block.where, [done[place], *outputs]))
    graph = plan.with_futures(graph)
    if scheduler.is_remote:
        return _run_remotely(scheduler, graph, done[1:], watch)
    return _run_locally(scheduler, graph, done[1:], watch)


def _run_locally(
    scheduler: Scheduler, graph: Graph, states: list[Key], watch: Watch | None
) -> Any:
    own = (None, None, None, _LocalRun(states, watch).after_task, None)
    callbacks = [*scheduler.callbacks, own]
    try:
        return scheduler.run(graph, [states[-1]], callbacks=callbacks)[0]
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
    scheduler: Scheduler, graph: Graph, states: list[Key], watch: Watch | None
) -> Any:
    with _advised():
        if watch is None:
            return scheduler.run(graph, [states[-1]])[0]
        from distributed import wait

        futures = scheduler.run(graph, states, sync=False)
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
    scheduler: Scheduler,
    name: str,
    order: Sequence[int] | None = None,
) -> list[Any]:
    """Call ``function(*pieces)`` on blocks in parallel and return the results.

    Only for results that are small: all of them are returned. Of all blocks unless
    their positions are given.
    """
    plan = plan_pass(blocks, range(len(blocks)) if order is None else order, scheduler)
    graph: Graph = {}
    calls = _Stage(graph, name, _apply, function)
    keys = []
    for place, block in enumerate(plan.blocks):
        graph.update(plan.tasks(block))
        keys.append(calls.add(place, block.where, block.outputs))
    return list(scheduler.run(plan.with_futures(graph), keys))


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


def _use(where: str, step: Step, state: Any, *pieces: Any) -> Any:
    return _apply(where, partial(step, state), *pieces)


def _apply(where: str, function: Step, *pieces: Any) -> Any:
    with noted(f"in {where}"):
        return function(*flatten_pieces(pieces))


def _nothing(state: object) -> None:
    return None
