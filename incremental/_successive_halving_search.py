"""`SuccessiveHalvingSearchCV`: the worse candidates end early."""

from __future__ import annotations

from typing import Any

import numpy as np

from incremental._base_search import BaseSearch, check_count, count_models
from incremental._search.schedules import Bracket, halving
from incremental._typing import Scoring


class SuccessiveHalvingSearchCV(BaseSearch):
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
        From how many blocks or batches each candidate learns before the first are
        ended.
    max_iter : int, default=None
        From how many blocks or batches a candidate learns at most. By default until one
        is left.
    aggressiveness : int, default=3
        One in that many candidates goes on.
    test_size, patience, tol, random_state, scoring, refit, verbose, error_score, \
checkpoint, checkpoint_every, keep_checkpoint
        As for `IncrementalSearchCV`.

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
        refit: str | None = None,
        verbose: int = 0,
        error_score: Any = np.nan,
        checkpoint: Any = None,
        checkpoint_every: int = 10,
        keep_checkpoint: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            parameters,
            test_size=test_size,
            patience=patience,
            tol=tol,
            random_state=random_state,
            scoring=scoring,
            refit=refit,
            verbose=verbose,
            error_score=error_score,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            keep_checkpoint=keep_checkpoint,
        )
        self.n_initial_parameters = n_initial_parameters
        self.n_initial_iter = n_initial_iter
        self.max_iter = max_iter
        self.aggressiveness = aggressiveness

    def _check(self) -> None:
        super()._check()
        check_count("n_initial_iter", self.n_initial_iter)
        if self.max_iter is not None:
            check_count("max_iter", self.max_iter)
        check_count("aggressiveness", self.aggressiveness, least=2)

    def _schedule(self) -> Bracket:
        n_models = count_models(self.parameters, self.n_initial_parameters)
        first = int(self.n_initial_iter or 1)
        return halving(n_models, first, self.max_iter, self.aggressiveness)

    def _brackets(self) -> list[Bracket]:
        return self._also_scored([self._schedule()])

    def _most(self) -> int:
        return self._schedule().rungs[-1].calls
