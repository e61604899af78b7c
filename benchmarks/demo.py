"""Scale and classify Parquet data block by block, predict in parallel, and show it.

Measures the rows per second of the fit and of the prediction, the peak memory beside
the size of the data, and the accuracy on rows that were held out; saves a profile of
the tasks as HTML and as PNG. To run it from the repository's root::

    python -m benchmarks.demo

``ROWS`` is the number of rows (2_000_000), ``SCHEDULER`` is ``threads`` or
``distributed`` (two worker processes of one thread), ``DEMO_DIR`` is where all files go
(``demo``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.chart import MB, Bar, Kind, Span, draw
from benchmarks.data import FEATURES, write_data
from benchmarks.memory import MemorySamples
from incremental import Incremental

READ = Kind("read Parquet", "#7f9fc4")
SCALE = Kind("scale (transform)", "#8cc08a")
FIT_SCALER = Kind("StandardScaler.partial_fit", "#f0b43c", serial=True)
FIT_CLASSIFIER = Kind("SGDClassifier.partial_fit", "#cc4b37", serial=True)
PREDICT = Kind("predict", "#9467bd")
WRITE = Kind("write Parquet", "#8c6d5a")
OTHER = Kind("other", "#c8c8c8", minor=True)

# The first that is part of a task's name says its kind.
KINDS = {
    "toparquet": WRITE,
    "predict": PREDICT,
    "from-dask-array": PREDICT,
    "transform": SCALE,
    "apply": SCALE,
    "read_parquet": READ,
}


@dataclass
class Job:
    """What was measured.

    Attributes
    ----------
    bars : list of Bar
        The tasks.
    spans : list of Span
        The parts of the job.
    """

    rows: int
    data_bytes: int = 0
    predicted_rows: int = 0
    accuracy: float = float("nan")
    memory: MemorySamples | None = None
    bars: list[Bar] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def seconds(self, label: str) -> float:
        """Return how long a part of the job took."""
        return next(s.stop - s.start for s in self.spans if s.label == label)


def make_pipe() -> Pipeline:
    """Return the scaler and the classifier, not fitted."""
    classifier = SGDClassifier(max_iter=1000, tol=1e-3, random_state=2)
    return make_pipeline(
        Incremental(StandardScaler()),
        Incremental(classifier, classes=[0, 1], random_state=0),
    )


def read(folder: Path) -> tuple[Any, Any]:
    """Read features and target as a pair of dask arrays."""
    frame = dd.read_parquet(folder)
    # dask would cut the target, a small selection of columns, into fewer blocks.
    with dask.config.set({"optimization.tune.active": False}):
        return frame[FEATURES].to_dask_array(), frame["y"].to_dask_array()


def run(folder: Path, rows: int, scheduler: str = "threads") -> Job:
    """Write the data, do the job, save the profiles and return what was measured."""
    fitted, held_out = write_data(folder, rows)
    job = Job(rows, data_bytes=rows * (len(FEATURES) + 1) * 8)
    profile, clock = PROFILES[scheduler]
    with ExitStack() as stack:
        if scheduler == "distributed":
            stack.enter_context(_open_cluster())
        pipe = make_pipe()
        job.memory = MemorySamples(children=scheduler == "distributed", clock=clock)
        with profile(job, _html(folder, scheduler)), job.memory:
            X, y = read(fitted)
            with _timed(job, "fit", clock):
                pipe.fit(X, y)
            with _timed(job, "predict", clock):
                predictions = pipe.predict(X).to_dask_dataframe(columns=["a"])
                predictions.to_parquet(folder / "predictions", overwrite=True)
        job.predicted_rows = len(dd.read_parquet(folder / "predictions"))
        job.accuracy = pipe.score(*read(held_out))
    draw(
        _png(folder, scheduler),
        job.bars,
        title=f"{rows:,} rows, scheduler: {scheduler}",
        spans=job.spans,
        memory=job.memory.samples,
        data_bytes=job.data_bytes,
    )
    return job


def report(job: Job, folder: Path, scheduler: str) -> None:
    """Print what was measured and where the files are."""
    counted = "of this process"
    if scheduler == "distributed":
        counted = "of this process (client and scheduler) and the workers together"
    lines = {
        "data": f"{job.rows:,} rows, {job.data_bytes / MB:,.0f} MB in memory",
        "fit": _speed(job, "fit"),
        "predict": f"{_speed(job, 'predict')}, from Parquet to Parquet",
        "predictions": f"{job.predicted_rows:,} rows read back",
        "accuracy": f"{job.accuracy:.4f} on {max(job.rows // 10, 1):,} held-out rows",
        "peak memory": f"{job.memory.peak / MB:,.0f} MB resident, {counted}; "
        f"{job.memory.baseline / MB:,.0f} MB before the fit",
    }
    print()
    for name, value in lines.items():
        print(f"{name:<12} {value}")
    print("\nFiles:")
    files = [_png(folder, scheduler), _html(folder, scheduler)]
    for file in [*files, folder / "data", folder / "held-out", folder / "predictions"]:
        print(f"  {file}")


def _speed(job: Job, label: str) -> str:
    seconds = job.seconds(label)
    return f"{seconds:.1f} s, {job.rows / seconds:,.0f} rows/s"


def _png(folder: Path, scheduler: str) -> Path:
    return folder / f"profile-{scheduler}.png"


def _html(folder: Path, scheduler: str) -> Path:
    return folder / f"profile-{scheduler}.html"


@contextmanager
def _timed(job: Job, label: str, clock: Callable[[], float]) -> Iterator[None]:
    start = clock()
    yield
    job.spans.append(Span(label, start, clock()))


@contextmanager
def _open_cluster() -> Iterator[None]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as own,
        Client(own),
    ):
        yield


@contextmanager
def _profile_threads(job: Job, html: Path) -> Iterator[None]:
    from dask.diagnostics import Profiler, ProgressBar, ResourceProfiler, visualize

    with ResourceProfiler(dt=0.1) as resources:
        # It starts a process, which would share the processor with the fit.
        time.sleep(2)
        with Profiler() as tasks, ProgressBar():
            yield
    visualize([tasks, resources], filename=str(html), show=False, mode="inline")
    job.bars += _bars(
        (_name(task.key), task.worker_id, task.start_time, task.end_time)
        for task in tasks.results
    )


@contextmanager
def _profile_distributed(job: Job, html: Path) -> Iterator[None]:
    from distributed import get_task_stream, performance_report

    with performance_report(html, mode="inline"), get_task_stream() as tasks:
        yield
    job.bars += _bars(
        (_name(task["key"]), task["worker"], part["start"], part["stop"])
        for task in tasks.data
        for part in task["startstops"]
        if part["action"] == "compute"
    )


PROFILES = {
    "threads": (_profile_threads, time.perf_counter),
    "distributed": (_profile_distributed, time.time),
}


def _name(key: Any) -> str:
    return key[0] if isinstance(key, tuple) else key


def _bars(tasks: Iterator[tuple[str, Any, float, float]]) -> list[Bar]:
    """Give every task its kind, by its name and the order of the passes."""
    passes: dict[str, Kind] = {}
    serial = iter((FIT_SCALER, FIT_CLASSIFIER))
    bars = []
    for name, worker, start, stop in sorted(tasks, key=lambda task: task[2]):
        if name.startswith("partial_fit") and name not in passes:
            passes[name] = next(serial, OTHER)
        kind = passes.get(name) or _kind(name)
        bars.append(Bar(worker, kind, start, stop))
    return bars


def _kind(name: str) -> Kind:
    return next((kind for part, kind in KINDS.items() if part in name), OTHER)


def main() -> None:
    folder = Path(os.environ.get("DEMO_DIR", "demo"))
    scheduler = os.environ.get("SCHEDULER", "threads")
    if scheduler not in PROFILES:
        raise SystemExit(f"SCHEDULER must be one of {', '.join(PROFILES)}.")
    job = run(folder, int(os.environ.get("ROWS", 2_000_000)), scheduler)
    report(job, folder, scheduler)


if __name__ == "__main__":
    main()
