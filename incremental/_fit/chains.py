"""`arrange`: makes the chains that carry out the plan of a pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
    Step,
    merge_fittings,
)
from incremental._graph.fold import Chain, Preparation
from incremental._typing import Estimator

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Arrangement:
    """The chains of a pass, with what is done after their steps.

    Attributes
    ----------
    chains : list of Chain
        Their states are of type `Fitting`. They share one preparation, or have none.
    join : callable
        Makes one fitting of the last states of the chains.
    finish : callable
        ``finish() -> Fitting`` ends a pass without reading a block: each chain learns
        from the rows that wait in its start state.
    """

    chains: list[Chain[Fitting]]
    join: Callable[[list[Fitting]], Fitting]
    finish: Callable[[], Fitting]


def arrange(
    plan: FitPlan, fresh: Estimator, fitting: Fitting, expected: bytes | None
) -> Arrangement:
    """Make the chains that carry out a plan.

    Parameters
    ----------
    plan : FitPlan
    fresh : estimator
        An estimator that is not fitted. It is cloned.
    fitting : Fitting
        The state at which the chains begin. If it has no estimator, a clone of
        `fresh` is taken.
    expected : bytes or None
        The digests of the blocks in the order of the pass, each `UNKNOWN` if it is
        not known. None if blocks are not compared.

    Returns
    -------
    Arrangement
    """
    work: list[Function] = [] if expected is None else [Recognise(plan.local)]
    name = "transform"
    if plan.before:
        work.append(Before(plan.before, plan.in_parts))
    if plan.merged:
        begun = fitting.estimator
        estimator = fresh if begun is None else begun
        work.append(FitAlone(estimator, plan.step))
        name = "partial_fit"
        chains: list[Chain[Fitting]] = [Chain(fitting, merge_fittings, name="merge")]
        join: Callable[[list[Fitting]], Fitting] = _only
    else:
        if fitting.estimator is None:
            fitting = fitting._replace(estimator=clone(fresh, safe=False))
        chains, join = _parts(plan, fitting, work)
    finish = partial(_finish, chains, join)
    first, *others = chains
    if expected is not None:
        # The first chain keeps the digests for all chains.
        first = first._replace(step=Compared(first.step, expected))
    prepare = Preparation(configured(compose_left(*work)), name) if work else None
    chains = [
        one._replace(step=configured(one.step), prepare=prepare)
        for one in (first, *others)
    ]
    return Arrangement(chains, join, finish)


def _finish(
    chains: Sequence[Chain[Fitting]], join: Callable[[list[Fitting]], Fitting]
) -> Fitting:
    steps = ((one.step, one.start) for one in chains)
    return join(
        [s.finish(start) if isinstance(s, Step) else start for s, start in steps]
    )


def _only(fittings: list[Fitting]) -> Fitting:
    return fittings[0]


def _parts(
    plan: FitPlan, fitting: Fitting, work: list[Function]
) -> tuple[list[Chain[Fitting]], Callable[[list[Fitting]], Fitting]]:
    """Return chains that share out the parts, or one for the whole learner.

    There is at most one chain for each thread. If there are several, the division of
    blocks is added to `work`.

    Returns
    -------
    chains : list of Chain
    join : callable
        Makes one fitting of their last states.
    """
    whole = [Chain(fitting, plan.step)]
    n_threads = plan.blocks.scheduler.n_threads
    if plan.parts is None or n_threads < 2:
        return whole, _only
    learn, kind = plan.learn, plan.parts
    bundle = rest_after(fitting.estimator, learn.passed)
    row_wise = set(plan.blocks.names) - {"X", "y"}
    parts = kind.start(bundle, learn.params, row_wise, plan.n_outputs)
    n_chains = min(len(parts), n_threads)
    if n_chains < 2:
        return whole, _only
    divide = Divide(kind, _shell(bundle), learn.params)
    work.append(divide)
    # As many chains as can run at once: more of them would only be more tasks.
    groups = [range(first, len(parts), n_chains) for first in range(n_chains)]
    begun = fitting.map_rows(divide)
    chains = [
        Chain(
            begun._replace(estimator=[parts[number] for number in group]),
            replace(plan.step, learn=FitParts(learn, kind, group), classes=None),
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
        joined = fittings[0]._replace(estimator=fitting.estimator, rounded=rounded)
        return joined.map_rows(_undivided)

    return chains, join


def _shell(bundle: Estimator) -> Estimator:
    """Return a bundle without its parts, so that no task has to carry these."""
    shell = copy.copy(bundle)
    shell.estimators_ = []
    vars(shell).pop("named_estimators_", None)
    return shell


# The name of the piece that `Divide` adds to a block. It has spaces, so that no
# parameter of an estimator can have it.
_TARGETS = "targets of all parts"


@dataclass(frozen=True)
class Divide:
    """A function that adds the targets of all parts to a block.

    Parameters
    ----------
    kind : Parts
        The rule that divides the bundle.
    bundle : estimator
        The bundle, without its parts.
    params : dict
        Parameters of its ``partial_fit`` that have no entry for each row.
    """

    kind: Parts
    bundle: Estimator
    params: Mapping[str, Any]

    def __call__(self, block: Block) -> Block:
        """Return the block with the targets too; unchanged if it has no rows.

        Raises
        ------
        ValueError
            If y holds an unknown class.
        """
        if n_rows(block["y"]) == 0:
            return block
        if self.params.get("classes") is not None:
            check_classes(block["y"], self.params["classes"])
        targets = self.kind.targets(self.bundle, block["y"])
        return block.replace(**{_TARGETS: targets})


def _undivided(block: Block) -> Block:
    pieces = {name: piece for name, piece in block.items() if name != _TARGETS}
    return Block(pieces, block.columns)


@dataclass(frozen=True)
class FitParts:
    """A function that fits some parts of a bundle on one batch.

    Parameters
    ----------
    learn : PartialFit
        What is done with the whole bundle.
    kind : Parts
        The rule that divides the bundle.
    numbers : sequence of int
        The numbers of the parts.
    """

    learn: PartialFit
    kind: Parts
    numbers: Sequence[int]

    def __call__(self, fitting: Fitting, batch: Block) -> Fitting:
        """Return the fitting after one more batch; its estimator is a list of parts."""
        params = self.learn.params
        selected = self.kind.select(batch["X"], batch[_TARGETS], self.numbers, params)
        batch = _undivided(batch)
        rounded = fitting.rounded
        for part, number, (X, y) in zip(
            fitting.estimator, self.numbers, selected, strict=True
        ):
            if n_rows(X):
                own = fitting._replace(estimator=part)
                learn = self._learn(number, part)
                rounded |= learn(own, batch.replace(X=X, y=y)).rounded
        rows = fitting.n_rows + n_rows(batch["X"])
        return fitting._replace(n_rows=rows, rounded=rounded)

    def _learn(self, number: int, part: Estimator) -> PartialFit:
        params = self.kind.params(self.learn.params, number, part)
        return replace(self.learn, params=params, passed=0)
