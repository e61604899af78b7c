"""`Search`: runs a table of rungs, all candidates on the same stream of blocks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from incremental._errors import noted
from incremental._fit.callbacks import FitTasks
from incremental._fit.checkpoints import Checkpoints
from incremental._fit.step import Fitting
from incremental._predict.scorers import Scorers
from incremental._predict.scoring import score_many
from incremental._search.candidates import Candidate, SearchState
from incremental._search.schedules import Bracket
from incremental._search.stream import Position, Run, Stream
from incremental._search.together import learn_together
from incremental._typing import Estimator


@dataclass(frozen=True)
class Search:
    """A search: its schedule, and how candidates are scored.

    Parameters
    ----------
    brackets : sequence of Bracket
    stream : Stream
        What candidates learn from.
    scorers : Scorers
    held_out : sequence of int
        The positions of the blocks to score on.
    error_score : float or None
        The score of a candidate that raises an error. If None, the error is raised.
    patience : int or None
        A candidate ends if its score has not risen by `tol` while it learned from that
        many blocks or batches.
    tol : float
    verbose : int
        Whether to print a line for each rung.
    checkpoints : Checkpoints or None
        None if there are none.
    tasks : FitTasks or None
        What tells callbacks of the rungs; None if there are none.
    """

    brackets: Sequence[Bracket]
    stream: Stream
    scorers: Scorers
    held_out: Sequence[int]
    error_score: float | None
    patience: int | None = None
    tol: float = 0.0
    verbose: int = 0
    checkpoints: Checkpoints | None = None
    tasks: FitTasks | None = None

    @property
    def rungs(self) -> list[int]:
        """After how many blocks or batches candidates are scored, in order."""
        return sorted({rung.calls for one in self.brackets for rung in one.rungs})

    def run(self, state: SearchState) -> None:
        """Let candidates learn until all are over. The state is changed."""
        began = time.perf_counter() - state.seconds
        if self.checkpoints is not None:
            self.checkpoints.begin_pass(state)
        left = [calls for calls in self.rungs if calls > state.decided]
        if self.tasks is not None:
            self.tasks.skip_rungs(len(self.rungs) - len(left))
        for calls in left:
            going = [one for one in state.candidates if not one.over]
            if not going:
                return
            if self.tasks is not None:
                self.tasks.begin_rung()
            self._learn(state, going, calls, began)
            state.n_read += self._decide(going, calls, began)
            state.decided = calls
            if self.verbose:
                self._tell(state, going, time.perf_counter() - began)
            if self.tasks is not None and self.tasks.end_rung(partial(_best, state)):
                self._stop(going, began)
            self._save(state, began)

    def _learn(
        self, state: SearchState, going: Sequence[Candidate], calls: int, began: float
    ) -> None:
        """Let candidates learn until they have taken so many blocks or batches."""
        every = None if self.checkpoints is None else self.checkpoints.every
        unsaved = 0
        while state.position.units < calls:
            able = [one for one in going if one.error is None]
            if not able:
                return
            for one in able:
                if not one.progress.order:
                    one.progress = one.passes.draw(one.progress)
            n_blocks = len(able[0].progress.order)
            run = self._run(state, able, calls, every and every - unsaved)
            state.position = run.end
            state.n_read += run.n_read
            if run.end.place == n_blocks:
                state.position = Position(units=run.end.units)
                for one in able:
                    if one.error is None:
                        self._end_pass(one)
            unsaved += len(run.order)
            if unsaved == every or self._is_asked_to_end():
                self._save(state, began)
                unsaved = 0

    def _run(
        self,
        state: SearchState,
        able: Sequence[Candidate],
        calls: int,
        n_blocks: int | None,
    ) -> Run:
        """Let candidates take the next rows, of so many blocks at most."""
        order = able[0].progress.order
        run = self.stream.next(order, state.position, calls, n_blocks)
        learned = learn_together(
            [one.learner.on(run.blocks) for one in able],
            [one.progress for one in able],
            run.order,
            None if self.checkpoints is None else self._is_asked_to_end,
        )
        if learned.n_blocks < len(run.order):
            run = self.stream.next(order, state.position, calls, learned.n_blocks)
        for one, (fitting, seconds, error) in zip(able, learned.states, strict=True):
            one.seconds, one.error = one.seconds + seconds, error
            if error is None:
                one.calls = run.end.units
                one.progress = replace(
                    one.progress, fitting=fitting, place=run.end.place
                )
        return run

    def _is_asked_to_end(self) -> bool:
        return self.checkpoints is not None and self.checkpoints.asked_to_end

    def _save(self, state: SearchState, began: float) -> None:
        """Save the state, if there are checkpoints; end the process if SIGTERM came."""
        if self.checkpoints is not None:
            state.seconds = time.perf_counter() - began
            state.n_fitted += 1
            self.checkpoints.save(state)
            self.checkpoints.end_pass(state)

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
        failed = math.nan if self.error_score is None else self.error_score
        if fittings:
            with noted("while scoring the blocks that are held out"):
                scored = score_many(
                    self.scorers,
                    [fitting.estimator for fitting in fittings.values()],
                    self.stream.blocks,
                    [self.held_out] * len(fittings),
                    may_fail=self.error_score is not None,
                )
            results = dict(zip(fittings, scored, strict=True))
        for one in due:
            scores, spent = dict.fromkeys(self.scorers.by_name, failed), 0.0
            if one.number in results:
                found, spent, errors = results[one.number]
                scores.update({**found, **dict.fromkeys(errors, failed)})
                one.error = errors.get(self.scorers.main)
            one.scores = scores
            one.history.append(
                {
                    "model_id": one.number,
                    "params": one.params,
                    "bracket": one.bracket,
                    "partial_fit_calls": one.calls,
                    "partial_fit_time": one.seconds,
                    **self.scorers.record(scores),
                    "score_time": spent,
                    "elapsed_wall_time": time.perf_counter() - began,
                }
            )
            one.seconds = 0.0
        return fittings

    def _stop(self, going: Sequence[Candidate], began: float) -> None:
        """End all candidates, each scored as it is now."""
        left = [one for one in going if not one.over]
        fittings = self._score([one for one in left if one.is_unscored], began)
        for one in left:
            one.over = True
            if one.error is None:
                fitting = fittings.get(one.number) or one.finished()
                one.progress = replace(one.progress, fitting=fitting)

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
        self, state: SearchState, going: Sequence[Candidate], seconds: float
    ) -> None:
        scores = [one.score for one in state.candidates if one.history]
        best = max((one for one in scores if not math.isnan(one)), default=math.nan)
        left = sum(not one.over for one in state.candidates)
        print(  # noqa: T201
            f"After {state.decided} {self.stream.unit}: {len(going)} candidates, "
            f"{left} go on, {state.n_read:,} blocks read, best score {best:.6g}, "
            f"{seconds:.1f} s"
        )


def _best(state: SearchState) -> Estimator:
    """Return the best candidate so far, as if it stopped now."""
    scored = [one for one in state.candidates if one.history and one.error is None]
    if not scored:
        raise ValueError("No candidate has a score: all that were scored have failed.")
    best: Estimator = max(scored, key=_merit).finished().estimator
    return best


def _merit(one: Candidate) -> tuple[bool, bool, float]:
    """Return what candidates are ranked by: their scores.

    Undefined ones come last, and after them candidates that failed.
    """
    undefined = math.isnan(one.score)
    return one.error is None, not undefined, 0.0 if undefined else one.score
