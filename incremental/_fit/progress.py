"""`Progress`: how far a fit has come, and the events that tell of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from incremental._estimators.copying import Travelling
from incremental._fit.step import Fitting

#: How many bytes describe a block.
DIGEST_SIZE = 16


@dataclass(frozen=True)
class Progress:
    """How far a fit has come, and all that its next step depends on. It pickles.

    Attributes
    ----------
    fitting : Fitting
    rng : numpy.random.RandomState
        Draws the blocks that are held out and the order of each pass.
    held_out : tuple of int
        Positions of the blocks that are never fitted.
    order : tuple of int
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
    history : tuple of dict
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
    held_out: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    place: int = 0
    digests: dict[int, bytes] = field(default_factory=dict)
    validation: dict[int, bytes] = field(default_factory=dict)
    before: Fitting | None = None
    seconds: float = 0.0
    history: tuple[dict[str, Any], ...] = ()
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

    @property
    def n_fitted(self) -> int:
        """How many blocks were fitted, over all passes."""
        return self.place + sum(int(record["blocks"]) for record in self.history)

    def all_digests(self) -> dict[int, bytes]:
        """Return what describes the blocks, with those of the pass under way."""
        found = self.fitting.digests
        starts = range(0, len(found), DIGEST_SIZE)
        parts = (found[at : at + DIGEST_SIZE] for at in starts)
        # A pass may have been stopped before its end.
        return {**self.digests, **dict(zip(self.order, parts, strict=False))}


class BlockFitted(NamedTuple):
    """Tells that a block is fitted.

    Attributes
    ----------
    progress : Progress
        Its fitting is that before the tasks under way.
    load : callable
        ``load()`` returns the fitting after the block, which may have to travel. It may
        not be changed.
    """

    progress: Progress
    load: Callable[[], Fitting]


class Observer(Protocol):
    """What is told of a fit on its way. It changes nothing of it."""

    def begin_pass(self, progress: Progress) -> None:
        """Hear that a pass begins, or goes on."""

    def end_block(self, event: BlockFitted) -> bool:
        """Hear that a block is fitted; return whether the pass is to stop."""
        ...

    def end_pass(self, progress: Progress) -> bool:
        """Hear that a pass is over; return whether the fit is to stop."""
        ...
