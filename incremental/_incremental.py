"""`Incremental`: any estimator with ``partial_fit``, fitted on dask collections."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import process_routing

from incremental._blocks import align, is_lazy, known_rows, n_rows
from incremental._chain import fold, resolve_prefetch, scheduler, shares_memory
from incremental._classes import as_classes, find_classes
from incremental._compose import check_learns, check_params, needs_classes
from incremental._copy import copy_estimator
from incremental._documents import as_documents
from incremental._partial_fit import Fitting, PartialFit, plan_steps
from incremental._post_fit import ParallelPostFit, check_target
from incremental._scalers import is_scaler


class Incremental(ParallelPostFit):
    """Fit an estimator that has ``partial_fit`` on dask collections, block by block.

    A fit is one pass of ``partial_fit`` calls over the blocks, one after the other, as
    one dask graph: the reads run in parallel on whatever scheduler is active, at most
    `prefetch` blocks ahead of the one being fitted. For a fixed order of the blocks the
    result is that of a plain loop, bit by bit.

    Estimators whose states merge (see `merge`) are fitted on all blocks in parallel. A
    pipeline learns in one pass: when its model learns from a block, the steps before it
    have learned from that block and those before, not from all.

    A block is the same rows of X, y and the row-wise parameters: a chunk of a dask
    array, a partition of a dask dataframe. Data in memory is one block.

    Parameters
    ----------
    estimator : estimator
        Any estimator with ``partial_fit``. It is cloned, never changed.
    scoring : str or callable, default=None
        What `score` computes, as `sklearn.metrics.get_scorer` takes it. By default
        accuracy for classifiers and R² for regressors.
    classes : array-like of shape (n_classes,), or a list of them, default=None
        All classes that occur in y, for a classifier. By default the categories of a
        categorical y, or what a pass over y alone finds.
    shuffle_blocks : bool, default=True
        Whether each pass takes the blocks in a random order. False keeps that of the
        data.
    random_state : int, RandomState instance or None, default=None
        Draws the order of the blocks.
    prefetch : int or "auto", default="auto"
        How many blocks may be read ahead of the one being fitted. 0 reads one at a
        time; ``"auto"`` takes the scheduler's number of threads, at least 2, and twice
        as many for a pipeline whose first steps run in parallel.
    batch_size : int, default=None
        Rows for each call of ``partial_fit`` within a block, all of the block by
        default. A batch never crosses blocks.
    predict_meta : array, pandas.Series or pandas.DataFrame, default=None
        See `ParallelPostFit`.
    predict_proba_meta : array or pandas.DataFrame, default=None
        See `ParallelPostFit`.
    transform_meta : array or pandas.DataFrame, default=None
        See `ParallelPostFit`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone, a plain estimator. Its learned attributes, such as ``coef_``
        or ``classes_``, are attributes of the wrapper too.

    See Also
    --------
    ParallelPostFit : For estimators without ``partial_fit``.
    iter_blocks : The blocks themselves, for any other learner.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> from incremental import Incremental
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(100, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = Incremental(SGDClassifier(random_state=0), random_state=0)
    >>> model.fit(X, y).coef_.shape
    (1, 5)
    >>> model.predict(X)
    dask.array<predict, shape=(1000,), dtype=int64, chunksize=(100,), ...>
    >>> model.score(X, y) > 0.9
    True
    """

    _routes = {"fit": "partial_fit", "partial_fit": "partial_fit", "score": "score"}  # noqa: RUF012

    def __init__(
        self,
        estimator: Any,
        *,
        scoring: Any = None,
        classes: Any = None,
        shuffle_blocks: bool = True,
        random_state: Any = None,
        prefetch: Any = "auto",
        batch_size: int | None = None,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            scoring=scoring,
            predict_meta=predict_meta,
            predict_proba_meta=predict_proba_meta,
            transform_meta=transform_meta,
        )
        self.classes = classes
        self.shuffle_blocks = shuffle_blocks
        self.random_state = random_state
        self.prefetch = prefetch
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None, **params: Any) -> Incremental:
        """Fit a clone of the estimator in one pass over the blocks.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
        **params
            Arguments of the estimator's ``partial_fit``. `classes` goes before the
            parameter of the wrapper. Collections and arrays as long as X are cut with
            the blocks, such as ``sample_weight``; others pass as they are.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator has no ``partial_fit``, or does not take a parameter.
        ValueError
            If a parameter is out of its range, the rows cannot be paired, or y holds a
            class that is not among `classes`.
        """
        return self._pass(None, _new_rng(self.random_state), X, y, params)

    def partial_fit(self, X: Any, y: Any = None, **params: Any) -> Incremental:
        """Continue the fit in one more pass, or start it.

        A copy of ``estimator_`` is fitted and takes its place at the end, so that a
        failure changes nothing.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
        **params
            As for `fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit` does.
        """
        if "estimator_" not in vars(self):
            return self.fit(X, y, **params)
        fitting = Fitting(copy_estimator(self.estimator_), vars(self).get("_dtype"))
        rng = copy.deepcopy(vars(self).get("_rng")) or _new_rng(self.random_state)
        return self._pass(fitting, rng, X, y, params)

    def _fit_and(self, method: str, X: Any, y: Any, params: dict[str, Any]) -> Any:
        return getattr(self.fit(X, y, **params), method)(X)

    def _pass(
        self,
        fitted: Fitting | None,
        rng: np.random.RandomState,
        X: Any,
        y: Any,
        params: dict[str, Any],
    ) -> Incremental:
        check_learns(self.estimator)
        check_target(self.estimator, y)
        get = scheduler()
        resolve_prefetch(self.prefetch, get)
        _check_batch_size(self.batch_size)
        fresh = clone(self.estimator)
        estimator = fresh if fitted is None else fitted.estimator
        X = as_documents(estimator, X)
        rows, others = self._split(estimator, X, y, params)
        if any(map(is_lazy, rows.values())):
            blocks = align(rows)
            others = self._with_classes(estimator, y, others)
            fit = PartialFit(
                blocks.names, others, self.batch_size, in_place=shares_memory(get)
            )
            plan = plan_steps(fresh, fitted, fit)
            fitting = fold(
                blocks,
                plan.step,
                plan.start,
                order=_order(len(blocks), rng if self.shuffle_blocks else None),
                prefetch=resolve_prefetch(self.prefetch, get, plan.per_thread),
                get=get,
                name=plan.name,
                prepare=plan.prepare,
                prepare_name=plan.prepare_name,
            )
            if fitting.n_rows == 0:
                raise ValueError("X has no rows in any block; expected at least one.")
            if not shares_memory(get):
                # What a worker sends may be read-only, and estimators crash on that.
                fitting = fitting._replace(estimator=copy_estimator(fitting.estimator))
        else:
            others = self._with_classes(estimator, y, others)
            step = PartialFit(tuple(rows), others, self.batch_size)
            fitting = step.fit_block(fitted or Fitting(fresh), rows)
        self.estimator_, self._dtype, self._rng = fitting.estimator, fitting.dtype, rng
        return self

    def _split(
        self, estimator: Any, X: Any, y: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tell what is cut with the blocks from the parameters that pass as they are.

        Raises
        ------
        TypeError
            If the estimator does not take a parameter.
        """
        classes = {"classes": params.pop("classes", None)}
        if classes["classes"] is None:
            classes = {} if self.classes is None else {"classes": self.classes}
        classes = {name: as_classes(value) for name, value in classes.items()}
        if get_config()["enable_metadata_routing"] and params:
            params = process_routing(self, "fit", **params).estimator.partial_fit
        check_params(estimator, {**params, **classes})
        rows = {"X": X} if y is None or is_scaler(estimator) else {"X": X, "y": y}
        for name, value in params.items():
            if _is_row_wise(name, value, X):
                rows[name] = value
        others = {name: params[name] for name in params if name not in rows}
        return rows, {**others, **classes}

    def _with_classes(
        self, estimator: Any, y: Any, others: dict[str, Any]
    ) -> dict[str, Any]:
        if "classes" in others or y is None or not needs_classes(estimator):
            return others
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            classes = find_classes(estimator, y)
        return {**others, "classes": classes}


def _new_rng(random_state: Any) -> np.random.RandomState:
    rng = check_random_state(random_state)
    # Without a seed that is NumPy's global generator, which is not ours to keep.
    seed = rng.randint(2**31) if random_state is None else None
    return rng if seed is None else np.random.RandomState(seed)


def _order(n_blocks: int, rng: np.random.RandomState | None) -> Sequence[int]:
    if rng is None:
        return range(n_blocks)
    return [int(position) for position in rng.permutation(n_blocks)]


def _is_row_wise(name: str, value: Any, X: Any) -> bool:
    if is_lazy(value):
        return True
    if isinstance(value, str) or not hasattr(value, "__len__") or np.ndim(value) == 0:
        return False
    if name.rpartition("__")[2] == "sample_weight":
        return True
    known = known_rows(X) if is_lazy(X) else (n_rows(X),)
    return known is not None and n_rows(value) == sum(known)


def _check_batch_size(batch_size: Any) -> None:
    if batch_size is None:
        return
    integral = isinstance(batch_size, Integral) and not isinstance(batch_size, bool)
    if not integral or batch_size < 1:
        raise ValueError(
            f"batch_size must be None or an integer of 1 or more, got {batch_size!r}. "
            "It is the number of rows for each call of `partial_fit`."
        )
