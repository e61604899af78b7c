"""`BaseSearch`: what the searches have in common, all but their schedule."""

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
from incremental._predict.by_block import own_metric
from incremental._predict.scorers import as_scorers
from incremental._search.engine import Candidate, Search
from incremental._search.results import history_of, results_of, work_of
from incremental._search.schedules import Bracket, scored_every
from incremental._typing import Scoring

# A search makes as many passes as its schedule takes.
_OF_THE_SEARCH: Mapping[str, Any] = {"max_iter": 1, "tol": None, "scoring": None}


class BaseSearch(ParallelPostFit):
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
        verbose: int,
        error_score: Any,
    ) -> None:
        super().__init__(estimator, scoring=scoring)
        self.parameters = parameters
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.error_score = error_score

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
        Search(
            brackets,
            as_scorers(self.scoring),
            held_out,
            float(self.error_score) if may_fail else None,
            self._patience(),
            self.tol,
            self.verbose,
        ).run(candidates)
        self._tell_of_failures(candidates)
        results = results_of(candidates)
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
            "history_": history_of(candidates),
            "model_history_": {one.number: one.history for one in candidates},
            "n_splits_": 1,
            "scorer_": self._scorer(),
            "metadata_": work_of(brackets, candidates),
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
            scorers = as_scorers(self.scoring)
            return scorers.as_asked(scorers.by_name)
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
            own_metric(inner.estimator if isinstance(inner, Incremental) else inner)
        as_scorers(self.scoring)
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
