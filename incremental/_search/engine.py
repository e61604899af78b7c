"""`Search`: runs a table of rungs, all candidates on the same stream of blocks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from incremental._errors import noted
from incremental._estimators.copying import copy_estimator
from incremental._fit.passes import Passes
from incremental._fit.progress import Progress
from incremental._fit.step import Fitting
from incremental._predict.scorers import Scorers
from incremental._predict.scoring import score_many
from incremental._search.schedules import Bracket
from incremental._search.together import Learner, learn_together


@dataclass
class Candidate:
    """One of the candidates of a search, and how far it has come.

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
        How many blocks it has learned from.
    seconds : float
        How long it has learned since it was last scored.
    error : str or None
        The error that ended it.
    over : bool
        Whether it learns no more.
    history : list of dict
        A record of each time that it was scored.
    """

    number: int
    params: dict[str, Any]
    bracket: int
    learner: Learner
    passes: Passes
    progress: Progress
    calls: int = 0
    seconds: float = 0.0
    error: str | None = None
    over: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Its last score."""
        return float(self.history[-1]["score"])

    def finished(self) -> Fitting:
        """Return what it would be if it stopped now, when no row waits any longer."""
        fitting = self.progress.fitting
        if not (fitting.waiting.n_rows or fitting.mixing.shares):
            return fitting
        copied = fitting._replace(estimator=copy_estimator(fitting.estimator))
        with noted(f"while fitting {self.learner.name}"):
            return self.learner.session.end_rows(replace(self.progress, fitting=copied))


@dataclass(frozen=True)
class Search:
    """A search: its schedule, and how candidates are scored.

    Parameters
    ----------
    brackets : sequence of Bracket
    scorers : Scorers
    held_out : sequence of int
        The positions of the blocks to score on.
    error_score : float or None
        The score of a candidate that raises an error. If None, the error is raised.
    patience : int or None
        A candidate ends if its score has not risen by `tol` over that many blocks.
    tol : float
    verbose : int
        Whether to print a line for each rung.
    """

    brackets: Sequence[Bracket]
    scorers: Scorers
    held_out: Sequence[int]
    error_score: float | None
    patience: int | None = None
    tol: float = 0.0
    verbose: int = 0

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Let candidates learn until all are over."""
        began = time.perf_counter()
        reached = n_read = 0
        for calls in sorted(
            {rung.calls for one in self.brackets for rung in one.rungs}
        ):
            if not any(not one.over for one in candidates):
                return
            going = [one for one in candidates if not one.over]
            n_read += self._learn(going, calls - reached)
            reached = calls
            n_read += self._decide(going, calls, began)
            if self.verbose:
                self._tell(
                    candidates, going, calls, n_read, time.perf_counter() - began
                )

    def _learn(self, going: Sequence[Candidate], n_blocks: int) -> int:
        """Let candidates take the next blocks; return how many were read."""
        left = n_blocks
        while left and (able := [one for one in going if one.error is None]):
            for one in able:
                if not one.progress.order:
                    one.progress = one.passes.draw(one.progress)
            lead = able[0].progress
            order = lead.order[lead.place : lead.place + left]
            learned = learn_together(
                [one.learner for one in able], [one.progress for one in able], order
            )
            left -= len(order)
            for one, (fitting, seconds, error) in zip(able, learned, strict=True):
                one.seconds, one.error = one.seconds + seconds, error
                if error is not None:
                    continue
                one.calls += len(order)
                place = one.progress.place + len(order)
                one.progress = replace(one.progress, fitting=fitting, place=place)
                if place == len(one.progress.order):
                    self._end_pass(one)
        return n_blocks - left

    def _end_pass(self, one: Candidate) -> None:
        try:
            with noted(f"while fitting {one.learner.name}"):
                one.progress = one.passes.close(one.progress, 0.0)
        except Exception as error:
            self._fail(one, error)

    def _fail(self, one: Candidate, error: Exception) -> None:
        if self.error_score is None:
            raise error
        one.error = f"{type(error).__name__}: {error}"

    def _decide(self, going: Sequence[Candidate], calls: int, began: float) -> int:
        """Score those whose rung it is, end some; return how many blocks it took."""
        keeps = {
            one.number: rung.keep
            for one in self.brackets
            for rung in one.rungs
            if rung.calls == calls
        }
        due = [one for one in going if one.bracket in keeps]
        fittings = self._score(due, began)
        for number, keep in keeps.items():
            rivals = [one for one in due if one.bracket == number]
            ranked = sorted(rivals, key=_merit, reverse=True)
            ended = [] if keep is None else ranked[keep:]
            for one in rivals:
                if one in ended or one.error is not None or self._is_stale(one):
                    one.over = True
                    fitting = fittings.get(one.number, one.progress.fitting)
                    one.progress = replace(one.progress, fitting=fitting)
        return len(self.held_out) if fittings else 0

    def _score(self, due: Sequence[Candidate], began: float) -> dict[int, Fitting]:
        """Score candidates in one read, and return what they are, by their numbers."""
        fittings: dict[int, Fitting] = {}
        for one in due:
            if one.error is None:
                try:
                    fittings[one.number] = one.finished()
                except Exception as error:
                    self._fail(one, error)
        results = {}
        if fittings:
            with noted("while scoring the blocks that are held out"):
                scored = score_many(
                    self.scorers,
                    [fitting.estimator for fitting in fittings.values()],
                    due[0].learner.session.blocks,
                    self.held_out,
                    may_fail=self.error_score is not None,
                )
            results = dict(zip(fittings, scored, strict=True))
        for one in due:
            score, spent = self.error_score, 0.0
            if one.number in results:
                scores, spent, failure = results[one.number]
                score = scores[self.scorers.main]
                if failure is not None:
                    score, one.error = self.error_score, failure
            one.history.append(
                {
                    "model_id": one.number,
                    "params": one.params,
                    "bracket": one.bracket,
                    "partial_fit_calls": one.calls,
                    "partial_fit_time": one.seconds,
                    "score": score,
                    "score_time": spent,
                    "elapsed_wall_time": time.perf_counter() - began,
                }
            )
            one.seconds = 0.0
        return fittings

    def _is_stale(self, one: Candidate) -> bool:
        """Tell whether a score has not risen enough over the last blocks."""
        if self.patience is None:
            return False
        since = one.calls - self.patience
        old = [at for at in one.history if at["partial_fit_calls"] <= since]
        if not old:
            return False
        later = one.history[len(old) :]
        best = max((at["score"] for at in later), default=-math.inf)
        return not best >= old[-1]["score"] + self.tol

    def _tell(
        self,
        candidates: Sequence[Candidate],
        going: Sequence[Candidate],
        calls: int,
        n_read: int,
        seconds: float,
    ) -> None:
        scores = [one.score for one in candidates if one.history]
        best = max((one for one in scores if not math.isnan(one)), default=math.nan)
        left = sum(not one.over for one in candidates)
        print(  # noqa: T201
            f"After {calls} blocks: {len(going)} candidates, {left} go on, "
            f"{n_read:,} blocks read, best score {best:.6g}, {seconds:.1f} s"
        )


def _merit(one: Candidate) -> tuple[bool, float]:
    """Return what candidates are ranked by: their scores, undefined ones last."""
    undefined = math.isnan(one.score)
    return not undefined, 0.0 if undefined else one.score
