"""`plan_fit`: decides which part of a pass runs in parallel, and gives the reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from incremental._blocks.stages import Stage
from incremental._estimators.composition import (
    leading_steps,
    least_rows,
    rest_after,
    steps_before_last,
    transform,
)
from incremental._estimators.copying import Travelling, writes_to_input
from incremental._estimators.merge import merge
from incremental._estimators.parts import Parts
from incremental._estimators.traits import has_callbacks, traits_of
from incremental._fit.batches import Batching, Layout, laid_out
from incremental._fit.progressive import Progressive
from incremental._fit.row_shuffle import RowShuffle
from incremental._fit.step import PartialFit, Step
from incremental._graph.blocks import Blocks
from incremental._typing import Estimator, Piece

logger = logging.getLogger("incremental")


@dataclass(frozen=True)
class Options:
    """The settings of a fit that a pass depends on.

    Parameters
    ----------
    params : dict
        Parameters of ``partial_fit`` that are not row-wise, such as ``classes``.
    batch_size : int or None
        The number of rows of a batch. None: a batch is a block.
    shuffle : RowShuffle or None
        How rows are mixed; None if they keep their order.
    judged : bool
        Whether the estimator is judged on each block after it learned from it.
    cached_rows : int
        How many rows of X fit in the processor's cache.
    n_outputs : int
        How many columns y has.
    progressive : Progressive or None
        How the estimator is scored on each batch before it learns from it. None if it
        is not.
    begun : bool
        Whether the estimator has learned already before the first pass.
    """

    params: Mapping[str, Any]
    batch_size: int | None = None
    shuffle: RowShuffle | None = None
    judged: bool = False
    cached_rows: int = 1
    n_outputs: int = 1
    progressive: Progressive | None = None
    begun: bool = False

    @property
    def scored(self) -> bool:
        """Whether the estimator is scored in a pass, so that it learns as a whole."""
        return self.judged or self.progressive is not None


@dataclass(frozen=True)
class FitPlan:
    """A plan for a pass: what runs in parallel, and where X goes through stages.

    Attributes
    ----------
    blocks : Blocks
        The blocks to read, without the stages that are in `local`.
    learn : PartialFit
        What is done with a batch.
    step : Step
        What is done with a block. It holds the stages that X goes through batch by
        batch.
    local : tuple of Stage
        The row-local stages that X goes through last, which are taken out of `blocks`.
        They come first in `before`, or are those of ``step.within``.
    before : tuple of Stage
        The stages that X goes through in tasks before the step.
    steps : tuple of estimator or callable
        What X goes through in `before`, if other estimators may share that.
    merged : bool
        Whether new estimators learn from each block, in parallel, and are merged.
    parts : Parts or None
        How the estimator divides into chains; None if it does not.
    n_outputs : int
        How many columns y has.
    in_parts : bool
        Whether X goes through `before` in parts that fit in the cache.
    reason : str
        The reason for the plan, for the log.
    """

    blocks: Blocks
    learn: PartialFit
    step: Step
    local: tuple[Stage, ...] = ()
    before: tuple[Stage, ...] = ()
    steps: tuple[Any, ...] = ()
    merged: bool = False
    parts: Parts | None = None
    n_outputs: int = 1
    in_parts: bool = False
    reason: str = ""

    @property
    def blocks_per_thread(self) -> int:
        """How many blocks to read ahead for each thread, to keep all threads busy."""
        return 2 if self.before and not (self.merged or self.in_parts) else 1


def plan_fit(
    estimator: Estimator,
    blocks: Blocks,
    options: Options,
    *,
    later: bool,
    alone: bool = True,
) -> FitPlan:
    """Decide which part of a pass runs in parallel. Nothing is read.

    Parameters
    ----------
    estimator : estimator
        The estimator that will learn.
    blocks : Blocks
        The blocks of X, y and the parameters that have an entry for each row.
    options : Options
    later : bool
        Whether the first pass is over. Then only the last step of a pipeline learns.
    alone : bool, default=True
        Whether no other estimators learn from the same blocks beside this one.
        Otherwise X goes through its stages once for all of them, before their own
        steps. The parts of a bundle then learn as one chain. An X that each of them
        would copy, to have it row by row in memory, is copied before.

    Returns
    -------
    FitPlan
    """
    in_place, checks = blocks.scheduler.shares_memory, not blocks.in_memory
    if (
        merge.learns_as_registered(estimator)
        and not options.scored
        and not blocks.in_memory
    ):
        learn = PartialFit(options.params, copies=writes_to_input(estimator))
        step = Step(
            learn,
            Batching(options.batch_size),
            classes=options.params.get("classes"),
            in_place=in_place,
        )
        why = "its states merge: it learns from all blocks in parallel"
        return _log(estimator, FitPlan(blocks, learn, step, merged=True, reason=why))
    local: tuple[Stage, ...] = ()
    if alone:
        blocks, local = blocks.without_local_stages("X")
    steps = steps_before_last(estimator) if later else leading_steps(estimator)
    rest = rest_after(estimator, len(steps))
    learn = PartialFit(
        options.params,
        len(steps),
        options.judged,
        writes_to_input(rest),
        options.progressive,
        later or options.begun,
    )
    step = Step(
        learn,
        Batching(options.batch_size, least_rows(rest)),
        options.shuffle,
        classes=options.params.get("classes"),
        in_place=in_place,
        layout=_layout(rest, blocks, options),
        checks=checks,
    )
    plan = FitPlan(
        blocks, learn, step, local, before=local, n_outputs=options.n_outputs
    )
    if steps:
        through = Stage(partial(_transform, Travelling(steps)), "transform")
        plan = replace(plan, before=(*local, through), steps=tuple(steps))
    serial = options.scored or has_callbacks(rest) or blocks.in_memory
    if alone and not serial:
        plan = replace(plan, parts=traits_of(rest).parts)
    if not alone and not options.scored and _lies_across(estimator, blocks):
        before = Stage(partial(laid_out, layout="C"), "transform", row_local=True)
        why = "X is put row by row in memory in tasks before, once for all"
        plan = replace(plan, before=(before,), steps=(before.function,), reason=why)
        return _log(estimator, replace(plan, in_parts=True))
    return _log(estimator, _place_stages(estimator, plan, options.cached_rows))


def _lies_across(estimator: Estimator, blocks: Blocks) -> bool:
    """Tell whether X lies column by column, for an estimator that takes it by rows."""
    return traits_of(estimator).learns_row_by_row and blocks.lies_by_columns("X")


def _layout(learner: Estimator, blocks: Blocks, options: Options) -> Layout:
    """Return how batches lie in memory, so that the result does not depend on blocks.

    A score may depend on how X lies in memory, even where what is learned does not.
    """
    if options.batch_size is None:
        return "K"
    if traits_of(learner).learns_row_by_row and not options.scored:
        return "K"
    return "F" if blocks.lies_by_columns("X") else "C"


def _log(estimator: Estimator, plan: FitPlan) -> FitPlan:
    """Log the reason for a plan, and return the plan."""
    logger.debug("%s: %s.", type(estimator).__name__, plan.reason)
    return plan


def _place_stages(estimator: Estimator, plan: FitPlan, cached_rows: int) -> FitPlan:
    """Decide where X goes through the stages: before the step, or within it."""
    stages, size = plan.before, plan.step.batching.size
    if not stages:
        return replace(plan, reason="X goes through nothing before it learns")
    before = "X is transformed in tasks before"
    if plan.learn.judged or plan.learn.progressive is not None:
        why = "how X lies in memory may make a difference to the score"
        return replace(plan, reason=f"{before}, whole: {why}")
    # No pipeline has this trait. So below, the stages are `local` alone, which are
    # row-local.
    if not traits_of(estimator).learns_row_by_row:
        why = "how X lies in memory may make a difference"
        return replace(plan, reason=f"{before}, whole: {why}")
    if size is None:
        why = f"{before}, in parts that fit in the cache: there are no batches"
    elif len(stages) > 1:
        why = f"{before}: several stages take longer than learning"
    elif not plan.step.in_place:
        why = f"{before}, since blocks travel between processes"
    elif size > cached_rows:
        why = f"{before}: batches of {size} rows do not fit in the cache"
    else:
        step = replace(plan.step, within=stages)
        why = "X is transformed batch by batch, just before learning from it"
        return replace(plan, before=(), step=step, reason=why)
    return replace(plan, in_parts=True, reason=why)


def _transform(steps: Travelling[list[Estimator]], X: Piece) -> Piece:
    """Put X through steps, on a copy of X if one of them may write to it."""
    estimators = [one for one in steps.value if hasattr(one, "get_params")]
    own = X.copy() if any(map(writes_to_input, estimators)) else X
    return transform(steps.value, own)
