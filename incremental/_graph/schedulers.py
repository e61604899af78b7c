"""`Scheduler`: what is known of dask's active scheduler, and how it runs a graph."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any

import dask
from dask.base import get_scheduler
from dask.callbacks import Callback
from dask.local import get_sync
from dask.multiprocessing import get as get_processes
from dask.multiprocessing import get_context
from dask.system import CPU_COUNT
from dask.threaded import get as get_threaded

from incremental._graph.task_spec import Graph

_Callback = tuple[Any, ...]
# How many runs are under way with each callback.
_runs_with: Counter[_Callback] = Counter()
_counting = threading.RLock()


@dataclass(frozen=True)
class Scheduler:
    """The dask scheduler that runs the graphs of one call of this library.

    Parameters
    ----------
    get : callable
        dask's function that computes the keys of a graph.
    callbacks : sequence of tuple
        The dask callbacks of a local run, unless `run` is given others.
    """

    get: Callable[..., Any]
    callbacks: Sequence[_Callback] = ()

    @property
    def is_remote(self) -> bool:
        """Whether it is a cluster, where results stay and tasks may run twice."""
        return hasattr(getattr(self.get, "__self__", None), "nthreads")

    @property
    def shares_memory(self) -> bool:
        """Whether it runs each task exactly once, in this process."""
        return self.get in (get_threaded, get_sync)

    @property
    def reads_ahead(self) -> bool:
        """Whether it can compute in the background while the caller goes on."""
        return self.get is not get_sync

    @property
    def n_threads(self) -> int:
        """How many tasks it runs at once."""
        if self.is_remote:
            return sum(self.get.__self__.nthreads().values())  # type: ignore[attr-defined]
        if self.get is get_sync:
            return 1
        if isinstance(self.get, partial):  # dask makes one of a given executor
            return int(self.get.args[-1])
        pool = dask.config.get("pool", None)
        workers = getattr(pool, "_max_workers", getattr(pool, "_processes", None))
        return int(workers or dask.config.get("num_workers", None) or CPU_COUNT)

    def look_ahead(self, prefetch: object, per_thread: int = 1) -> int:
        """Return the number of blocks to read ahead.

        Parameters
        ----------
        prefetch : int or "auto"
            What the user asks for. An integer is returned as it is.
        per_thread : int, default=1
            How many blocks ``"auto"`` takes for each thread.

        Raises
        ------
        ValueError
            If `prefetch` is neither ``"auto"`` nor an integer of 0 or more.
        """
        if isinstance(prefetch, str) and prefetch == "auto":
            return max(self.n_threads, 2) * per_thread
        if (
            isinstance(prefetch, bool)
            or not isinstance(prefetch, Integral)
            or prefetch < 0
        ):
            raise ValueError(
                "prefetch must be 'auto' or an integer of 0 or more, got "
                f"{prefetch!r}. It is the number of blocks to read ahead of the one "
                "in use."
            )
        return int(prefetch)

    def open_pool(self) -> Executor | None:
        """Open a pool that runs from several threads share; None if none is needed."""
        if dask.config.get("pool", None) is not None:
            return None
        if self.get is get_threaded:
            return ThreadPoolExecutor(self.n_threads)
        if self.get is get_processes:
            return ProcessPoolExecutor(self.n_threads, mp_context=get_context())
        return None

    def run(self, graph: Graph, keys: list[Any], **options: Any) -> Any:
        """Run a graph unchanged: fusing its tasks would undo the look-ahead bound.

        Parameters
        ----------
        graph : dict of task key to task
        keys : list of task keys, or of such lists
            The tasks whose results are wanted.
        **options
            Options of `get`, such as ``callbacks`` or ``pool`` of a local run, and
            ``sync=False``, which returns the futures of a cluster.

        Returns
        -------
        sequence
            The results, nested like `keys`.
        """
        if not self.is_remote:
            # Passed explicitly. If dask looked them up, it would take them away from
            # runs in other threads.
            options.setdefault("callbacks", self.callbacks)
        return self.get(graph, keys, optimize_graph=False, chunksize=1, **options)


def active_scheduler() -> Scheduler:
    """Return the active scheduler, by default threads, with the active callbacks.

    dask registers callbacks for all threads and does not say which thread did it. The
    scheduler keeps those that are active now. Callbacks that another thread registers
    later are not called.
    """
    # When a run ends, dask's profilers forget all tasks under way, also those of runs
    # in other threads. So overlapping runs are shown to them as one run.
    callbacks = list(map(_until_all_end, Callback.active.copy()))
    return Scheduler(get_scheduler() or get_threaded, callbacks)


def this_thread() -> Scheduler:
    """Return a scheduler that runs one task after the other in this thread."""
    return replace(active_scheduler(), get=get_sync)


def _until_all_end(callback: _Callback) -> _Callback:
    """Return a callback that shows overlapping runs to the given one as one run."""
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
