"""`arrange`: makes the chains that carry out the plan of a pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sklearn.base import clone
from toolz import compose_left

from incremental._blocks.block import Block
from incremental._blocks.rows import n_rows
from incremental._estimators.composition import rest_after
from incremental._estimators.configuration import configured
from incremental._estimators.parts import Parts
from incremental._fit.classes import check_classes
from incremental._fit.digests import Compared, Recognise
from incremental._fit.plan import FitPlan
from incremental._fit.step import (
    Before,
    FitAlone,
    Fitting,
    PartialFit,
    merge_fittings,
)
from incremental._graph.fold import Chain, Preparation
from incremental._typing import Estimator

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Arrangement:
    """The chains of a pass.

    Attributes
    ----------
    chains : list of Chain
    prepare : Preparation or None
    join : callable
        Makes one fitting of the last states of the chains.
    """

    chains: list[Chain[Fitting]]
    prepare: Preparation | None
    join: Callable[[list[Fitting]], Fitting]


def arrange(
    plan: FitPlan, fresh: Estimator, fitting: Fitting, expected: bytes | None
) -> Arrangement:
    """Make the chains that carry out a plan.

    Parameters
    ----------
    plan : FitPlan
    fresh : estimator
        One that is not fitted, to clone.
    fitting : Fitting
        The state at which the chains begin. If it has no estimator, a clone of
        `fresh` is taken.
    expected : bytes or None
        The digests of the blocks in the order of the pass; None if blocks are not
        compared.
    """
    work: list[Function] = [] if expected is None else [Recognise(plan.local)]
    name = "transform"
    if plan.before:
        work.append(Before(plan.before, plan.in_parts))
    if plan.merged:
        begun = fitting.estimator
        work.append(FitAlone(fresh if begun is None else begun, plan.learner))
        name = "partial_fit"
        chains: list[Chain[Fitting]] = [Chain(fitting, merge_fittings, name="merge")]
        join: Callable[[list[Fitting]], Fitting] = _only
    else:
        if fitting.estimator is None:
            fitting = fitting._replace(estimator=clone(fresh, safe=False))
        chains, join = _parts(plan, fitting, work)
    first, *others = chains
    if expected is not None:
        # The first chain keeps the digests for all chains.
        first = first._replace(step=Compared(first.step, expected))
    chains = [one._replace(step=configured(one.step)) for one in (first, *others)]
    prepare = Preparation(configured(compose_left(*work)), name) if work else None
    return Arrangement(chains, prepare, join)


def _only(fittings: list[Fitting]) -> Fitting:
    return fittings[0]


def _parts(
    plan: FitPlan, fitting: Fitting, work: list[Function]
) -> tuple[list[Chain[Fitting]], Callable[[list[Fitting]], Fitting]]:
    """Return one chain for each part, or one for the whole learner."""
    whole = [Chain(fitting, plan.learner)]
    if plan.parts is None:
        return whole, _only
    learner, kind = plan.learner, plan.parts
    bundle = rest_after(fitting.estimator, learner.passed)
    row_wise = set(plan.blocks.names) - {"X", "y"}
    parts = kind.start(bundle, learner.params, row_wise, plan.n_outputs)
    n_chains = min(len(parts), plan.blocks.scheduler.n_threads)
    if n_chains < 2:
        return whole, _only
    work.append(Divide(kind, _shell(bundle), learner.params))
    # As many chains as can run at once: more of them would only be more tasks.
    groups = [range(first, len(parts), n_chains) for first in range(n_chains)]
    chains = [
        Chain(
            fitting._replace(estimator=[parts[number] for number in group]),
            FitParts(learner, kind, group),
        )
        for group in groups
    ]

    def join(fittings: list[Fitting]) -> Fitting:
        learned = {
            number: part
            for group, one in zip(groups, fittings, strict=True)
            for number, part in zip(group, one.estimator, strict=True)
        }
        kind.join(bundle, [learned[number] for number in range(len(parts))])
        rounded = any(one.rounded for one in fittings)
        return fittings[0]._replace(estimator=fitting.estimator, rounded=rounded)

    return chains, join


def _shell(bundle: Any) -> Any:
    """Return a bundle without its parts, so that these do not travel."""
    shell = copy.copy(bundle)
    shell.estimators_ = []
    return shell


@dataclass(frozen=True)
class Divide:
    """A function that replaces the y of a block by the targets of all parts.

    Parameters
    ----------
    kind : Parts
    bundle : estimator
    params : dict
        Parameters of its ``partial_fit``.
    """

    kind: Parts
    bundle: Any
    params: Mapping[str, Any]

    def __call__(self, block: Block) -> Block:
        """Return the block with these targets; unchanged if it has no rows.

        Raises
        ------
        ValueError
            If y holds an unknown class.
        """
        if n_rows(block["y"]) == 0:
            return block
        if self.params.get("classes") is not None:
            check_classes(block["y"], self.params["classes"])
        return block.replace(y=self.kind.targets(self.bundle, block["y"]))


@dataclass(frozen=True)
class FitParts:
    """A step that fits some parts of a bundle on one more block.

    Parameters
    ----------
    learner : PartialFit
        What is done with the whole bundle.
    kind : Parts
    numbers : sequence of int
        Of the parts.
    """

    learner: PartialFit
    kind: Parts
    numbers: Sequence[int]

    def __call__(self, fitting: Fitting, block: Block) -> Fitting:
        """Return the fitting after one more block; its estimator is a list of parts."""
        if n_rows(block["y"]) == 0:
            return fitting
        fitted = [
            self._fit(fitting._replace(estimator=part), number, block)
            for part, number in zip(fitting.estimator, self.numbers, strict=True)
        ]
        return fitted[0]._replace(
            estimator=[one.estimator for one in fitted],
            rounded=any(one.rounded for one in fitted),
        )

    def _fit(self, fitting: Fitting, number: int, block: Block) -> Fitting:
        params = self.kind.params(self.learner.params, number)
        fit = replace(self.learner, params=params, passed=0)
        return fit(fitting, block.replace(y=self.kind.target(block["y"], number)))
