"""Passes over the blocks: in which order, how many, and what they leave."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from incremental._estimators.copying import Travelling, copy_estimator
from incremental._fit.digests import SIZE
from incremental._fit.step import Fitting


@dataclass
class Progress:
    """How far a fit has come, and all that its next step depends on. It pickles.

    Attributes
    ----------
    fitting : Fitting
    rng : numpy.random.RandomState
        Draws the blocks that are held out and the order of each pass.
    held_out : list of int
        Positions of the blocks that are never fitted.
    order : list of int
        Positions of the blocks of the pass under way; empty between passes.
    place : int
        How many of them are fitted.
    digests : dict of int to bytes
        What describes the blocks that were read, by position, if checkpoints are kept;
        those of the pass under way are in the fitting.
    validation : dict of int to bytes
        The same of some blocks of the validation data.
    before : Fitting or None
        The fitting when the pass under way began, for its counts; no estimator in it.
    seconds : float
        What the pass under way has taken.
    history : list of dict
        A record of each pass that is over.
    best : estimator or None
        A copy of the one whose validation score is the best.
    best_score : float
    best_merit : float
        What a pass has to exceed to count as progress.
    stale : int
        How many passes in a row did not.
    stop : bool
        Whether an observer ended the pass under way or, between passes, the fit.
    """

    fitting: Fitting
    rng: np.random.RandomState
    held_out: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    place: int = 0
    digests: dict[int, bytes] = field(default_factory=dict)
    validation: dict[int, bytes] = field(default_factory=dict)
    before: Fitting | None = None
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Any = None
    best_score: float = -math.inf
    best_merit: float = -math.inf
    stale: int = 0
    stop: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the best estimator so that it predicts the same bits."""
        return {**vars(self), "best": Travelling(self.best)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled."""
        vars(self).update({**state, "best": state["best"].value})

    def all_digests(self) -> dict[int, bytes]:
        """Return what describes the blocks, with those of the pass under way."""
        found = self.fitting.digests
        parts = (found[at : at + SIZE] for at in range(0, len(found), SIZE))
        # A pass may have been stopped before its end.
        return {**self.digests, **dict(zip(self.order, parts, strict=False))}


class Observer(Protocol):
    """What is told of a fit on its way."""

    def begin_pass(self, progress: Progress, n_blocks: int) -> None:
        """Hear that a pass begins, or goes on."""

    def end_block(self, progress: Progress, load: Callable[[], Fitting]) -> bool:
        """Hear that a block is fitted; return whether the pass is to stop.

        ``load()`` returns the fitting then, which may have to travel.
        """
        ...

    def end_pass(self, progress: Progress) -> bool:
        """Hear that a pass is over; return whether the fit is to stop."""
        ...


@dataclass
class Passes:
    """The passes of a fit.

    Parameters
    ----------
    n_blocks : int
    run : callable
        ``run(progress, watch) -> (Fitting, int)`` fits the next blocks of a pass, calls
        ``watch(place, load)``, if it is not None, after each of them, and returns how
        many of the pass were to be fitted then.
    max_iter : int
    shuffle : bool
        Whether each pass takes the blocks in a random order.
    score : callable, optional
        ``score(estimator, held_out) -> float``, on rows that are not fitted.
    early_stopping : bool
        Whether that score decides when to stop and which estimator to keep.
    validation_fraction : float, optional
        The share of the blocks that is held out.
    tol : float, optional
        What counts as progress; None for any with `early_stopping`, or not to stop.
    n_iter_no_change : int
        How many passes without progress end the fit.
    observers : sequence of Observer
    verbose : int
        Whether to print a line after each pass.
    """

    n_blocks: int
    run: Callable[..., tuple[Fitting, int]]
    max_iter: int = 1
    shuffle: bool = False
    score: Callable[..., float] | None = None
    early_stopping: bool = False
    validation_fraction: float | None = None
    tol: float | None = None
    n_iter_no_change: int = 5
    observers: Sequence[Observer] = ()
    verbose: int = 0

    def start(self, fitting: Fitting, rng: np.random.RandomState) -> Progress:
        """Return the progress of a fit that has done nothing yet.

        Raises
        ------
        ValueError
            If there are too few blocks to hold some out.
        """
        return Progress(fitting, rng, self._hold_out(rng))

    def finish(self, progress: Progress) -> Progress:
        """Make the passes that are left."""
        while not self._is_over(progress):
            self._one_pass(progress)
        if progress.best is not None:
            progress.fitting = progress.fitting._replace(estimator=progress.best)
        return progress

    def _hold_out(self, rng: np.random.RandomState) -> list[int]:
        if self.validation_fraction is None:
            return []
        if self.n_blocks < 2:
            raise ValueError(
                f"early_stopping holds out whole blocks, but X has {self.n_blocks}; "
                "expected at least 2. Cut X into more blocks, or pass "
                "`validation_data=(X_val, y_val)`."
            )
        held = round(self.n_blocks * self.validation_fraction)
        held = min(max(held, 1), self.n_blocks - 1)
        return sorted(int(at) for at in rng.permutation(self.n_blocks)[:held])

    def _is_over(self, progress: Progress) -> bool:
        if progress.order:
            return False
        return (
            progress.stop
            or len(progress.history) >= self.max_iter
            or progress.stale >= self.n_iter_no_change
        )

    def _one_pass(self, progress: Progress) -> None:
        """Make a pass, or the rest of it."""
        began = time.perf_counter() - progress.seconds
        if not progress.order:
            progress.order = self._draw(progress)
            progress.before = progress.fitting._replace(estimator=None)
        for observer in self.observers:
            observer.begin_pass(progress, len(progress.order))
        while not progress.stop and progress.place < len(progress.order):
            self._run(progress, began)
        if progress.fitting.n_rows == 0:
            raise ValueError("X has no rows in any block; expected at least one.")
        self._record(progress, time.perf_counter() - began)
        if self.verbose:
            print(self._describe(progress.history[-1]))  # noqa: T201
        self._tell(progress, lambda one: one.end_pass(progress))

    def _run(self, progress: Progress, began: float) -> None:
        """Fit the next blocks of a pass."""
        first = progress.place

        def watch(place: int, load: Callable[[], Fitting]) -> bool:
            progress.place = first + place + 1
            progress.seconds = time.perf_counter() - began
            self._tell(progress, lambda one: one.end_block(progress, load))
            return progress.stop

        progress.fitting, reached = self.run(
            progress, watch if self.observers else None
        )
        if self.observers and not progress.stop and progress.place != reached:
            raise RuntimeError(
                "The active scheduler does not tell dask's callbacks of its tasks, as "
                "`checkpoint` and `set_callbacks` need it. Use one of dask's own."
            )
        if not progress.stop:
            progress.place = reached

    def _tell(self, progress: Progress, tell: Callable[[Observer], bool]) -> None:
        """Tell all observers; those that save hear of a stop by those before."""
        for one in self.observers:
            progress.stop = tell(one) or progress.stop

    def _describe(self, record: dict[str, Any]) -> str:
        judged = (
            f"{name} {record[name]:.6g}, "
            for name in ("score", "loss")
            if record[name] is not None
        )
        return (
            f"Pass {record['pass']} of {self.max_iter}: {''.join(judged)}"
            f"{record['rows']:,} rows in {record['blocks']:,} blocks, "
            f"{record['seconds']:.1f} s"
        )

    def _draw(self, progress: Progress) -> list[int]:
        order = [at for at in range(self.n_blocks) if at not in set(progress.held_out)]
        if self.shuffle:
            order = [order[at] for at in progress.rng.permutation(len(order))]
        return order

    def _record(self, progress: Progress, seconds: float) -> None:
        fitting, before = progress.fitting, progress.before or Fitting(None)
        rows = fitting.n_rows - before.n_rows
        score = loss = None
        judged = fitting.n_judged - before.n_judged
        merit = (fitting.merit - before.merit) / judged if judged else math.nan
        if self.score is not None:
            score = self.score(fitting.estimator, progress.held_out)
        elif self.tol is not None and not fitting.has_loss:
            score = merit
        if self.tol is not None and fitting.has_loss:
            loss = -merit
        progress.history.append(
            {
                "pass": len(progress.history) + 1,
                "score": score,
                "loss": loss,
                "seconds": seconds,
                "blocks": progress.place,
                "rows": rows,
            }
        )
        progress.digests = progress.all_digests()
        progress.fitting = progress.fitting._replace(digests=b"")
        progress.order, progress.place, progress.seconds = [], 0, 0.0
        progress.stop = False
        if self.early_stopping and score is not None:
            self._keep_best(progress, score)
            self._count_stale(progress, score)
        elif self.tol is not None:
            self._count_stale(progress, merit)

    def _keep_best(self, progress: Progress, score: float) -> None:
        if progress.best is None or score > progress.best_score:
            progress.best = copy_estimator(progress.fitting.estimator)
            # Any number is better than one that is undefined.
            progress.best_score = -math.inf if math.isnan(score) else score

    def _count_stale(self, progress: Progress, merit: float) -> None:
        if merit > progress.best_merit + (self.tol or 0.0):
            progress.stale = 0
        else:
            progress.stale += 1
        progress.best_merit = max(progress.best_merit, merit)
