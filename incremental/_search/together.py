"""`learn_together`: several learners take the same blocks, each read once for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from incremental._blocks.block import Block
from incremental._errors import noted
from incremental._fit.chains import Arrangement, arrange
from incremental._fit.plan import FitPlan
from incremental._fit.progress import Progress
from incremental._fit.session import FitSession
from incremental._fit.step import Fitting
from incremental._graph.blocks import Blocks
from incremental._graph.fold import Chain, fold


class Learner(NamedTuple):
    """One of several learners.

    Attributes
    ----------
    name : str
        What error messages call it.
    session : FitSession
        Its fit. The sessions of all learners have the same blocks and are not alone.
    pieces : tuple of str
        The names of the pieces of a block that it learns from.
    """

    name: str
    session: FitSession
    pieces: tuple[str, ...]


def learn_together(
    learners: Sequence[Learner], progresses: Sequence[Progress], order: Sequence[int]
) -> list[Fitting]:
    """Let learners take some blocks in one order. Each block is read once for all.

    Parameters
    ----------
    learners : sequence of Learner
    progresses : sequence of Progress
        How far each of them has come.
    order : sequence of int
        The positions of the blocks.

    Returns
    -------
    list of Fitting
        The last state of each learner, in their order. Rows that do not fill a batch
        wait in it.
    """
    blocks = learners[0].session.blocks
    plans = [
        one.session.plan(progress)
        for one, progress in zip(learners, progresses, strict=True)
    ]
    arranged = [
        _arrange(learner, plan, progress)
        for learner, plan, progress in zip(learners, plans, progresses, strict=True)
    ]
    ahead = [
        one.session.look_ahead(plan, len(order))
        for one, plan in zip(learners, plans, strict=True)
    ]
    states = iter(
        fold(
            blocks,
            [chain for one in arranged for chain in one.chains],
            order=order,
            prefetch=min(prefetch for prefetch, _ in ahead),
            together=min(together for _, together in ahead),
        )
    )
    return [
        learner.session.arrived(one.join([next(states) for _ in one.chains]))
        for learner, one in zip(learners, arranged, strict=True)
    ]


def _arrange(learner: Learner, plan: FitPlan, progress: Progress) -> Arrangement:
    """Return the chains of a learner, which name it in errors."""
    arranged = arrange(plan, learner.session.fresh, progress.fitting, None)
    named = partial(Named, learner.name)
    chosen = _chosen(learner, plan.blocks)
    # All chains of an arrangement share one preparation, or have none.
    prepare = arranged.chains[0].prepare
    if prepare is not None:
        prepare = prepare._replace(function=named(prepare.function, pieces=chosen))
        chosen = None
    chains: list[Chain[Fitting]] = [
        one._replace(step=named(one.step, pieces=chosen), prepare=prepare)
        for one in arranged.chains
    ]
    return Arrangement(chains, arranged.join, arranged.finish)


def _chosen(learner: Learner, blocks: Blocks) -> tuple[str, ...] | None:
    """Return the pieces that a learner takes of a block; None if it takes all."""
    return None if set(learner.pieces) == set(blocks.names) else learner.pieces


@dataclass(frozen=True)
class Named:
    """A function whose last argument is a block, for one of several learners.

    Parameters
    ----------
    name : str
        What error messages call the learner.
    function : callable
    pieces : tuple of str or None
        The pieces of the block that the function gets. None if it gets all.
    """

    name: str
    function: Callable[..., Any]
    pieces: tuple[str, ...] | None = None

    def __call__(self, *args: Any) -> Any:
        """Call the function. An error has a note that names the learner."""
        with noted(f"while fitting {self.name}"):
            if self.pieces is None:
                return self.function(*args)
            *others, block = args
            taken: Block = block
            return self.function(*others, taken.only(self.pieces))
