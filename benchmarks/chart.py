"""A picture of a job: each worker's tasks in time, above the memory it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 1e6


@dataclass(frozen=True)
class Kind:
    """What tasks of a kind are called, and their colour.

    Serial ones run one after the other; minor ones come last in the legend.
    """

    label: str
    colour: str
    serial: bool = False
    minor: bool = False


@dataclass(frozen=True)
class Bar:
    """A task: who ran it, what it was, and when, in seconds."""

    worker: Any
    kind: Kind
    start: float
    stop: float


@dataclass(frozen=True)
class Span:
    """A part of the job, for the labels above the tasks."""

    label: str
    start: float
    stop: float


def draw(
    file: Path,
    bars: Sequence[Bar],
    *,
    title: str,
    spans: Sequence[Span],
    memory: Sequence[tuple[float, int]],
    data_bytes: int,
) -> None:
    """Write the picture as PNG; times count from the first span's start."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    workers = sorted({bar.worker for bar in bars}, key=str)
    figure = Figure(figsize=(12, 3.6 + 0.55 * len(workers)), layout="constrained")
    FigureCanvasAgg(figure)
    tasks, below = figure.subplots(
        2, 1, sharex=True, height_ratios=[len(workers) + 1.6, 2.2]
    )
    origin = spans[0].start
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    _draw_tasks(tasks, bars, workers, origin)
    _draw_spans(tasks, spans, origin)
    _draw_memory(below, memory, data_bytes, origin)
    below.set_xlim(0, spans[-1].stop - origin)
    below.set_xlabel("seconds since the start of the fit")
    _draw_legend(figure, bars)
    figure.savefig(file, dpi=120)


def _draw_tasks(
    axes: Any, bars: Sequence[Bar], workers: list[Any], origin: float
) -> None:
    """Draw a row for each worker, and below one for what runs one after the other."""
    serial_row = len(workers) + 0.3
    for kind in {bar.kind for bar in bars}:
        own = [bar for bar in bars if bar.kind == kind]
        rows = {worker: row for row, worker in enumerate(workers)}
        for row in {rows[bar.worker] for bar in own}:
            _draw_row(
                axes, [b for b in own if rows[b.worker] == row], row, kind, origin
            )
        if kind.serial:
            _draw_row(axes, own, serial_row, kind, origin)
    axes.axhline(len(workers) - 0.35, color="0.8", linewidth=0.8)
    names = [f"worker {number}" for number in range(1, len(workers) + 1)]
    axes.set_yticks([*range(len(workers)), serial_row], [*names, "serial\npartial_fit"])
    axes.set_ylim(serial_row + 0.6, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("tasks")


def _draw_row(
    axes: Any, bars: Sequence[Bar], row: float, kind: Kind, origin: float
) -> None:
    axes.broken_barh(
        [(bar.start - origin, bar.stop - bar.start) for bar in bars],
        (row - 0.4, 0.8),
        facecolor=kind.colour,
        edgecolor="white",
        linewidth=0.4,
    )


def _draw_spans(axes: Any, spans: Sequence[Span], origin: float) -> None:
    for span in spans:
        start, stop = span.start - origin, span.stop - origin
        axes.axvline(stop, color="0.4", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{span.label}\n{stop - start:.1f} s",
            ((start + stop) / 2, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
        )


def _draw_memory(
    axes: Any, memory: Sequence[tuple[float, int]], data_bytes: int, origin: float
) -> None:
    times = [time - origin for time, _ in memory]
    sizes = [size / MB for _, size in memory]
    axes.fill_between(times, sizes, color="0.85")
    axes.plot(times, sizes, color="0.35", linewidth=1.2, label="resident memory")
    axes.axhline(
        data_bytes / MB,
        color="black",
        linestyle="--",
        linewidth=1,
        label="size of the data",
    )
    axes.set_ylim(0, 1.15 * max(data_bytes / MB, *sizes))
    axes.set_ylabel("MB")
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False)


def _draw_legend(figure: Any, bars: Sequence[Bar]) -> None:
    from matplotlib.patches import Patch

    by_time = sorted(bars, key=lambda bar: (bar.kind.minor, bar.start))
    kinds = dict.fromkeys(bar.kind for bar in by_time)
    handles = [Patch(color=kind.colour, label=kind.label) for kind in kinds]
    figure.axes[0].legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.005, 1), frameon=False
    )
