"""`IncrementalSearchCV`: all candidates learn from the same blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from incremental._base_search import BaseSearch, check_count, count_models
from incremental._search.schedules import Bracket, scored_every, without_cuts
from incremental._typing import Scoring


class IncrementalSearchCV(BaseSearch):
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
        takes. From how many batches, if `estimator` is an `Incremental` with a
        `batch_size`.
    fits_per_score : int, default=1
        From how many blocks or batches candidates learn between two scores.
    test_size : float, default=None
        The share of the blocks that candidates are scored on. They are drawn, and no
        candidate learns from them. By default one block. Data in memory are cut into
        blocks of rows that are drawn at random, and a tenth of these is the default.
    patience : bool or int, default=False
        If it is a number, a candidate ends when its score has not risen by `tol` while
        it learned from that many blocks. True takes a third of the most blocks that a
        candidate can learn from.
    tol : float, default=0.001
        See `patience`.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates, the blocks that are held out and the order of the others.
        For the same result in each call the estimator needs a seed of its own too.
    scoring : str, callable, list, tuple, set or dict, default=None
        As for `Incremental`. By default accuracy or R², block by block. Several scores
        are computed in one read.
    refit : str, default=None
        The name of the scorer that decides, if there are several. By default the first.
    verbose : int, default=0
        1 prints a line for each rung.
    error_score : "raise" or float, default=nan
        The score of a candidate that raises an error. The others go on.
    checkpoint : str or path, default=None
        A directory, or a URL that fsspec opens. `fit` saves there how far it has come,
        at each rung and between. When a killed search is called again with the same
        arguments, it goes on from there and ends with the same result. See
        `Incremental` for who may write to the directory, and for SIGTERM.
    checkpoint_every : int, default=10
        How many blocks are read between two checkpoints at most.
    keep_checkpoint : bool, default=False
        Whether the last two checkpoints stay when the search is over.

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
    ...     {"alpha": [1e-4, 1e-2, 1]},
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
        self.max_iter = max_iter
        self.fits_per_score = fits_per_score

    def _check(self) -> None:
        super()._check()
        check_count("max_iter", self.max_iter)
        check_count("fits_per_score", self.fits_per_score)

    def _brackets(self) -> list[Bracket]:
        n_models = count_models(self.parameters, self.n_initial_parameters)
        bracket = without_cuts(n_models, self.max_iter)
        return [scored_every(bracket, self.fits_per_score)]

    def _most(self) -> int:
        return self.max_iter
