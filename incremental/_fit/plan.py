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
    rest_after,
    steps_before_last,
    transform,
)
from incremental._estimators.copying import Travelling, writes_to_input
from incremental._estimators.merge import merges
from incremental._estimators.parts import Parts
from incremental._estimators.traits import has_callbacks, traits_of
from incremental._fit.step import PartialFit
from incremental._graph.blocks import Blocks
from incremental._typing import Estimator

logger = logging.getLogger("incremental")


@dataclass(frozen=True)
class Options:
    """The settings of a fit that a pass depends on.

    Parameters
    ----------
    params : dict
        Parameters of ``partial_fit`` that have no entry for each row.
    batch_size : int or None
        The number of rows for each call of ``partial_fit``. If None, one call takes
        all rows of a block.
    judged : bool
        Whether the estimator is judged on each block after it learned from it.
    cached_rows : int
        How many rows of X fit in the processor's cache.
    n_outputs : int
        How many columns y has.
    """

    params: Mapping[str, Any]
    batch_size: int | None = None
    judged: bool = False
    cached_rows: int = 1
    n_outputs: int = 1


@dataclass(frozen=True)
class FitPlan:
    """A plan for a pass: what runs in parallel, and where X goes through stages.

    Attributes
    ----------
    blocks : Blocks
        The blocks to read. Their X has not been through the stages in `local`.
    learner : PartialFit
        The step that learns. Its `within` are the stages that X goes through in the
        step, batch by batch.
    local : tuple of Stage
        The stages at the end of those that X goes through, as far back as they are
        row-local.
    before : tuple of Stage
        The stages that X goes through in tasks before the step.
    merged : bool
        Whether new estimators learn from each block, in parallel, and are merged.
    parts : Parts or None
        The rule that divides what learns into parts, which learn in chains of their
        own. None if it is not divided.
    n_outputs : int
        How many columns y has.
    in_parts : bool
        Whether X goes through `before` in parts that fit in the cache.
    reason : str
        The reason for the plan, for the log.
    """

    blocks: Blocks
    learner: PartialFit
    local: tuple[Stage, ...] = ()
    before: tuple[Stage, ...] = ()
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
    estimator: Estimator, blocks: Blocks, options: Options, *, later: bool
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

    Returns
    -------
    FitPlan
    """
    if merges(estimator) and not options.judged and not blocks.in_memory:
        learner = PartialFit(
            options.params,
            options.batch_size,
            in_place=blocks.scheduler.shares_memory,
        )
        why = "its states merge: it learns from all blocks in parallel"
        return _log(estimator, FitPlan(blocks, learner, merged=True, reason=why))
    blocks, local = blocks.without_local_stages("X")
    steps = steps_before_last(estimator) if later else leading_steps(estimator)
    learner = PartialFit(
        options.params,
        options.batch_size,
        passed=len(steps),
        judged=options.judged,
        in_place=blocks.scheduler.shares_memory,
        checks=not blocks.in_memory,
    )
    plan = FitPlan(blocks, learner, local, before=local, n_outputs=options.n_outputs)
    if steps:
        through = Stage(partial(_transform, Travelling(steps)), "transform")
        plan = replace(plan, before=(*local, through))
    rest = rest_after(estimator, len(steps))
    alone = options.judged or has_callbacks(rest) or blocks.in_memory
    if not alone:
        plan = replace(plan, parts=traits_of(rest).parts)
    return _log(estimator, _place_stages(estimator, plan, options.cached_rows))


def _log(estimator: Estimator, plan: FitPlan) -> FitPlan:
    """Log the reason for a plan, and return the plan."""
    logger.debug("%s: %s.", type(estimator).__name__, plan.reason)
    return plan


def _place_stages(estimator: Estimator, plan: FitPlan, cached_rows: int) -> FitPlan:
    """Decide where X goes through the stages: in tasks before the step, or within it.

    Parameters
    ----------
    estimator : estimator
        The estimator that will learn.
    plan : FitPlan
        A plan with all stages in `before`.
    cached_rows : int
        How many rows of X fit in the processor's cache.

    Returns
    -------
    FitPlan
    """
    stages, learner = plan.before, plan.learner
    if not stages:
        return replace(plan, reason="X goes through nothing before it learns")
    before = "X is transformed in tasks before"
    if learner.judged:
        return replace(plan, reason=f"{before}, whole: it is judged on all of X")
    # A pipeline does not have this trait, and only a pipeline adds a stage that is not
    # row-local. So all stages are row-local below.
    if not traits_of(estimator).learns_row_by_row:
        why = "how X lies in memory may make a difference"
        return replace(plan, reason=f"{before}, whole: {why}")
    if learner.batch_size is None:
        why = f"{before}, in parts that fit in the cache: there are no batches"
    elif len(stages) > 1:
        why = f"{before}: several stages take longer than learning"
    elif not learner.in_place:
        why = f"{before}, since blocks travel between processes"
    elif learner.batch_size > cached_rows:
        why = f"{before}: batches of {learner.batch_size} rows do not fit in the cache"
    else:
        learner = replace(learner, within=stages)
        why = "X is transformed batch by batch, just before learning from it"
        return replace(plan, before=(), learner=learner, reason=why)
    return replace(plan, in_parts=True, reason=why)


def _transform(steps: Travelling, X: Any) -> Any:
    """Put X through steps, on a copy of X if one of them may write to it."""
    estimators = [one for one in steps.value if hasattr(one, "get_params")]
    own = X.copy() if any(map(writes_to_input, estimators)) else X
    return transform(steps.value, own)
