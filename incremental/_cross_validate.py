"""`cross_validate`: the models of all folds learn on one read of the blocks."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning

from incremental._blocks.collections import as_collection, check_kinds
from incremental._blocks.labelled import all_without_labels, feature_labels
from incremental._errors import noted
from incremental._estimators.float_types import warn_of_rounding
from incremental._fit.progress import Progress
from incremental._fit_many import open_together, wrapped
from incremental._graph.blocks import Blocks
from incremental._incremental import Incremental, _new_rng
from incremental._predict.by_block import own_score
from incremental._predict.scorers import Scorers, as_scorers
from incremental._predict.scoring import Scored, score_many
from incremental._search.folds import Fold, as_folds
from incremental._search.together import fit_together
from incremental._typing import Scoring


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    scoring: Scoring = None,
    shuffle: bool = False,
    random_state: Any = None,
    return_train_score: bool = False,
    return_estimator: bool = False,
    return_indices: bool = False,
    error_score: Any = np.nan,
    params: Mapping[str, Any] | None = None,
    verbose: int = 0,
) -> dict[str, Any]:
    """Score an estimator by cross-validation, whose folds are whole blocks.

    The models of all folds learn beside each other. Each block is read once for all
    of them, and once more to be scored. If the classes are not given, y is read before
    to find them. A model passes over the blocks that it is
    scored on, and ends in the same bits as in a fit on the others in the same order.
    Each read of a block has to yield the same rows.

    Parameters
    ----------
    estimator : estimator
        An estimator with ``partial_fit``, or an `Incremental`, whose parameters hold.
        It is cloned, never changed. `Incremental` draws one order of all blocks for
        each pass. Each model takes its own blocks in this order.
    X : collection of shape (n_samples, n_features)
        A dask array, dataframe or bag of at least as many blocks as there are folds.
    y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
    cv : int, splitter or iterable, default=5
        The number of folds. Or a splitter: a `BlockKFold`, or one of scikit-learn's,
        such as `TimeSeriesSplit`, to which each block is a row. Or pairs of lists of
        positions of blocks, to learn from and to score on.
    scoring : str, callable, list, tuple, set, dict or None, default=None
        As for `ParallelPostFit`. By default that of the `Incremental`, or else
        accuracy for classifiers and R² for regressors. Scorers get no weights, as in
        scikit-learn.
    shuffle : bool, default=False
        Whether the blocks of each fold are drawn, if `cv` is a number.
    random_state : int, RandomState instance or None, default=None
        What draws them.
    return_train_score : bool, default=False
        Whether to score the models on the blocks that they learned from too, in the
        same read.
    return_estimator : bool, default=False
        Whether to return the models: of the kind of `estimator`.
    return_indices : bool, default=False
        Whether to return the positions of the blocks of each fold.
    error_score : "raise" or float, default=nan
        The score of a model that raises an error when it learns or is scored.
        ``"raise"`` raises the error.
    params : dict, optional
        Arguments of ``partial_fit``, as for `Incremental.fit`. Those with an entry for
        each row, such as ``sample_weight``, are cut into the same blocks.
    verbose : int, default=0
        1 prints a line for each fold.

    Returns
    -------
    dict of str to ndarray of shape (n_splits,)
        With the keys of scikit-learn's `cross_validate`: ``fit_time``, how long a
        model learned, without what reading takes; ``score_time``; ``test_score``, or
        ``test_<name>`` for each of several scorers; ``train_score`` in the same way;
        ``estimator``, a list; and ``indices``, a dict of ``train`` and ``test``.

    Raises
    ------
    TypeError
        If the estimator has no ``partial_fit``, or no score that is computed block
        by block while there is no `scoring`.
    ValueError
        If X has fewer blocks than there are folds, if a fold is no two disjoint sets
        of blocks, if all models raise errors, or for the reasons for which
        `fit_many` raises it.

    Warns
    -----
    FitFailedWarning
        If some models raise errors when they learn.

    See Also
    --------
    cross_val_predict : Predictions of the models for the rows that they have not seen.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> from incremental import cross_validate
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(100, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> results = cross_validate(SGDClassifier(random_state=0), X, y, cv=5)
    >>> sorted(results)
    ['fit_time', 'score_time', 'test_score']
    >>> results["test_score"].shape
    (5,)
    """
    _check_error_score(error_score)
    may_fail = not isinstance(error_score, str)
    (wrapper,) = wrapped([estimator], ["estimator"])
    scorers = _scorers(wrapper, scoring, y)
    blocks, models = fit_folds(
        wrapper,
        X,
        y,
        params,
        cv,
        shuffle=shuffle,
        random_state=random_state,
        may_fail=may_fail,
        reads_y=True,
    )
    _tell_of_failed_fits(models, error_score)
    kinds = ["test", "train"] if return_train_score else ["test"]
    scored = _score(scorers, blocks, models, kinds, error_score)
    if verbose:
        _tell(models, scored["test"])
    results: dict[str, Any] = {
        "fit_time": np.array([one.seconds for one in models]),
        "score_time": np.array([one.seconds for one in scored["test"]]),
    }
    if return_estimator:
        own = isinstance(estimator, Incremental)
        results["estimator"] = [one.wrapper if own else one.inner for one in models]
    if return_indices:
        results["indices"] = {
            "train": tuple(np.array(one.fold.train) for one in models),
            "test": tuple(np.array(one.fold.test) for one in models),
        }
    for name in scorers.by_name:
        for kind, found in scored.items():
            results[f"{kind}_{name}"] = np.array([one.scores[name] for one in found])
    return results


@dataclass(frozen=True)
class FoldModel:
    """The model of a fold.

    Attributes
    ----------
    fold : Fold
    wrapper : Incremental
        Fitted, unless there is an error.
    seconds : float
        How long it learned.
    error : str or None
        The error that it raised.
    """

    fold: Fold
    wrapper: Incremental
    seconds: float
    error: str | None = None

    @property
    def inner(self) -> Any:
        """What the wrapper wraps: fitted, unless there is an error."""
        return self.wrapper._inner


def fit_folds(
    wrapper: Incremental,
    X: Any,
    y: Any,
    params: Mapping[str, Any] | None,
    cv: Any,
    *,
    shuffle: bool = False,
    random_state: Any = None,
    may_fail: bool = False,
    reads_y: bool = False,
) -> tuple[Blocks, list[FoldModel]]:
    """Let the models of all folds learn on one read of the blocks.

    Parameters
    ----------
    wrapper : Incremental
        It is cloned for each fold.
    X, y, params, cv, shuffle, random_state
        As for `cross_validate`.
    may_fail : bool, default=False
        Whether the other models go on when one raises an error.
    reads_y : bool, default=False
        Whether blocks have y also if the estimator does not learn from it.

    Returns
    -------
    blocks : Blocks
    models : list of FoldModel
    """
    labels = feature_labels(X)
    X, y, params = all_without_labels(X, y, dict(params or {}))
    check_kinds({"X": X, "y": y})
    n_blocks = as_collection(X).n_blocks
    folds = as_folds(cv, n_blocks, shuffle=shuffle, random_state=random_state)
    (learner,), (passes,) = open_together(
        [wrapper], ["estimator"], X, y, params, reads_y=reads_y
    )
    learners = [
        learner._replace(
            name=f"the model of fold {number}",
            may_fail=may_fail,
            uses=frozenset(fold.train),
        )
        for number, fold in enumerate(folds)
    ]

    def tell(number: int, progress: Progress) -> None:
        if wrapper.verbose:
            record = passes.describe(progress.history[-1])
            print(f"fold {number}: {record}")  # noqa: T201

    rng = _new_rng(wrapper.random_state)
    ends = fit_together(learners, [passes] * len(folds), rng, tell)
    if any(one.progress.fitting.rounded for one in ends):
        warn_of_rounding()
    models = []
    for fold, (progress, seconds, error) in zip(folds, ends, strict=True):
        own = clone(wrapper)
        if error is None:
            own._commit(progress, list(progress.history), labels)
        models.append(FoldModel(fold, own, seconds, error))
    return learner.session.blocks, models


def _scorers(wrapper: Incremental, scoring: Scoring, y: Any) -> Scorers:
    """Return the scorers, checked as far as they can be before a fit."""
    scorers = as_scorers(wrapper.scoring if scoring is None else scoring)
    own = None in scorers.by_name.values()
    if own and own_score(wrapper.estimator).needs_y and y is None:
        raise ValueError(
            "y must be given to score models by their own `score`, got None. Pass y, "
            "or a `scoring` that needs none."
        )
    return scorers


def _check_error_score(error_score: Any) -> None:
    real = isinstance(error_score, Real) and not isinstance(error_score, bool)
    if not real and not (isinstance(error_score, str) and error_score == "raise"):
        raise ValueError(
            f"error_score must be 'raise' or a number, got {error_score!r}."
        )


def _score(
    scorers: Scorers,
    blocks: Blocks,
    models: list[FoldModel],
    kinds: list[str],
    error_score: Any,
) -> dict[str, list[Scored]]:
    """Score all models in one read, on the blocks of each kind of their folds.

    Returns
    -------
    dict of str to list of Scored
        For each kind, in the order of the models.
    """
    able = [one for one in models if one.error is None]
    with noted("while scoring the folds"):
        found = score_many(
            scorers,
            [one.inner for _ in kinds for one in able],
            blocks,
            [getattr(one.fold, kind) for kind in kinds for one in able],
            may_fail=not isinstance(error_score, str),
        )
    errors = Counter(error for one in found for error in one.errors.values())
    n_scores = len(found) * len(scorers.by_name)
    if errors:
        warnings.warn(
            f"{errors.total()} of {n_scores} scores failed. They are "
            f"error_score={error_score!r}; pass error_score='raise' to see where. "
            f"The errors are {_listed(errors)}.",
            UserWarning,
            stacklevel=3,
        )
    undefined = dict.fromkeys(scorers.by_name, error_score)
    scored = iter(
        one._replace(scores={**one.scores, **dict.fromkeys(one.errors, error_score)})
        for one in found
    )
    return {
        kind: [
            next(scored) if one.error is None else Scored(undefined, 0.0)
            for one in models
        ]
        for kind in kinds
    }


def _tell_of_failed_fits(models: list[FoldModel], error_score: Any) -> None:
    errors = Counter(one.error for one in models if one.error is not None)
    if errors.total() == len(models):
        raise ValueError(
            f"All {len(models)} models failed. The errors are {_listed(errors)}. Pass "
            "error_score='raise' to see where."
        )
    if errors:
        warnings.warn(
            f"{errors.total()} of {len(models)} models failed. Their score is "
            f"error_score={error_score!r}; pass error_score='raise' to see where. The "
            f"errors are {_listed(errors)}.",
            FitFailedWarning,
            stacklevel=3,
        )


def _listed(errors: Counter[Any]) -> str:
    return "; ".join(f"{error} ({times} times)" for error, times in errors.items())


def _tell(models: list[FoldModel], scored: list[Scored]) -> None:
    for number, (one, (scores, *_)) in enumerate(zip(models, scored, strict=True)):
        found = ", ".join(f"{name} {score:.6g}" for name, score in scores.items())
        print(  # noqa: T201
            f"Fold {number} of {len(models)}: {found}, {len(one.fold.train)} blocks "
            f"to learn from, {len(one.fold.test)} to score on, {one.seconds:.1f} s"
        )
