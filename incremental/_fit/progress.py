"""`Progress`: how far a fit has come. `Observer`: an object that is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from incremental._estimators.copying import Travelling, copy_estimator
from incremental._fit.step import Fitting
from incremental._typing import Estimator

#: The number of bytes of a digest.
DIGEST_SIZE = 16


@dataclass(frozen=True)
class Progress:
    """A record of how far a fit has come, with all that it needs to go on.

    It can be pickled.

    Attributes
    ----------
    fitting : Fitting
        The estimator, with counts of what it has learned from.
    rng : numpy.random.RandomState
        Draws the blocks that are held out and the order of each pass.
    held_out : tuple of int
        Positions of the blocks that are never fitted.
    order : tuple of int
        Positions of the blocks of the current pass, in order; empty between passes.
    place : int
        The place of the next block in the order of the current pass. This is also how
        many blocks of the pass are fitted.
    digests : dict of int to bytes
        The digests of the blocks that were read, by position, if there are
        checkpoints. Those of the current pass are in `fitting`.
    validation : dict of int to bytes
        The digests of some blocks of the validation data, by position, if there are
        checkpoints.
    before : Fitting or None
        The fitting at the beginning of the current pass, without its estimator. Its
        counts are subtracted from those at the end.
    seconds : float
        How long the current pass has taken.
    history : tuple of dict
        The record of each finished pass.
    best : estimator or None
        A copy of the estimator after the pass with the best validation score.
    best_score : float
        The validation score of `best`.
    best_merit : float
        The best score, or minus the lowest loss, of a pass so far. A pass has to
        exceed it, by more than `tol`, to count as progress.
    stale : int
        How many passes in a row have brought no progress.
    stop : bool
        Whether an observer stopped the current pass or, between passes, the fit.
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
    best: Estimator | None = None
    best_score: float = -math.inf
    best_merit: float = -math.inf
    stale: int = 0
    stop: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled. The best estimator keeps its memory layout."""
        return {**vars(self), "best": Travelling(self.best)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the pickled attributes."""
        vars(self).update({**state, "best": state["best"].value})

    @property
    def n_fitted(self) -> int:
        """How many blocks were fitted, over all passes."""
        return self.place + sum(int(record["blocks"]) for record in self.history)

    def manifest(self) -> dict[str, Any]:
        """Return what a reader of a checkpoint sees without unpickling it."""
        return {
            "pass": len(self.history) + 1,
            "place": self.place,
            "order": list(self.order),
        }

    def arrived(self) -> Progress:
        """Return it ready to go on, after it was unpickled."""
        estimator = copy_estimator(self.fitting.estimator)
        fitting = self.fitting._replace(estimator=estimator)
        best = None if self.best is None else copy_estimator(self.best)
        return replace(self, fitting=fitting, best=best)

    def all_digests(self) -> dict[int, bytes]:
        """Return all known digests by position, with those of the current pass."""
        found = self.fitting.digests
        starts = range(0, len(found), DIGEST_SIZE)
        parts = (found[at : at + DIGEST_SIZE] for at in starts)
        # A pass may have been stopped before its end.
        return {**self.digests, **dict(zip(self.order, parts, strict=False))}


class BlockFitted(NamedTuple):
    """The event that a block is fitted.

    Attributes
    ----------
    progress : Progress
        How far the fit has come. Its `fitting` may be older than this block.
    load : callable
        ``load()`` returns the fitting after the block. On a cluster it is fetched
        from a worker. It must not be changed.
    """

    progress: Progress
    load: Callable[[], Fitting]


class Observer(Protocol):
    """An object that is told of the progress of a fit, and may stop it."""

    def begin_pass(self, progress: Progress) -> None:
        """Be told that a pass begins or is resumed."""

    def end_block(self, event: BlockFitted) -> bool:
        """Be told that a block is fitted; return whether the pass is to stop."""
        ...

    def end_pass(self, progress: Progress) -> bool:
        """Be told that a pass is over; return whether the fit is to stop."""
        ...
