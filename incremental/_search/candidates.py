"""`Candidate` and `SearchState`: how far a search has come, with all to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from incremental._errors import noted
from incremental._estimators.copying import copy_estimator
from incremental._fit.passes import Passes
from incremental._fit.progress import Progress
from incremental._fit.step import Fitting
from incremental._search.stream import START, Position
from incremental._search.together import Learner


@dataclass
class Candidate:
    """One of the candidates of a search, and how far it has come.

    A pickle of it has no `learner` and no `passes`.

    Attributes
    ----------
    number : int
    params : dict
        The parameters that it has been given.
    bracket : int
        The number of its bracket.
    learner : Learner
    passes : Passes
        Its passes, without a limit.
    progress : Progress
        How far it has come. If it is over, rows that waited are fitted.
    calls : int
        How many blocks or batches it has learned from.
    seconds : float
        How long it has learned since it was last scored.
    error : str or None
        The error that ended it.
    over : bool
        Whether it learns no more.
    scores : dict of str to float
        Its last scores, by the names of the scorers.
    history : list of dict
        A record of each time that it was scored.
    """

    number: int
    params: dict[str, Any]
    bracket: int
    learner: Learner = field(init=False)
    passes: Passes = field(init=False)
    progress: Progress = field(init=False)
    calls: int = 0
    seconds: float = 0.0
    error: str | None = None
    over: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled."""
        kept = vars(self).items()
        return {name: one for name, one in kept if name not in ("learner", "passes")}

    @property
    def score(self) -> float:
        """Its last score, by the scorer that decides."""
        return float(self.history[-1]["score"])

    @property
    def is_unscored(self) -> bool:
        """Whether it has learned since it was last scored, or was never scored."""
        return not self.history or self.history[-1]["partial_fit_calls"] != self.calls

    def finished(self) -> Fitting:
        """Return what it would be if it stopped now, when no row waits any longer."""
        fitting = self.progress.fitting
        if not (fitting.waiting.n_rows or fitting.mixing.shares):
            return fitting
        copied = fitting._replace(estimator=copy_estimator(fitting.estimator))
        with noted(f"while fitting {self.learner.name}"):
            return self.learner.session.end_rows(replace(self.progress, fitting=copied))


@dataclass
class SearchState:
    """How far a search has come. It can be pickled.

    Attributes
    ----------
    candidates : list of Candidate
    seed : int
        Draws the blocks that are held out and the order of the others.
    position : Position
        Where the stream is.
    decided : int
        The last rung that is over, by its calls.
    n_read : int
        How many blocks were read, also to be scored on.
    seconds : float
        How long the search has taken.
    digests : dict of int to bytes
        The digests of some blocks, by position, if there are checkpoints.
    n_fitted : int
        How often it was saved.
    """

    candidates: Sequence[Candidate]
    seed: int
    position: Position = START
    decided: int = 0
    n_read: int = 0
    seconds: float = 0.0
    digests: dict[int, bytes] = field(default_factory=dict)
    n_fitted: int = 0

    def manifest(self) -> dict[str, Any]:
        """Return what a reader of a checkpoint sees without unpickling it."""
        return {"calls": self.position.units, "candidates": len(self.candidates)}

    def arrived(self) -> SearchState:
        """Return it ready to go on, after it was unpickled."""
        for one in self.candidates:
            one.progress = one.progress.arrived()
        return self
