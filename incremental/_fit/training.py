"""The rows that a fit learns from: the blocks of collections, or data in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from incremental._blocks.collections import is_lazy
from incremental._blocks.rows import rows_in_cache
from incremental._blocks.stages import trace
from incremental._errors import noted
from incremental._estimators.composition import steps_before_last, transform
from incremental._estimators.configuration import configured
from incremental._estimators.copying import copy_estimator
from incremental._estimators.merge import merges
from incremental._estimators.traits import learns_row_by_row
from incremental._fit.checkpoints import Checkpoints
from incremental._fit.digests import DIFFERS, REMEDY, UNKNOWN, compared, digest
from incremental._fit.passes import Progress
from incremental._fit.step import Fitting, PartialFit, plan_steps
from incremental._fit.tokens import tokenize
from incremental._graph.blocks import Blocks, read_blocks
from incremental._graph.fold import Watch, fold, map_blocks
from incremental._graph.schedulers import Scheduler
from incremental._graph.shared_reductions import has_statistics, settle
from incremental._predict.scoring import as_scorer, score_blocks, score_held_out


@dataclass
class Training:
    """How an estimator learns from the rows that a fit is given.

    Parameters
    ----------
    fresh : estimator
        A clone that is not fitted.
    rows : dict
        X, y and row-wise parameters, as they are given.
    blocks : Blocks or None
        They, if they are collections.
    params : dict
        Other parameters of ``partial_fit``; ``classes`` is added once they are known.
    batch_size : int or None
    judged : bool
        Whether the estimator is judged on the blocks it learns from.
    prefetch : int or "auto"
    scheduler : Scheduler
    checkpoints : Checkpoints or None
        On a cluster a graph ends where one is due: what a worker loses has to be
        computed again from the beginning of its graph.
    """

    fresh: Any
    rows: Mapping[str, Any]
    blocks: Blocks | None
    params: Mapping[str, Any]
    batch_size: int | None
    judged: bool
    prefetch: Any
    scheduler: Scheduler
    checkpoints: Checkpoints | None = None
    _source: tuple[Blocks, tuple[Callable[..., Any], ...]] | None = field(
        default=None, init=False
    )

    @property
    def n_blocks(self) -> int:
        """The number of blocks."""
        return 1 if self.blocks is None else len(self.blocks)

    def run(self, progress: Progress, watch: Watch | None) -> tuple[Fitting, int]:
        """Fit the next blocks of a pass, and say how many of it are fitted then.

        Parameters
        ----------
        progress : Progress
        watch : callable or None
            As for `fold`.
        """
        # The first steps of a pipeline have seen all data when the first pass is over.
        later = len(progress.history) > 0
        if self.blocks is None:
            return self._run_in_memory(progress.fitting, watch, last_only=later), 1
        stop = len(progress.order)
        if self.checkpoints is not None and self.scheduler.is_remote:
            stop = min(stop, progress.place + self.checkpoints.blocks_left(progress))
        begun = progress.fitting.estimator
        blocks, deferred = self._to_fit(self.fresh if begun is None else begun)
        fit = PartialFit(
            blocks.names,
            self.params,
            self.batch_size,
            last_only=later,
            judged=self.judged,
            in_place=self.scheduler.shares_memory,
            deferred=deferred,
            ahead=self.scheduler.n_threads > 1,
        )
        fitted = None if begun is None else progress.fitting
        plan = plan_steps(self.fresh, fitted, fit)
        start = plan.start
        if self.checkpoints is not None:
            known = (progress.digests.get(at, UNKNOWN) for at in progress.order)
            plan = compared(plan, blocks.names, deferred, b"".join(known))
            # Blocks without rows leave nothing else behind.
            start = start._replace(digests=progress.fitting.digests)
        fitting: Fitting = fold(
            blocks,
            configured(plan.step),
            start,
            order=progress.order[progress.place : stop],
            prefetch=self.scheduler.look_ahead(self.prefetch, plan.per_thread),
            scheduler=self.scheduler,
            name=plan.name,
            prepare=None if plan.prepare is None else configured(plan.prepare),
            prepare_name=plan.prepare_name,
            watch=watch,
        )
        if not self.scheduler.shares_memory:
            # What a worker sends may be read-only, and estimators crash on that.
            fitting = fitting._replace(estimator=copy_estimator(fitting.estimator))
        return fitting, stop

    def score(self, scoring: Any, estimator: Any, held_out: Sequence[int]) -> float:
        """Score an estimator on blocks that are held out.

        Parameters
        ----------
        scoring : str, callable or None
            As for `ParallelPostFit`.
        estimator : estimator
            Fitted.
        held_out : sequence of int
            Positions of the blocks.
        """
        blocks = self._settled()
        with noted("while scoring the blocks that early_stopping holds out"):
            if scoring is None:
                return score_blocks(estimator, blocks, held_out)
            return score_held_out(as_scorer(scoring), estimator, blocks, held_out)

    def describe(self) -> dict[str, Any]:
        """Describe the data, as far as it is known without reading any."""
        if self.blocks is None:
            return {"the data": tokenize(dict(self.rows))}
        return {
            "the inputs": ", ".join(self.blocks.names),
            "the number of blocks": len(self.blocks),
            "the lengths of the blocks": self.blocks.n_rows,
            **{
                f"the values of {name}": tokenize(value)
                for name, value in self.rows.items()
                if not is_lazy(value)
            },
        }

    def note_unfitted(self, progress: Progress, validation: Blocks | None) -> None:
        """Note the digests of some blocks that are never fitted.

        Parameters
        ----------
        progress : Progress
            Of a fit that begins.
        validation : Blocks or None
            Those of the validation data.
        """
        if self.blocks is not None and progress.held_out:
            held_out = _some(progress.held_out)
            progress.digests = _digests(self._settled(), held_out, self.scheduler)
        if validation is not None:
            some = _some(range(len(validation)))
            progress.validation = _digests(validation, some, self.scheduler)

    def compare(self, progress: Progress, validation: Blocks | None) -> None:
        """Read some blocks again: of those fitted the first, the last and another.

        Parameters
        ----------
        progress : Progress
            Of a fit that goes on.
        validation : Blocks or None
            Those of the validation data.

        Raises
        ------
        ValueError
            If one of them is not what it was.
        """
        if validation is not None:
            _compare(
                validation, progress.validation, self.scheduler, "of validation_data "
            )
        known = progress.all_digests()
        fitted = [at for at in known if at not in set(progress.held_out)]
        between = [random.Random().choice(fitted[1:-1])] if fitted[2:] else []
        some = {*progress.held_out, *fitted[:1], *between, *fitted[-1:]}
        expected = {at: known[at] for at in known if at in some}
        if self.blocks is not None and expected:
            _compare(self._settled(), expected, self.scheduler)

    def _settled(self) -> Blocks:
        """Settle the blocks, once for all that reads them."""
        blocks: Any = self.blocks
        self.blocks = settle(blocks)
        return self.blocks

    def _to_fit(self, estimator: Any) -> tuple[Blocks, tuple[Callable[..., Any], ...]]:
        """Return the blocks to fit, and what X of each is still to go through."""
        if self._source is None:
            self._source = self._trace(estimator) or (self._settled(), ())
        return self._source

    def _trace(
        self, estimator: Any
    ) -> tuple[Blocks, tuple[Callable[..., Any], ...]] | None:
        """Return the blocks before what is better done in parts of them, if there is.

        Batches go through it in the task that fits them, as long as they fit in the
        cache and learning takes longer.
        """
        X, functions = trace(self.rows["X"])
        row_by_row = learns_row_by_row(estimator) and not merges(self.fresh)
        # Who judges it needs all of X at once.
        if not functions or not row_by_row or self.judged:
            return None
        if self.batch_size is not None:
            fits = self.batch_size <= rows_in_cache(X) and len(functions) == 1
            if not fits or not self.scheduler.shares_memory:
                return None
        source = read_blocks({**self.rows, "X": X})
        # Statistics would be computed for these blocks, and for those that are scored.
        if has_statistics(source):
            return None
        return replace(source, settled=True), functions

    def _run_in_memory(
        self, fitting: Fitting, watch: Watch | None, *, last_only: bool
    ) -> Fitting:
        fit = PartialFit(
            tuple(self.rows),
            self.params,
            self.batch_size,
            last_only=last_only,
            judged=self.judged,
        )
        if fitting.estimator is None:
            fitting = fitting._replace(estimator=self.fresh)
        rows = dict(self.rows)
        if last_only:
            rows["X"] = transform(steps_before_last(fitting.estimator), rows["X"])
        fitting = fit.fit_block(fitting, rows)
        if watch is not None:
            watch(0, lambda: fitting)
        return fitting


def cut(rows: Mapping[str, Any]) -> Blocks | None:
    """Cut rows into blocks if any are in a collection."""
    return read_blocks(rows) if any(map(is_lazy, rows.values())) else None


def _some(positions: Sequence[int]) -> list[int]:
    """Choose the first, the last and one between."""
    return sorted({positions[at] for at in (0, len(positions) // 2, -1)})


def _digests(
    blocks: Blocks, at: Sequence[int], scheduler: Scheduler
) -> dict[int, bytes]:
    describe = partial(digest, blocks.names, ())
    found = map_blocks(
        blocks, describe, scheduler=scheduler, name="recognise", order=at
    )
    return dict(zip(at, found, strict=True))


def _compare(
    blocks: Blocks, expected: dict[int, bytes], scheduler: Scheduler, whose: str = ""
) -> None:
    found = _digests(blocks, list(expected), scheduler)
    for at, known in expected.items():
        if found[at] != known:
            where = blocks.describe()[at]
            raise ValueError(
                f"The checkpoint is of another fit: {where} {whose}{DIFFERS}. {REMEDY}"
            )
