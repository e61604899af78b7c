"""`FitSession`: all that a fit needs beside its progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from incremental._errors import noted
from incremental._estimators.copying import copy_estimator
from incremental._fit.chains import Arrangement, arrange
from incremental._fit.digests import UNKNOWN
from incremental._fit.passes import Watch
from incremental._fit.plan import FitPlan, Options, plan_fit
from incremental._fit.progress import Progress
from incremental._fit.replicas import arrange_replicas
from incremental._fit.step import Fitting
from incremental._graph.blocks import Blocks
from incremental._graph.fold import fold
from incremental._predict.scorers import Scorers
from incremental._predict.scoring import score_held_out
from incremental._typing import Estimator, Prefetch


@dataclass(frozen=True)
class FitSession:
    """The part of a fit that stays the same from its beginning to its end.

    What changes is in `Progress`.

    Parameters
    ----------
    fresh : estimator
        An estimator that is not fitted. It is cloned.
    blocks : Blocks
        The blocks of X, y and the parameters that have an entry for each row, after
        `settle`.
    options : Options
    prefetch : int or "auto"
        How many blocks may be read ahead of the one being fitted.
    checkpoint_every : int or None
        How many blocks are fitted between two checkpoints; None if there are none.
    alone : bool
        Whether no other estimators learn from the same blocks beside this one.
    replicas : int
        How many copies of the estimator learn from different blocks.
    """

    fresh: Estimator
    blocks: Blocks
    options: Options
    prefetch: Prefetch = "auto"
    checkpoint_every: int | None = None
    alone: bool = True
    replicas: int = 1

    def run(self, progress: Progress, watch: Watch | None) -> tuple[Fitting, int]:
        """Fit the next blocks of a pass.

        Parameters
        ----------
        progress : Progress
            How far the fit has come. It has the order of the pass.
        watch : callable or None
            ``watch(place, load)`` is called after each block, as by `fold`. ``load()``
            returns the fitting after that block.

        Returns
        -------
        fitting : Fitting
            The state after the last of these blocks.
        reached : int
            The place that the pass has then reached, unless `watch` stopped it.
        """
        scheduler = self.blocks.scheduler
        stop = len(progress.order)
        if self.checkpoint_every is not None and scheduler.is_remote:
            # If a worker is lost, the whole graph may be computed again. So a graph
            # ends at the next checkpoint at the latest.
            left = self.checkpoint_every - progress.n_fitted % self.checkpoint_every
            stop = min(stop, progress.place + left)
        plan = self.plan(progress)
        pass_ = self._arrange(plan, progress, self._expected(progress))
        order = progress.order[progress.place : stop]
        prefetch, together = self.look_ahead(plan, len(order))
        states = fold(
            plan.blocks,
            pass_.chains,
            order=order,
            prefetch=prefetch,
            together=together,
            watch=None
            if watch is None
            else lambda place, load: watch(place, lambda: pass_.join(load())),
        )
        return self.arrived(pass_.join(states)), stop

    def arrived(self, fitting: Fitting) -> Fitting:
        """Return a fitting that a pass yielded, ready to go on in this process."""
        if self.blocks.scheduler.shares_memory:
            return fitting
        # Arrays from a worker may be read-only. Some estimators crash on these.
        return fitting._replace(estimator=copy_estimator(fitting.estimator))

    def look_ahead(self, plan: FitPlan, n_blocks: int) -> tuple[int, int]:
        """Return how many blocks to read ahead, and how many to take at once.

        Parameters
        ----------
        plan : FitPlan
        n_blocks : int
            How many blocks are fitted.
        """
        together = self._small(n_blocks)
        scheduler = self.blocks.scheduler
        prefetch = scheduler.look_ahead(self.prefetch, plan.blocks_per_thread)
        if self.prefetch == "auto":
            prefetch = max(prefetch, (scheduler.n_threads + 1) * together - 1)
        return prefetch, together

    def _small(self, n_blocks: int) -> int:
        """Return how many blocks to take at once: several if there are many small ones.

        The number is so small that twice as many blocks fit in the processor's cache,
        and that a pass still has 32 tasks at least. Otherwise it is 1.
        """
        rows = max(self.blocks.n_rows or [0])
        fit = self.options.cached_rows // rows if rows else 0
        return max(min(fit // 2, n_blocks // 32), 1)

    def end_rows(self, progress: Progress) -> Fitting:
        """End a pass: learn from the rows that wait, and average the replicas."""
        return self._arrange(self.plan(progress), progress, None).finish()

    def _arrange(
        self, plan: FitPlan, progress: Progress, expected: bytes | None
    ) -> Arrangement:
        if self.replicas == 1:
            return arrange(plan, self.fresh, progress.fitting, expected)
        return arrange_replicas(plan, self.fresh, progress, self.replicas, expected)

    def plan(self, progress: Progress) -> FitPlan:
        """Return the plan for the current pass."""
        begun = progress.fitting.estimator
        # After the first pass the steps before the last have seen all blocks.
        later = len(progress.history) > 0
        estimator = self.fresh if begun is None else begun
        return plan_fit(
            estimator, self.blocks, self.options, later=later, alone=self.alone
        )

    def _expected(self, progress: Progress) -> bytes | None:
        """Return the digests of the blocks of the pass, in its order.

        A digest that is not known is `UNKNOWN`. Without checkpoints there are none to
        compare, and None is returned.
        """
        if self.checkpoint_every is None:
            return None
        known = progress.digests
        return b"".join(known.get(at, UNKNOWN) for at in progress.order)

    def score(
        self, scorers: Scorers, estimator: Estimator, held_out: Sequence[int]
    ) -> dict[str, float]:
        """Score an estimator on blocks that are held out.

        Parameters
        ----------
        scorers : Scorers
        estimator : estimator
            Fitted.
        held_out : sequence of int
            Positions of the blocks that are held out.

        Returns
        -------
        dict of str to float
            What the record of a pass says of it.
        """
        with noted("while scoring the blocks that early_stopping holds out"):
            scores = score_held_out(scorers, estimator, self.blocks, held_out)
        return scorers.record(scores)
