"""Searches for the best parameters of an estimator, all candidates on one read."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import check_random_state

from incremental._blocks.collections import check_kinds
from incremental._blocks.labelled import all_without_labels, feature_labels
from incremental._estimators.float_types import warn_of_rounding
from incremental._fit.passes import begin
from incremental._fit.step import Fitting
from incremental._fit_many import check_alike, check_together, open_together
from incremental._incremental import Incremental
from incremental._parallel_post_fit import ParallelPostFit, beside_in_memory
from incremental._predict.scoring import as_scorer, score_of
from incremental._search.engine import Candidate, Search
from incremental._search.schedules import (
    Bracket,
    describe,
    halving,
    hyperband,
    scored_every,
    without_cuts,
)
from incremental._typing import Scoring

# A search makes as many passes as its schedule takes.
_OF_THE_SEARCH: Mapping[str, Any] = {"max_iter": 1, "tol": None, "scoring": None}


class _BaseSearch(ParallelPostFit):
    """What the searches have in common: all but their schedule."""

    _routes = {"fit": "partial_fit", "score": "score"}  # noqa: RUF012

    parameters: Any
    test_size: float | None
    patience: bool | int
    tol: float
    random_state: Any
    verbose: int
    error_score: Any

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

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search for the best parameters.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
            It needs at least two blocks, since whole blocks are held out.
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
            candidates fail, or for the reasons for which `Incremental.fit` raises it.
        """
        self._check()
        labels = feature_labels(X)
        X, y, params = all_without_labels(X, y, params)
        check_kinds({"X": X, "y": y})
        X, y, params = beside_in_memory(X, y, params)
        if self.scoring is None and y is None:
            raise ValueError(
                "y must be given to score candidates by their own `score`, got None. "
                "Pass y, or a `scoring` that needs none."
            )
        rng = check_random_state(self.random_state)
        brackets = self._brackets()
        drawn = [
            (bracket.number, chosen)
            for bracket in brackets
            for chosen in self._draw(bracket.n_models, rng)
        ]
        wrappers = [self._wrapper(chosen) for _, chosen in drawn]
        names = [f"candidate {at} ({chosen})" for at, (_, chosen) in enumerate(drawn)]
        for name, wrapper in zip(names, wrappers, strict=True):
            check_alike(names[0], wrappers[0], name, wrapper)
        opened = open_together(wrappers, names, X, y, params, reads_y=True)
        n_blocks = len(opened[0][0].session.blocks)
        held_out = self._hold_out(n_blocks, rng)
        # One generator for all of them, so that they draw the same orders.
        order = np.random.RandomState(rng.randint(2**31))
        may_fail = self.error_score != "raise"
        candidates = []
        pairs = zip(drawn, *opened, strict=True)
        for at, ((number, chosen), learner, passes) in enumerate(pairs):
            progress = begin(n_blocks, Fitting(None), copy.deepcopy(order))
            progress = replace(progress, held_out=held_out)
            learner = learner._replace(may_fail=may_fail)
            candidates.append(Candidate(at, chosen, number, learner, passes, progress))
        scorer = None if self.scoring is None else as_scorer(self.scoring)
        Search(
            brackets,
            scorer,
            held_out,
            float(self.error_score) if may_fail else None,
            self._patience(),
            self.tol,
            self.verbose,
        ).run(candidates)
        self._tell_of_failures(candidates)
        results = _results(candidates)
        best = int(results["rank_test_score"].argmin())
        progress = candidates[best].progress
        if progress.fitting.rounded:
            warn_of_rounding()
        wrappers[best]._commit(progress, list(progress.history), labels)
        own = isinstance(self.estimator, Incremental)
        found = {
            "estimator_": wrappers[best] if own else wrappers[best].estimator_,
            "cv_results_": results,
            "best_index_": best,
            "best_params_": candidates[best].params,
            "best_score_": float(results["test_score"][best]),
            "history_": _history(candidates),
            "model_history_": {one.number: one.history for one in candidates},
            "n_splits_": 1,
            "scorer_": self._scorer(),
            "metadata_": _metadata(brackets, candidates),
            "_labels": labels,
        }
        # All attributes change in one call, which nothing can interrupt.
        self.__dict__.update(found)
        return self

    def _fit_and(self, method: str, X: Any, y: Any, params: Any) -> Any:
        """Search, then call a method of the best on X."""
        return getattr(self.fit(X, y, **params), method)(X)

    def _draw(self, n_models: int, rng: Any) -> list[dict[str, Any]]:
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

    def _scorer(self) -> Any:
        if self.scoring is not None:
            return as_scorer(self.scoring)
        from sklearn.metrics import check_scoring

        return check_scoring(self.estimator)

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

    def _hold_out(self, n_blocks: int, rng: Any) -> tuple[int, ...]:
        """Draw the blocks to score on.

        Raises
        ------
        ValueError
            If there are too few blocks.
        """
        if n_blocks < 2:
            raise ValueError(
                f"A search holds out whole blocks, but X has {n_blocks}; expected at "
                "least 2. Cut X into more blocks, for example with "
                "`da.from_array(X, chunks=(10_000, -1))`."
            )
        share = 0.0 if self.test_size is None else float(self.test_size)
        held = min(max(round(n_blocks * share), 1), n_blocks - 1)
        return tuple(sorted(int(at) for at in rng.permutation(n_blocks)[:held]))

    def _check(self) -> None:
        """Check the parameters, before anything is read."""
        if isinstance(self.estimator, ParallelPostFit):
            if not isinstance(self.estimator, Incremental):
                raise TypeError(
                    f"estimator must have `partial_fit` or be an `Incremental`, got "
                    f"{type(self.estimator).__name__}. Pass what it wraps."
                )
            check_together("estimator", self.estimator)
            for name, default in _OF_THE_SEARCH.items():
                if (value := getattr(self.estimator, name)) != default:
                    raise ValueError(
                        f"The {name} of the `Incremental` in a search must be "
                        f"{default!r}, got {value!r}. Pass {name} to the search."
                    )
        if self.scoring is None:
            inner = self.estimator
            score_of(inner.estimator if isinstance(inner, Incremental) else inner)
        else:
            as_scorer(self.scoring)
        size = self.test_size
        if size is not None and not (_is_real(size) and 0 < size < 1):
            raise ValueError(
                f"test_size must be None or a number between 0 and 1, got {size!r}. It "
                "is the share of the blocks that candidates are scored on."
            )
        if not isinstance(self.patience, bool | np.bool_):
            _check_count("patience", self.patience)
        if not (_is_real(self.tol) and self.tol >= 0):
            raise ValueError(f"tol must be a number of 0 or more, got {self.tol!r}.")
        score = self.error_score
        if not (_is_real(score) or (isinstance(score, str) and score == "raise")):
            raise ValueError(f"error_score must be 'raise' or a number, got {score!r}.")

    def _tell_of_failures(self, candidates: list[Candidate]) -> None:
        failed = [one for one in candidates if one.error is not None]
        if not failed:
            return
        first = f"{failed[0].learner.name}: {failed[0].error}"
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


_COMMON = """test_size : float, default=None
        The share of the blocks that candidates are scored on. They are drawn, and no
        candidate learns from them. By default one block.
    patience : bool or int, default=False
        If it is a number, a candidate ends when its score has not risen by `tol` while
        it learned from that many blocks. True takes a third of the most blocks that a
        candidate can learn from.
    tol : float, default=0.001
        See `patience`.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates, the blocks that are held out and the order of the others.
        For the same result in each call the estimator needs a seed of its own too.
    scoring : str or callable, default=None
        As for `Incremental`. By default accuracy or R², block by block.
    verbose : int, default=0
        1 prints a line for each rung.
    error_score : "raise" or float, default=nan
        The score of a candidate that raises an error. The others go on."""


class IncrementalSearchCV(_BaseSearch):
    """A search whose candidates all learn from the same blocks, read once for all.

    Each candidate is scored every `fits_per_score` blocks on blocks that are held out,
    in one read for all. Each is bit by bit what it would be after a fit of its own on
    the same blocks, up to where it ended.

    Parameters
    ----------
    estimator : estimator
        Any estimator with ``partial_fit``, or an `Incremental`. The parameters of what
        it wraps are then named ``estimator__alpha`` and the like, and its
        `batch_size`, `prefetch`, `shuffle_blocks` and `shuffle_rows` hold.
    parameters : dict, or list of dict
        For each parameter a list of values, or a distribution with ``rvs``.
    n_initial_parameters : int or "grid", default=10
        How many candidates are drawn. ``"grid"`` takes all combinations of lists.
    max_iter : int, default=100
        From how many blocks a candidate learns at most, over as many passes as it
        takes.
    fits_per_score : int, default=1
        From how many blocks candidates learn between two scores.
    {common}

    Attributes
    ----------
    best_estimator_ : estimator
        The best candidate. The methods of the search, such as `predict`, apply it.
    best_params_, best_score_, best_index_
        Its parameters, its score, and its row of `cv_results_`.
    cv_results_ : dict of str to array
        A row for each candidate, as in scikit-learn.
    history_ : list of dict
        A record of each score of each candidate.
    model_history_ : dict of int to list of dict
        The same, by candidate.
    metadata_ : dict
        How many candidates there were, and how often one learned from a block.
    n_splits_ : int
        1: each candidate is scored on the same blocks.
    scorer_ : callable
        The scorer.

    See Also
    --------
    SuccessiveHalvingSearchCV : Ends the worse candidates early.
    HyperbandSearchCV : Needs no choice of how early.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> from incremental import IncrementalSearchCV
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(100, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> search = IncrementalSearchCV(
    ...     SGDClassifier(random_state=0),
    ...     {{"alpha": [1e-4, 1e-2, 1]}},
    ...     n_initial_parameters="grid",
    ...     max_iter=9,
    ...     random_state=0,
    ... )
    >>> search.fit(X, y).best_score_ > 0.9
    True
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        *,
        n_initial_parameters: Any = 10,
        max_iter: int = 100,
        fits_per_score: int = 1,
        test_size: float | None = None,
        patience: bool | int = False,
        tol: float = 0.001,
        random_state: Any = None,
        scoring: Scoring = None,
        verbose: int = 0,
        error_score: Any = np.nan,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.n_initial_parameters = n_initial_parameters
        self.max_iter = max_iter
        self.fits_per_score = fits_per_score
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.error_score = error_score

    def _check(self) -> None:
        super()._check()
        _check_count("max_iter", self.max_iter)
        _check_count("fits_per_score", self.fits_per_score)

    def _brackets(self) -> list[Bracket]:
        n_models = _n_models(self.parameters, self.n_initial_parameters)
        bracket = without_cuts(n_models, self.max_iter)
        return [scored_every(bracket, self.fits_per_score)]

    def _most(self) -> int:
        return self.max_iter


class SuccessiveHalvingSearchCV(_BaseSearch):
    """A search that ends the worse candidates early, and gives the others more blocks.

    All candidates learn from `n_initial_iter` blocks. The best of them, one in
    `aggressiveness`, go on until they have learned from `aggressiveness` times as many,
    and so on. Each block is read once for all that go on, as are the blocks that they
    are scored on.

    Parameters
    ----------
    estimator : estimator
        As for `IncrementalSearchCV`.
    parameters : dict, or list of dict
        As for `IncrementalSearchCV`.
    n_initial_parameters : int or "grid", default=10
        How many candidates are drawn. ``"grid"`` takes all combinations of lists.
    n_initial_iter : int
        From how many blocks each candidate learns before the first are ended.
    max_iter : int, default=None
        From how many blocks a candidate learns at most. By default until one is left.
    aggressiveness : int, default=3
        One in that many candidates goes on.
    {common}

    Attributes
    ----------
    best_estimator_, best_params_, best_score_, best_index_, cv_results_, history_, \
model_history_, metadata_, n_splits_, scorer_
        As for `IncrementalSearchCV`.

    See Also
    --------
    HyperbandSearchCV : Needs no choice of `n_initial_iter`.
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        *,
        n_initial_parameters: Any = 10,
        n_initial_iter: int | None = None,
        max_iter: int | None = None,
        aggressiveness: int = 3,
        test_size: float | None = None,
        patience: bool | int = False,
        tol: float = 0.001,
        random_state: Any = None,
        scoring: Scoring = None,
        verbose: int = 0,
        error_score: Any = np.nan,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.n_initial_parameters = n_initial_parameters
        self.n_initial_iter = n_initial_iter
        self.max_iter = max_iter
        self.aggressiveness = aggressiveness
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.error_score = error_score

    def _check(self) -> None:
        super()._check()
        _check_count("n_initial_iter", self.n_initial_iter)
        if self.max_iter is not None:
            _check_count("max_iter", self.max_iter)
        _check_count("aggressiveness", self.aggressiveness, least=2)

    def _schedule(self) -> Bracket:
        n_models = _n_models(self.parameters, self.n_initial_parameters)
        first = int(self.n_initial_iter or 1)
        return halving(n_models, first, self.max_iter, self.aggressiveness)

    def _brackets(self) -> list[Bracket]:
        return self._also_scored([self._schedule()])

    def _most(self) -> int:
        return self._schedule().rungs[-1].calls


class HyperbandSearchCV(_BaseSearch):
    """A search by Hyperband: several successive halvings, on one stream of blocks.

    Its brackets differ in how many candidates begin and how early they end, so that
    only `max_iter` has to be chosen. All brackets learn from the same blocks, each read
    once for all.

    Parameters
    ----------
    estimator : estimator
        As for `IncrementalSearchCV`.
    parameters : dict, or list of dict
        As for `IncrementalSearchCV`. Each bracket draws from them.
    max_iter : int, default=81
        From how many blocks a candidate learns at most. So many blocks are read in all,
        beside those that candidates are scored on.
    aggressiveness : int, default=3
        One in that many candidates goes on.
    {common}

    Attributes
    ----------
    metadata : dict
        What a fit will do, known before it: ``n_models``, ``partial_fit_calls`` and
        the ``brackets``.
    best_estimator_, best_params_, best_score_, best_index_, cv_results_, history_, \
model_history_, metadata_, n_splits_, scorer_
        As for `IncrementalSearchCV`.

    References
    ----------
    Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar (2018). Hyperband: A novel
    bandit-based approach to hyperparameter optimization. JMLR 18 (185).
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        *,
        max_iter: int = 81,
        aggressiveness: int = 3,
        test_size: float | None = None,
        patience: bool | int = False,
        tol: float = 0.001,
        random_state: Any = None,
        scoring: Scoring = None,
        verbose: int = 0,
        error_score: Any = np.nan,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.max_iter = max_iter
        self.aggressiveness = aggressiveness
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.error_score = error_score

    @property
    def metadata(self) -> dict[str, Any]:
        """What a fit will do, unless patience or errors end candidates earlier."""
        return describe(hyperband(self.max_iter, self.aggressiveness))

    def _check(self) -> None:
        super()._check()
        _check_count("max_iter", self.max_iter)
        _check_count("aggressiveness", self.aggressiveness, least=2)

    def _brackets(self) -> list[Bracket]:
        return self._also_scored(hyperband(self.max_iter, self.aggressiveness))

    def _most(self) -> int:
        return self.max_iter


for _kind in (IncrementalSearchCV, SuccessiveHalvingSearchCV, HyperbandSearchCV):
    _kind.__doc__ = (_kind.__doc__ or "").format(common=_COMMON)


def _n_models(parameters: Any, given: Any) -> int:
    """Return how many candidates to draw.

    Raises
    ------
    ValueError
        If it is neither ``"grid"`` nor an integer of 1 or more.
    """
    if isinstance(given, str) and given == "grid":
        return len(ParameterGrid(parameters))
    _check_count("n_initial_parameters", given, instead="'grid' or ")
    return int(given)


def _check_count(name: str, value: Any, least: int = 1, instead: str = "") -> None:
    integral = isinstance(value, Integral) and not isinstance(value, bool)
    if not (integral and value >= least):
        raise ValueError(
            f"{name} must be {instead}an integer of {least} or more, got {value!r}."
        )


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _results(candidates: list[Candidate]) -> dict[str, Any]:
    """Return ``cv_results_``."""
    scores = np.array([one.score for one in candidates])
    known = np.where(np.isnan(scores), -np.inf, scores)
    ranks = [1 + int(np.sum(known > score)) for score in known]
    results: dict[str, Any] = {
        "model_id": np.array([one.number for one in candidates]),
        "bracket": np.array([one.bracket for one in candidates]),
        "params": [one.params for one in candidates],
        "partial_fit_calls": np.array([one.calls for one in candidates]),
        "test_score": scores,
        "mean_test_score": scores,
        "std_test_score": np.zeros(len(scores)),
        "rank_test_score": np.array(ranks, dtype=np.int32),
    }
    for name in ("partial_fit_time", "score_time"):
        spent = [[record[name] for record in one.history] for one in candidates]
        results[f"mean_{name}"] = np.array([np.mean(one) for one in spent])
        results[f"std_{name}"] = np.array([np.std(one) for one in spent])
    for name in sorted({name for one in candidates for name in one.params}):
        column = np.ma.MaskedArray(
            np.empty(len(candidates), dtype=object), mask=True, dtype=object
        )
        for at, one in enumerate(candidates):
            if name in one.params:
                column[at] = one.params[name]
        results[f"param_{name}"] = column
    return results


def _history(candidates: list[Candidate]) -> list[dict[str, Any]]:
    records = [record for one in candidates for record in one.history]
    return sorted(records, key=lambda record: record["elapsed_wall_time"])


def _metadata(brackets: list[Bracket], candidates: list[Candidate]) -> dict[str, Any]:
    """Return what a search has done, in the form of ``metadata``."""
    done = []
    for bracket in brackets:
        own = [one for one in candidates if one.bracket == bracket.number]
        scored = {at["partial_fit_calls"] for one in own for at in one.history}
        done.append(
            {
                "bracket": bracket.number,
                "n_models": len(own),
                "partial_fit_calls": sum(one.calls for one in own),
                "decisions": sorted(scored),
            }
        )
    return {
        "n_models": len(candidates),
        "partial_fit_calls": sum(one.calls for one in candidates),
        "brackets": done,
    }
