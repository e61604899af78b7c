"""The memory of running processes, sampled in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil


class MemorySamples:
    """Sample the resident memory of this process, or also of its children.

    The memory that several processes share counts once for each of them.

    Parameters
    ----------
    children : bool
        Whether processes started by this one count.
    interval : float
        Seconds between samples.
    clock : callable
        Dates the samples.

    Attributes
    ----------
    samples : list of (float, int)
        Times and bytes.
    """

    def __init__(
        self,
        *,
        children: bool,
        interval: float = 0.05,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._children = children
        self._interval = interval
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[tuple[float, int]] = []

    def __enter__(self) -> MemorySamples:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    @property
    def baseline(self) -> int:
        """Bytes at the start."""
        return self.samples[0][1]

    @property
    def peak(self) -> int:
        """The most bytes of all samples."""
        return max(size for _, size in self.samples)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._sample()

    def _sample(self) -> None:
        self.samples.append((self._clock(), resident(children=self._children)))


def resident(*, children: bool) -> int:
    """Return the bytes of memory that this process, or its tree, holds."""
    own = psutil.Process()
    total = 0
    for process in [own, *(own.children(recursive=True) if children else [])]:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total
