"""Several learners take the same blocks, and each block is read once for all."""

from __future__ import annotations

import copy
import time
import warnings
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from toolz import memoize

from incremental._blocks.block import Block
from incremental._errors import noted
from incremental._fit.chains import arrange
from incremental._fit.passes import Passes, begin
from incremental._fit.plan import FitPlan
from incremental._fit.progress import Progress
from incremental._fit.session import FitSession
from incremental._fit.step import Fitting
from incremental._fit.tokens import tokenize
from incremental._graph.blocks import Blocks
from incremental._graph.fold import Chain, Preparation, fold


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
    may_fail : bool, default=False
        Whether the others go on when it raises an error.
    uses : container of int, optional
        The positions of the blocks that it takes. By default all.
    """

    name: str
    session: FitSession
    pieces: tuple[str, ...]
    may_fail: bool = False
    uses: Container[int] | None = None

    def takes(self, position: int) -> bool:
        """Tell whether it takes the block at a position."""
        return self.uses is None or position in self.uses

    def on(self, blocks: Blocks) -> Learner:
        """Return the learner for other blocks."""
        return self._replace(session=replace(self.session, blocks=blocks))


class Learned(NamedTuple):
    """The state of the chain of a learner.

    Attributes
    ----------
    fitting : Fitting
        What it has learned. Rows that do not fill a batch wait in it.
    seconds : float
        How long its steps took.
    error : str or None
        The error that it raised, if it may fail. It has learned nothing since.
    """

    fitting: Fitting
    seconds: float = 0.0
    error: str | None = None


class Fitted(NamedTuple):
    """What has become of a learner in all of its passes.

    Attributes
    ----------
    progress : Progress
        How far it has come.
    seconds : float
        How long its steps took.
    error : str or None
        The error that ended its fit, if it may fail.
    """

    progress: Progress
    seconds: float = 0.0
    error: str | None = None


class Failure(NamedTuple):
    """What the preparation of a block yields if it raised an error."""

    error: str


class Together(NamedTuple):
    """What several learners have learned.

    Attributes
    ----------
    states : list of Learned
        The last state of each of them.
    n_blocks : int
        How many blocks they have taken.
    """

    states: list[Learned]
    n_blocks: int


def fit_together(
    learners: Sequence[Learner],
    passes: Sequence[Passes],
    rng: np.random.RandomState,
    tell: Callable[[int, Progress], object] | None = None,
) -> list[Fitted]:
    """Let learners make all of their passes beside each other.

    Parameters
    ----------
    learners : sequence of Learner
    passes : sequence of Passes
        Those of each learner.
    rng : numpy.random.RandomState
        Draws the order of all blocks for each pass. A learner takes those that it
        uses in this order.
    tell : callable, optional
        ``tell(number, progress)`` is called when a learner has ended a pass.

    Returns
    -------
    list of Fitted
        In the order of the learners.
    """
    # One generator for all of them, so that they draw the same orders.
    ends = [
        Fitted(begin(one.n_blocks, Fitting(None), copy.deepcopy(rng))) for one in passes
    ]
    while going := [
        at
        for at, end in enumerate(ends)
        if end.error is None and not passes[at].is_over(end.progress)
    ]:
        began = time.perf_counter()
        drawn = [passes[at].draw(ends[at].progress) for at in going]
        order = [
            one
            for one in drawn[0].order
            if any(learners[at].takes(one) for at in going)
        ]
        drawn = [
            replace(one, order=tuple(filter(learners[at].takes, one.order)))
            for at, one in zip(going, drawn, strict=True)
        ]
        learned = learn_together([learners[at] for at in going], drawn, order)
        for at, progress, state in zip(going, drawn, learned.states, strict=True):
            spent = ends[at].seconds + state.seconds
            reached = replace(
                progress, fitting=state.fitting, place=len(progress.order)
            )
            ends[at] = Fitted(reached, spent, state.error)
            if state.error is None:
                seconds = time.perf_counter() - began
                ends[at] = _closed(learners[at], passes[at], ends[at], seconds)
            if tell is not None and ends[at].error is None:
                tell(at, ends[at].progress)
    return ends


def _closed(learner: Learner, passes: Passes, end: Fitted, seconds: float) -> Fitted:
    """Return a learner at the end of a pass, when no row waits any longer."""
    try:
        with noted(f"while fitting {learner.name}"):
            return end._replace(progress=passes.close(end.progress, seconds))
    except Exception as error:
        if not learner.may_fail:
            raise
        return end._replace(error=f"{type(error).__name__}: {error}")


def learn_together(
    learners: Sequence[Learner],
    progresses: Sequence[Progress],
    order: Sequence[int],
    stop: Callable[[], bool] | None = None,
) -> Together:
    """Let learners take some blocks in one order. Each block is read once for all.

    Parameters
    ----------
    learners : sequence of Learner
    progresses : sequence of Progress
        How far each of them has come.
    order : sequence of int
        The positions of the blocks.
    stop : callable, optional
        ``stop()`` tells after each block whether to take no more. It is not called on a
        cluster, where the states of all learners would have to meet for it.

    Returns
    -------
    Together
        In the order of the learners.
    """
    plans = _plans(learners, progresses)
    ahead = [
        one.session.look_ahead(plan, len(order))
        for one, (plan, _) in zip(learners, plans, strict=True)
    ]
    blocks = learners[0].session.blocks
    n_blocks = len(order)

    def watch(place: int, load: Callable[[], list[Learned]]) -> bool:
        nonlocal n_blocks
        ends = stop is not None and stop()
        if ends:
            n_blocks = place + 1
        return ends

    # scikit-learn changes the filters of warnings while a classifier of several classes
    # learns. Two that do it in two threads would leave them changed.
    with warnings.catch_warnings():
        states = fold(
            blocks,
            _chains(learners, plans, progresses),
            order=order,
            prefetch=min(prefetch for prefetch, _ in ahead),
            together=min(together for _, together in ahead),
            watch=None if stop is None or blocks.scheduler.is_remote else watch,
        )
    arrived = [
        state._replace(fitting=learner.session.arrived(state.fitting))
        for learner, state in zip(learners, states, strict=True)
    ]
    return Together(arrived, n_blocks)


def _plans(
    learners: Sequence[Learner], progresses: Sequence[Progress]
) -> list[tuple[FitPlan, Any]]:
    """Return the plan of each learner, and what it shares its preparation by.

    That is equal for learners whose X goes through equal steps. It is None for those
    that have no steps that others have.
    """
    plans = [
        one.session.plan(progress)
        for one, progress in zip(learners, progresses, strict=True)
    ]
    # Candidates that were cloned share what is frozen. So it is described once.
    describe = memoize(_described, key=lambda args, _: id(args[0]))
    steps = [
        (plan.in_parts, one.pieces, *map(describe, plan.steps)) if plan.steps else None
        for one, plan in zip(learners, plans, strict=True)
    ]
    often = Counter(steps)
    shared = [key if key is not None and often[key] > 1 else None for key in steps]
    return list(zip(plans, shared, strict=True))


def _described(step: Any) -> str:
    """Return a text that is equal for equal steps."""
    try:
        return tokenize(step)
    except TypeError:
        # It cannot be compared with others.
        return f"object {id(step)}"


def _chains(
    learners: Sequence[Learner],
    plans: Sequence[tuple[FitPlan, Any]],
    progresses: Sequence[Progress],
) -> list[Chain[Learned]]:
    """Return the chain of each learner. Equal preparations are the same object."""
    n_threads = learners[0].session.blocks.scheduler.n_threads
    shared: dict[Any, Preparation] = {}
    chains = []
    for one, (plan, key), progress in zip(learners, plans, progresses, strict=True):
        # A learner that is not alone has one chain, also if it is a bundle.
        (chain,) = arrange(plan, one.session.fresh, progress.fitting, None).chains
        takes_all = set(one.pieces) == set(plan.blocks.names)
        pieces = None if takes_all else one.pieces
        prepare, step = chain.prepare, chain.step
        if prepare is not None and key is not None:
            call = _Prepare(_ALL, prepare.function, pieces, one.may_fail)
            prepare = shared.setdefault(key, prepare._replace(function=call))
            pieces = None
        elif prepare is not None and (plan.merged or len(learners) < n_threads):
            call = _Prepare(one.name, prepare.function, pieces, one.may_fail)
            prepare, pieces = prepare._replace(function=call), None
        elif prepare is not None:
            # There are chains for all threads, and no need to hold what each of them
            # makes of several blocks.
            step = _PreparedStep(prepare.function, step)
            prepare = None
        learn = _Learn(one.name, step, pieces, one.may_fail)
        chains.append(Chain(Learned(chain.start), learn, one.uses, chain.name, prepare))
    return chains


# What error messages call several learners.
_ALL = "all whose X goes through the same steps"


@dataclass(frozen=True)
class _PreparedStep:
    """A step that prepares the block itself.

    Parameters
    ----------
    prepare : callable
        ``prepare(block)``
    step : callable
        ``step(fitting, block)``, which takes what that returns.
    """

    prepare: Callable[[Block], Any]
    step: Callable[[Fitting, Any], Fitting]

    def __call__(self, fitting: Fitting, block: Block) -> Fitting:
        """Return the fitting after one more block."""
        return self.step(fitting, self.prepare(block))


@dataclass(frozen=True)
class _Call:
    """A function of blocks, for one of several learners.

    Parameters
    ----------
    name : str
        What error messages call the learner.
    function : callable
    pieces : tuple of str or None
        The pieces of the block that the function gets. None if it gets all.
    may_fail : bool
        Whether an error is returned and not raised.
    """

    name: str
    function: Callable[..., Any]
    pieces: tuple[str, ...] | None
    may_fail: bool

    def _take(self, block: Any, *state: Any) -> Any:
        """Call the function; return a `Failure` if it raises an error and may."""
        taken = block
        if self.pieces is not None and isinstance(block, Block):
            taken = block.only(self.pieces)
        try:
            with noted(f"while fitting {self.name}"):
                return self.function(*state, taken)
        except Exception as error:
            if not self.may_fail:
                raise
            return Failure(f"{type(error).__name__}: {error}")


class _Prepare(_Call):
    """What is done to a block before a learner takes it."""

    def __call__(self, block: Block) -> Any:
        """Return what the step takes."""
        return self._take(block)


class _Learn(_Call):
    """The step of a learner."""

    def __call__(self, state: Learned, block: Any) -> Learned:
        """Return the state after one more block; as it is after an error."""
        if state.error is not None:
            return state
        began = time.perf_counter()
        result = block
        if not isinstance(block, Failure):
            result = self._take(block, state.fitting)
        if isinstance(result, Failure):
            return state._replace(error=result.error)
        return Learned(result, state.seconds + time.perf_counter() - began)
