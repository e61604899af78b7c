"""`HyperbandSearchCV`: halvings that differ in how early candidates end."""

from __future__ import annotations

from typing import Any

import numpy as np

from incremental._base_search import BaseSearch, check_count
from incremental._search.schedules import Bracket, describe, hyperband
from incremental._typing import Scoring


class HyperbandSearchCV(BaseSearch):
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
        From how many blocks or batches a candidate learns at most. So many are read in
        all, beside those that candidates are scored on.
    aggressiveness : int, default=3
        One in that many candidates goes on.
    test_size, patience, tol, random_state, scoring, refit, verbose, error_score, \
checkpoint, checkpoint_every, keep_checkpoint
        As for `IncrementalSearchCV`.

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
        self.max_iter = max_iter
        self.aggressiveness = aggressiveness

    @property
    def metadata(self) -> dict[str, Any]:
        """What a fit will do, unless patience or errors end candidates earlier."""
        self._check_schedule()
        return describe(hyperband(self.max_iter, self.aggressiveness))

    def _check(self) -> None:
        super()._check()
        self._check_schedule()

    def _check_schedule(self) -> None:
        check_count("max_iter", self.max_iter)
        check_count("aggressiveness", self.aggressiveness, least=2)

    def _brackets(self) -> list[Bracket]:
        return self._also_scored(hyperband(self.max_iter, self.aggressiveness))

    def _most(self) -> int:
        return self.max_iter
