"""`BaseSearch`: what the searches have in common, all but their schedule."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import check_random_state

from incremental._blocks.collections import as_collection, check_kinds, is_lazy
from incremental._blocks.labelled import all_without_labels, feature_labels
from incremental._estimators.float_types import warn_of_rounding
from incremental._estimators.sklearn_types import CallbackSupportMixin, with_callbacks
from incremental._estimators.traits import has_callbacks
from incremental._fit.batches import rows_of_batch
from incremental._fit.callbacks import FitTasks
from incremental._fit.checkpoints import (
    Checkpoints,
    describe_rows,
    fingerprint,
    pickled,
)
from incremental._fit.digests import check_digests, digests_of_some
from incremental._fit.parameters import check_checkpoint
from incremental._fit.progress import Progress
from incremental._fit.step import Fitting
from incremental._fit_many import check_alike, check_together, open_together
from incremental._graph.blocks import Blocks
from incremental._graph.held import hold
from incremental._graph.schedulers import active_scheduler
from incremental._incremental import Incremental
from incremental._parallel_post_fit import ParallelPostFit, beside_in_memory
from incremental._predict.by_block import own_score
from incremental._predict.scorers import Scorers, as_scorers
from incremental._search.candidates import Candidate, SearchState
from incremental._search.engine import Search
from incremental._search.results import history_of, results_of, work_of
from incremental._search.schedules import Bracket, scored_every
from incremental._search.stream import Stream
from incremental._typing import Scoring

# A search makes as many passes as its schedule takes.
_OF_THE_SEARCH: Mapping[str, Any] = {
    "max_iter": 1,
    "tol": None,
    "scoring": None,
    "refit": None,
    "checkpoint": None,
}
# Parameters of a search that its result does not depend on.
_WITHOUT_EFFECT = {"verbose", "checkpoint", "checkpoint_every", "keep_checkpoint"}


class BaseSearch(CallbackSupportMixin, ParallelPostFit):
    """What the searches have in common: all but their schedule."""

    _routes = {"fit": "partial_fit", "score": "score"}  # noqa: RUF012

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        *,
        test_size: float | None,
        patience: bool | int,
        tol: float,
        random_state: Any,
        scoring: Scoring,
        refit: str | None,
        verbose: int,
        error_score: Any,
        checkpoint: Any,
        checkpoint_every: int,
        keep_checkpoint: bool,
    ) -> None:
        super().__init__(estimator, scoring=scoring)
        self.parameters = parameters
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.refit = refit
        self.verbose = verbose
        self.error_score = error_score
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.keep_checkpoint = keep_checkpoint

    @abstractmethod
    def _brackets(self) -> list[Bracket]:
        """Return the schedule, without the scores for patience alone."""

    @abstractmethod
    def _most(self) -> int:
        """Return how much of the schedule ``patience=True`` waits."""

    @property
    def best_estimator_(self) -> Any:
        """The best candidate: an `Incremental` if `estimator` is one."""
        return self.estimator_

    @with_callbacks
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search for the best parameters.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
            It needs at least two blocks, since whole blocks are held out. The rows of
            data in memory are mixed and cut into ten blocks or more.
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
        **params
            Arguments of ``partial_fit``, as for `Incremental.fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator has no ``partial_fit``, or no score that is computed block
            by block while `scoring` is None.
        ValueError
            If a parameter is out of its range, if X has a single block, if all
            candidates fail, if a checkpoint is of another search, or for the reasons
            for which `Incremental.fit` raises it.
        PermissionError, RuntimeError
            As `Incremental.fit` does, for `checkpoint`.
        """
        self._check()
        labels = feature_labels(X)
        X, y, params = all_without_labels(X, y, params)
        check_kinds({"X": X, "y": y})
        X, y, params = beside_in_memory(X, y, params)
        if y is None and self.scoring is None and own_score(self._learns).needs_y:
            raise ValueError(
                "y must be given to score candidates by their own `score`, got None. "
                "Pass y, or a `scoring` that needs none."
            )
        checkpoints = self._open_checkpoints(X, y, params)
        with nullcontext() if checkpoints is None else checkpoints:
            state = None if checkpoints is None else checkpoints.load()
            state, resumed = state or self._draw(), state is not None
            wrappers, search = self._open(state, X, y, params, checkpoints)
            if resumed:
                check_digests(search.stream.blocks, state.digests)
            elif checkpoints is not None:
                state.digests = _digests(search)
            tasks = FitTasks(self, len(search.rungs), X, y)
            watched = tasks if has_callbacks(self) else None
            replace(search, tasks=watched).run(state)
            if checkpoints is not None:
                checkpoints.mark_finished(state, keep=self.keep_checkpoint)
            self._tell_of_failures(state.candidates)
            tasks.end_fit(self._winner(state)[1].progress.fitting)
            self._commit(state, wrappers, labels)
            if checkpoints is not None:
                checkpoints.finish(keep=self.keep_checkpoint)
        return self

    def _draw(self) -> SearchState:
        """Draw the candidates of a new search."""
        rng = check_random_state(self.random_state)
        drawn = [
            (bracket.number, chosen)
            for bracket in self._brackets()
            for chosen in self._sample(bracket.n_models, rng)
        ]
        candidates = [
            Candidate(at, chosen, number) for at, (number, chosen) in enumerate(drawn)
        ]
        return SearchState(candidates, int(rng.randint(2**31)))

    def _open(
        self,
        state: SearchState,
        X: Any,
        y: Any,
        params: dict[str, Any],
        checkpoints: Checkpoints | None,
    ) -> tuple[list[Incremental], Search]:
        """Return a wrapper for each candidate, and the search that they are in.

        Parameters
        ----------
        state : SearchState
            Its candidates get what they need to learn.
        X, y, params
            As for `fit`, without labels.
        checkpoints : Checkpoints or None
        """
        candidates = state.candidates
        wrappers = [self._wrapper(one.params) for one in candidates]
        names = [f"candidate {one.number} ({one.params})" for one in candidates]
        for name, wrapper in zip(names, wrappers, strict=True):
            check_alike(names[0], wrappers[0], name, wrapper)
        rng = np.random.RandomState(state.seed)
        opened = open_together(
            wrappers, names, X, y, params, reads_y=True, cut=partial(_cut, rng=rng)
        )
        session = opened[0][0].session
        stream = Stream(session.blocks, session.options.batch_size)
        share = self.test_size
        if share is None and not is_lazy(X):
            share = _SHARE_IN_MEMORY
        held_out = _hold_out(stream.blocks, share, rng)
        # Nothing is learned from them. A candidate may be scored after its first block.
        empty = [at for at, n in enumerate(stream.blocks.n_rows or ()) if not n]
        # One generator for all of them, so that they draw the same orders.
        order = np.random.RandomState(rng.randint(2**31))
        may_fail = self.error_score != "raise"
        for one, learner, passes in zip(candidates, *opened, strict=True):
            one.learner = learner._replace(may_fail=may_fail)
            one.passes = passes
            if not hasattr(one, "progress"):
                own = copy.deepcopy(order)
                one.progress = Progress(Fitting(None), own, (*held_out, *empty))
        search = Search(
            self._brackets(),
            stream,
            self._scorers(),
            held_out,
            float(self.error_score) if may_fail else None,
            self._patience(),
            self.tol,
            self.verbose,
            checkpoints,
        )
        return wrappers, search

    def _commit(
        self, state: SearchState, wrappers: list[Incremental], labels: list[str] | None
    ) -> None:
        """Set the attributes that a search learns.

        Parameters
        ----------
        state : SearchState
            The state at its end.
        wrappers : list of Incremental
            One for each candidate.
        labels : list of str or None
            The features of X, if it is of xarray.
        """
        results, winner = self._winner(state)
        best, wrapper = winner.number, wrappers[winner.number]
        progress = winner.progress
        if progress.fitting.rounded:
            warn_of_rounding()
        wrapper._commit(progress, list(progress.history), labels)
        own = isinstance(self.estimator, Incremental)
        found = {
            "estimator_": wrapper if own else wrapper.estimator_,
            "cv_results_": results,
            "best_index_": best,
            "best_params_": winner.params,
            "best_score_": winner.score,
            "history_": history_of(state.candidates),
            "model_history_": {one.number: one.history for one in state.candidates},
            "n_splits_": 1,
            "scorer_": self._scorer(),
            "metadata_": work_of(self._brackets(), state.candidates),
            "_labels": labels,
        }
        # All attributes change in one call, which nothing can interrupt.
        self.__dict__.update(found)

    def _winner(self, state: SearchState) -> tuple[dict[str, Any], Candidate]:
        """Return ``cv_results_``, and the candidate that is the best."""
        results = results_of(state.candidates)
        ranks = results[f"rank_test_{self._scorers().main}"]
        # A candidate that failed may rank first by its `error_score`.
        able = [one for one in state.candidates if one.error is None]
        return results, min(able, key=lambda one: int(ranks[one.number]))

    def _open_checkpoints(
        self, X: Any, y: Any, params: Mapping[str, Any]
    ) -> Checkpoints | None:
        """Return the checkpoints of a search on these data; None if none are kept."""
        if self.checkpoint is None:
            return None
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in _WITHOUT_EFFECT
        }
        parameters["parameters"] = _as_values(self.parameters)
        pickled((self.estimator, self.parameters))
        given = {"X": X, "y": y, **params}
        rows = {name: one for name, one in given.items() if one is not None}
        whole = as_collection(X)
        data = describe_rows(rows, whole.n_blocks, whole.n_rows)
        described = fingerprint(parameters, data)
        return Checkpoints(self.checkpoint, self.checkpoint_every, described)

    def _fit_and(self, method: str, X: Any, y: Any, params: Any) -> Any:
        """Search, then call a method of the best on X."""
        return getattr(self.fit(X, y, **params), method)(X)

    def _sample(self, n_models: int, rng: Any) -> list[dict[str, Any]]:
        """Draw the parameters of the candidates of a bracket."""
        if isinstance(vars(self).get("n_initial_parameters"), str):
            return list(ParameterGrid(self.parameters))
        return list(ParameterSampler(self.parameters, n_models, random_state=rng))

    def _wrapper(self, chosen: Mapping[str, Any]) -> Incremental:
        own = {name: clone(value, safe=False) for name, value in chosen.items()}
        estimator = clone(self.estimator, safe=False).set_params(**own)
        if isinstance(estimator, Incremental):
            # Not the wrapper's: the order of the blocks is drawn once for all.
            return estimator.set_params(random_state=None, verbose=0)
        return Incremental(estimator)

    def _scorers(self) -> Scorers:
        return as_scorers(self.scoring, self.refit)

    @property
    def _learns(self) -> Any:
        """The estimator that is not a wrapper."""
        own = isinstance(self.estimator, Incremental)
        return self.estimator.estimator if own else self.estimator

    def _scorer(self) -> Any:
        if self.scoring is not None:
            scorers = self._scorers()
            return scorers.as_asked(scorers.by_name)
        from sklearn.metrics import check_scoring

        learns = self.estimator
        # scikit-learn asks for a `fit`, which only the wrapper may have.
        return check_scoring(learns if hasattr(learns, "fit") else Incremental(learns))

    def _patience(self) -> int | None:
        if self.patience is True:
            return max(self._most() // 3, 1)
        return int(self.patience) or None

    def _also_scored(self, brackets: list[Bracket]) -> list[Bracket]:
        """Return brackets that are scored often enough for the patience."""
        patience = self._patience()
        if patience is None:
            return brackets
        return [scored_every(one, max(patience // 3, 1)) for one in brackets]

    def _check(self) -> None:
        """Check the parameters, before anything is read."""
        if isinstance(self.estimator, ParallelPostFit):
            if not isinstance(self.estimator, Incremental):
                raise TypeError(
                    f"estimator must have `partial_fit` or be an `Incremental`, got "
                    f"{type(self.estimator).__name__}. Pass what it wraps."
                )
            for name, default in _OF_THE_SEARCH.items():
                if (value := getattr(self.estimator, name)) != default:
                    raise ValueError(
                        f"The {name} of the `Incremental` in a search must be "
                        f"{default!r}, got {value!r}. Pass {name} to the search."
                    )
            check_together("estimator", self.estimator)
            if self.estimator.progressive_validation:
                raise ValueError(
                    "The progressive_validation of the `Incremental` in a search must "
                    "be False, got True. A search scores candidates on blocks that "
                    "are held out."
                )
        if self.scoring is None:
            own_score(self._learns)
        self._scorers()
        check_checkpoint(self)
        size = self.test_size
        if size is not None and not (_is_real(size) and 0 < size < 1):
            raise ValueError(
                f"test_size must be None or a number between 0 and 1, got {size!r}. It "
                "is the share of the blocks that candidates are scored on."
            )
        if not isinstance(self.patience, bool | np.bool_):
            check_count("patience", self.patience)
        if not (_is_real(self.tol) and self.tol >= 0):
            raise ValueError(f"tol must be a number of 0 or more, got {self.tol!r}.")
        score = self.error_score
        if not (_is_real(score) or (isinstance(score, str) and score == "raise")):
            raise ValueError(f"error_score must be 'raise' or a number, got {score!r}.")

    def _tell_of_failures(self, candidates: Sequence[Candidate]) -> None:
        failed = [one for one in candidates if one.error is not None]
        if not failed:
            return
        first = f"{failed[0].learner.name}: {failed[0].error}".rstrip(".")
        if len(failed) == len(candidates):
            raise ValueError(
                f"All {len(failed)} candidates failed, the first of them {first}. Pass "
                "error_score='raise' to see where."
            )
        warnings.warn(
            f"{len(failed)} of {len(candidates)} candidates failed, the first of them "
            f"{first}. Their score is error_score={self.error_score!r}; pass "
            "error_score='raise' to see where.",
            FitFailedWarning,
            stacklevel=3,
        )


def _cut(blocks: Blocks, *, rng: np.random.RandomState) -> Blocks:
    """Cut data in memory into blocks of rows that are drawn at random."""
    rows = sum(blocks.n_rows or ())
    held = hold(blocks)
    most = rows_of_batch("auto", held.block["X"]) or rows
    size = max(min(-(-rows // _BLOCKS_IN_MEMORY), most), 1)
    drawn = rng.permutation(rows)
    chosen = [drawn[start : start + size] for start in range(0, rows, size)]
    return replace(held, scheduler=active_scheduler()).cut(chosen)


# How many blocks data in memory are cut into at least, and the share of them that is
# held out. One block would be small if there are many.
_BLOCKS_IN_MEMORY = 10
_SHARE_IN_MEMORY = 0.1


def _hold_out(
    blocks: Blocks, share: float | None, rng: np.random.RandomState
) -> tuple[int, ...]:
    """Draw the blocks to score on, from those that have rows, as far as that is known.

    Parameters
    ----------
    blocks : Blocks
    share : float or None
        The share of the blocks; None for one block.
    rng : RandomState

    Raises
    ------
    ValueError
        If there are too few blocks.
    """
    n_blocks, n_rows = len(blocks), blocks.n_rows
    drawn = [int(at) for at in rng.permutation(n_blocks)]
    if n_rows is not None:
        drawn = [at for at in drawn if n_rows[at]]
    if len(drawn) < 2:
        raise ValueError(
            f"A search holds out whole blocks, but X has {len(drawn)} with rows; "
            "expected at least 2. Cut X into more blocks, for example with "
            "`da.from_array(X, chunks=(10_000, -1))`."
        )
    held = min(max(round(n_blocks * (share or 0.0)), 1), len(drawn) - 1)
    return tuple(sorted(drawn[:held]))


def _digests(search: Search) -> dict[int, bytes]:
    """Return digests of some blocks, by which the data are recognised."""
    blocks = search.stream.blocks
    some = digests_of_some(blocks, range(len(blocks)))
    return {**some, **digests_of_some(blocks, search.held_out)}


def _as_values(space: Any) -> Any:
    """Return a space of parameters, with distributions of SciPy as what they depend on.

    They hold a generator, which differs between processes.
    """
    if isinstance(space, Mapping):
        return {name: _as_values(one) for name, one in space.items()}
    if isinstance(space, list | tuple):
        return [_as_values(one) for one in space]
    if hasattr(space, "rvs") and hasattr(space, "dist"):
        return [type(space.dist).__name__, space.args, space.kwds]
    return space


def count_models(parameters: Any, given: Any) -> int:
    """Return how many candidates to draw.

    Raises
    ------
    ValueError
        If it is neither ``"grid"`` nor an integer of 1 or more.
    """
    if isinstance(given, str) and given == "grid":
        return len(ParameterGrid(parameters))
    check_count("n_initial_parameters", given, instead="'grid' or ")
    return int(given)


def check_count(name: str, value: Any, least: int = 1, instead: str = "") -> None:
    integral = isinstance(value, Integral) and not isinstance(value, bool)
    if not (integral and value >= least):
        raise ValueError(
            f"{name} must be {instead}an integer of {least} or more, got {value!r}."
        )


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
