"""Passes over the blocks: their order, their number, and their records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from incremental._estimators.copying import copy_estimator
from incremental._fit.progress import BlockFitted, Observer, Progress
from incremental._fit.progressive import Progressive
from incremental._fit.row_shuffle import Mixing
from incremental._fit.step import Fitting

# ``watch(place, load)`` is called after each block. The first block of a run, which
# need not be the first of the pass, has the place 0. ``load()`` returns the fitting
# after it. If `watch` returns True, the run stops.
Watch = Callable[[int, Callable[[], Fitting]], bool]


def begin(
    n_blocks: int,
    fitting: Fitting,
    rng: np.random.RandomState,
    validation_fraction: float | None = None,
) -> Progress:
    """Return the progress of a fit before its first pass.

    Parameters
    ----------
    n_blocks : int
        How many blocks the data have.
    fitting : Fitting
        The state before the first block. It may have no estimator.
    rng : numpy.random.RandomState
        Draws the blocks that are held out, and later the order of each pass.
    validation_fraction : float, optional
        The share of the blocks that is held out. By default no blocks are.

    Returns
    -------
    Progress

    Raises
    ------
    ValueError
        If there are too few blocks to hold some out.
    """
    if validation_fraction is None:
        return Progress(fitting, rng)
    if n_blocks < 2:
        raise ValueError(
            f"early_stopping holds out whole blocks, but X has {n_blocks}; "
            "expected at least 2. Cut X into more blocks, or pass "
            "`validation_data=(X_val, y_val)`."
        )
    held = min(max(round(n_blocks * validation_fraction), 1), n_blocks - 1)
    held_out = sorted(int(at) for at in rng.permutation(n_blocks)[:held])
    return Progress(fitting, rng, tuple(held_out))


@dataclass(frozen=True)
class Passes:
    """The passes of a fit: how each is made and recorded, and when the fit stops.

    Parameters
    ----------
    n_blocks : int
        How many blocks the data have.
    run : callable
        ``run(progress, watch) -> (Fitting, int)`` fits the next blocks of a pass. After
        each block it calls ``watch(place, load)``, unless `watch` is None. The integer
        says how many blocks of the pass are fitted then, unless `watch` stopped it.
    end_rows : callable
        ``end_rows(progress) -> Fitting`` lets the estimator learn from the rows that
        wait at the end of a pass, and averages replicas.
    max_iter : int
        How many passes are made at most.
    shuffle : bool
        Whether each pass takes the blocks in a random order.
    shuffle_rows : bool
        Whether rows are mixed in each pass.
    score : callable, optional
        ``score(estimator, held_out) -> dict`` scores an estimator on rows that are not
        fitted, and returns entries for the record of the pass. ``"score"`` is the score
        that decides. There may be others. `held_out` are the positions of the blocks
        that are held out.
    early_stopping : bool
        Whether `score` decides when to stop and which estimator to keep.
    tol : float, optional
        By how much a pass must be better than the best one before to count as
        progress. If None, all passes are made, unless `early_stopping` is True: then
        any gain counts as progress.
    n_iter_no_change : int
        How many passes in a row without progress end the fit.
    progressive : Progressive, optional
        How the estimator is scored on each batch before it learns from it. Passes are
        then compared by that, unless `early_stopping` is True.
    observers : sequence of Observer
        They are told of each block and pass, in this order.
    verbose : int
        Whether to print a line after each pass.
    """

    n_blocks: int
    run: Callable[..., tuple[Fitting, int]]
    end_rows: Callable[[Progress], Fitting]
    max_iter: int = 1
    shuffle: bool = False
    shuffle_rows: bool = False
    score: Callable[..., dict[str, float]] | None = None
    early_stopping: bool = False
    tol: float | None = None
    n_iter_no_change: int = 5
    progressive: Progressive | None = None
    observers: Sequence[Observer] = ()
    verbose: int = 0

    def finish(self, progress: Progress) -> Progress:
        """Make the passes that are left.

        Parameters
        ----------
        progress : Progress
            How far the fit has come.

        Returns
        -------
        Progress
            The progress at the end. If a best estimator was kept, it has become the
            estimator of the fitting.
        """
        while not self.is_over(progress):
            progress = self._one_pass(progress)
        if progress.best is None:
            return progress
        best = progress.fitting._replace(estimator=progress.best)
        return replace(progress, fitting=best)

    def is_over(self, progress: Progress) -> bool:
        """Tell whether no pass is left to make."""
        if progress.order:
            return False
        return (
            progress.stop
            or len(progress.history) >= self.max_iter
            or progress.stale >= self.n_iter_no_change
        )

    def _one_pass(self, progress: Progress) -> Progress:
        """Make one pass, or what is left of one."""
        began = time.perf_counter() - progress.seconds
        if not progress.order:
            progress = self.draw(progress)
        for observer in self.observers:
            observer.begin_pass(progress)
        while not progress.stop and progress.place < len(progress.order):
            progress = self._run(progress, began)
        progress = self.close(progress, time.perf_counter() - began)
        if self.verbose:
            print(self.describe(progress.history[-1]))  # noqa: T201
        for observer in self.observers:
            # `Checkpoints` comes last. So it also saves that another observer asked to
            # stop.
            stop = observer.end_pass(progress) or progress.stop
            progress = replace(progress, stop=stop)
        return progress

    def _run(self, progress: Progress, began: float) -> Progress:
        """Fit the next blocks of a pass, and tell the observers of each.

        Parameters
        ----------
        progress : Progress
        began : float
            The time at which the pass began, by `time.perf_counter`. For a resumed
            pass, the time at which it would have begun without the interruption.
        """
        current = progress

        def watch(place: int, load: Callable[[], Fitting]) -> bool:
            nonlocal current
            current = replace(
                current,
                place=progress.place + place + 1,
                seconds=time.perf_counter() - began,
            )
            for observer in self.observers:
                stop = observer.end_block(BlockFitted(current, load))
                current = replace(current, stop=stop or current.stop)
            return current.stop

        fitting, reached = self.run(progress, watch if self.observers else None)
        if self.observers and not current.stop and current.place != reached:
            raise RuntimeError(
                "The active scheduler does not tell dask's callbacks of its tasks, as "
                "`checkpoint` and `set_callbacks` need it. Use one of dask's own."
            )
        place = current.place if current.stop else reached
        return replace(current, fitting=fitting, place=place)

    def close(self, progress: Progress, seconds: float) -> Progress:
        """Fit the rows that wait at the end of a pass, and record the pass.

        Parameters
        ----------
        progress : Progress
            All blocks of the pass are fitted.
        seconds : float
            How long the pass took.
        """
        fitting = progress.fitting
        if fitting.waiting.n_rows or fitting.mixing.shares or fitting.replicas:
            progress = replace(progress, fitting=self.end_rows(progress))
        if progress.fitting.n_rows == 0:
            raise ValueError("X has no rows in any block; expected at least one.")
        return self._record(progress, seconds)

    def describe(self, record: dict[str, Any]) -> str:
        """Return the line that is printed for the record of a pass."""
        judged = (
            f"{name} {record[name]:.6g}, "
            for name in ("score", "loss", "progressive_score")
            if record.get(name) is not None
        )
        return (
            f"Pass {record['pass']} of {self.max_iter}: {''.join(judged)}"
            f"{record['rows']:,} rows in {record['blocks']:,} blocks, "
            f"{record['seconds']:.1f} s"
        )

    def draw(self, progress: Progress) -> Progress:
        """Draw the order of the next pass, and keep the counts at its beginning."""
        order = [at for at in range(self.n_blocks) if at not in set(progress.held_out)]
        if self.shuffle:
            order = [order[at] for at in progress.rng.permutation(len(order))]
        fitting = progress.fitting
        if self.shuffle_rows:
            seed = int(progress.rng.randint(2**31))
            fitting = fitting._replace(mixing=Mixing(seed))
        before = fitting._replace(estimator=None)
        return replace(progress, order=tuple(order), before=before, fitting=fitting)

    def _record(self, progress: Progress, seconds: float) -> Progress:
        """Add the record of the pass that has ended, and judge whether it was progress.

        Parameters
        ----------
        progress : Progress
        seconds : float
            How long the pass took.
        """
        fitting, before = progress.fitting, progress.before or Fitting(None)
        score = loss = None
        scores: dict[str, float] = {}
        judged = fitting.n_judged - before.n_judged
        merit = (fitting.merit - before.merit) / judged if judged else math.nan
        judges = self.tol is not None and self.progressive is None
        if self.score is not None:
            scores = self.score(fitting.estimator, progress.held_out)
            score = scores["score"]
        elif judges and not fitting.has_loss:
            score = merit
        if judges and fitting.has_loss:
            loss = -merit
        if self.progressive is not None:
            means = self.progressive.means(fitting.tallies, before.tallies)
            merit = means["progressive_score"]
            scores = {**scores, **means}
        record = {
            "pass": len(progress.history) + 1,
            "score": score,
            "loss": loss,
            "seconds": seconds,
            "blocks": progress.place,
            "rows": fitting.n_rows - before.n_rows,
            **scores,
        }
        progress = replace(
            progress,
            history=(*progress.history, record),
            digests=progress.all_digests(),
            fitting=fitting._replace(digests=b""),
            order=(),
            place=0,
            seconds=0.0,
            stop=False,
        )
        if self.early_stopping and score is not None:
            return self._count_stale(_keep_best(progress, score), score)
        # In a single block that is the first to be learned from, nothing is tested.
        if self.tol is None or (self.progressive is not None and math.isnan(merit)):
            return progress
        return self._count_stale(progress, merit)

    def _count_stale(self, progress: Progress, merit: float) -> Progress:
        """Count the passes in a row that were no progress, with the one that has ended.

        Parameters
        ----------
        progress : Progress
        merit : float
            How good the pass was: its score, or minus its loss.
        """
        better = merit > progress.best_merit + (self.tol or 0.0)
        return replace(
            progress,
            stale=0 if better else progress.stale + 1,
            best_merit=max(progress.best_merit, merit),
        )


def _keep_best(progress: Progress, score: float) -> Progress:
    """Keep a copy of the estimator if its validation score is the best so far."""
    if progress.best is not None and not score > progress.best_score:
        return progress
    return replace(
        progress,
        best=copy_estimator(progress.fitting.estimator),
        # Any number counts as better than an undefined score.
        best_score=-math.inf if math.isnan(score) else score,
    )
