"""`Incremental`: any estimator with ``partial_fit``, fitted on dask collections."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import process_routing

from incremental._blocks.block import Block
from incremental._blocks.collections import (
    as_collection,
    check_kinds,
    in_memory_with_first,
    is_lazy,
)
from incremental._blocks.columns import check_declared_columns, declared_columns
from incremental._blocks.labelled import (
    all_without_labels,
    check_feature_labels,
    feature_labels,
    without_labels,
)
from incremental._blocks.rows import n_rows, rows_in_cache
from incremental._errors import noted
from incremental._estimators.composition import (
    check_learns,
    check_params,
    least_rows,
    needs_classes,
)
from incremental._estimators.copying import copy_estimator
from incremental._estimators.documents import as_documents
from incremental._estimators.float_types import warn_of_rounding
from incremental._estimators.sklearn_types import CallbackSupportMixin, with_callbacks
from incremental._estimators.traits import has_callbacks, traits_of
from incremental._fit.batches import check_least, rows_of_batch
from incremental._fit.callbacks import FitTasks
from incremental._fit.checkpoints import (
    Checkpoints,
    describe_rows,
    fingerprint,
    pickled,
)
from incremental._fit.classes import as_classes, find_classes, n_outputs
from incremental._fit.digests import check_digests, check_same, digests_of_some
from incremental._fit.inputs import check_options, check_rows
from incremental._fit.parameters import (
    check_batch_size,
    check_enough_blocks,
    check_passes,
    check_progressive,
    check_replicas,
)
from incremental._fit.passes import Passes, begin
from incremental._fit.plan import Options
from incremental._fit.progress import Progress
from incremental._fit.progressive import Progressive
from incremental._fit.row_shuffle import RowShuffle
from incremental._fit.session import FitSession
from incremental._fit.step import Fitting
from incremental._graph.blocks import Blocks, read_blocks
from incremental._graph.schedulers import active_scheduler
from incremental._graph.shared_reductions import settle
from incremental._parallel_post_fit import (
    ParallelPostFit,
    beside_in_memory,
    check_target,
)
from incremental._predict.scorers import as_scorers
from incremental._typing import Estimator, Scoring

# The parameters of the wrapper that the fitted estimator does not depend on.
_WITHOUT_EFFECT = {
    "prefetch",
    "verbose",
    "checkpoint",
    "checkpoint_every",
    "keep_checkpoint",
    "predict_meta",
    "predict_proba_meta",
    "transform_meta",
}


class Incremental(CallbackSupportMixin, ParallelPostFit):
    """A wrapper that fits an estimator with ``partial_fit`` on dask collections.

    A fit makes passes over the blocks. In a pass ``partial_fit`` is called on the
    blocks one after the other. dask reads the blocks in parallel on the active
    scheduler, at most `prefetch` blocks ahead of the one that is being fitted. For
    a fixed order of the blocks the result is that of a plain loop, bit by bit.
    Merged moments are the exception: they may differ by rounding.

    Estimators whose states merge (see `merge`) are fitted on all blocks in parallel.
    The steps of a pipeline learn together in the first pass. When the last step
    learns from a block, the steps before it have learned from that block and from
    those before it, but not from later ones.

    A block is the same rows of X, y and the parameters with an entry for each row. It
    is a block of a dask array or a partition of a dask dataframe. If X is in memory,
    all data are one block.

    Parameters
    ----------
    estimator : estimator
        Any estimator with ``partial_fit``. It is cloned, never changed. An object
        without ``get_params`` is copied as it is, with what it has learned.
    scoring : str, callable, list, tuple, set or dict, default=None
        What `score` computes, see `ParallelPostFit`. By default the estimator's own
        score: accuracy for classifiers and R² for regressors. To score rows that are
        held out, scorers are called with None as X and without weights. `history_` has
        the scores of several by their names.
    classes : array-like or collection of shape (n_classes,), a set, or a list of \
them, default=None
        All classes that occur in y, for a classifier. By default the categories of a
        categorical y, or what a pass over y alone finds. Dask collections, such as
        ``da.unique(y)``, are computed by each fit, all in one go.
    shuffle_blocks : bool, default=True
        Whether each pass takes the blocks in a random order. If False, each pass
        takes them in the order of the data.
    shuffle_rows : bool, default=False
        Whether rows are mixed with those of the blocks before and after them in the
        order of a pass: with as many blocks as `prefetch`, or 8 if that is ``"auto"``.
        About half as many blocks are held in memory for it. It helps where the rows of
        a block are alike, such as in data that are sorted by y. To shuffle the rows of
        all blocks, use dask: ``df.shuffle`` or ``df.sample(frac=1)``.
    random_state : int, RandomState instance or None, default=None
        Draws the order of the blocks and rows, and which blocks are held out.
    prefetch : int or "auto", default="auto"
        How many blocks may be read ahead of the one being fitted. 0 reads one block
        at a time. ``"auto"`` takes the scheduler's number of threads, at least 2.
        It takes twice as many where X goes through stages in tasks of their own.
    batch_size : int, "auto" or None, default=None
        The number of rows for each call of ``partial_fit``. By default one call
        takes the whole block. Batches go on across blocks: which rows make a batch
        depends on their order alone. The last batch of a pass is smaller, or larger
        where the estimator needs more rows than would be left. An estimator whose
        states merge gets the batches of each block alone. ``"auto"`` takes as
        many rows as make a million values. Sparse rows and documents count as 100
        values each.
    max_iter : int, default=1
        How many passes `fit` makes at most, each in an order of its own. In a pipeline
        the steps before the last learn in the first pass only.
    tol : float, default=None
        By how much a pass must be better than the best pass before it to count as
        progress. With `early_stopping` passes are compared by their score on rows
        that are held out. Otherwise, with `progressive_validation`, they are compared
        by that score. Otherwise they are compared by the loss that the
        estimator reports (``loss_``). If it reports none, they are compared by its
        score on each block just after it learned from that block. If None, all
        passes are made, unless `early_stopping` is True: then any gain counts as
        progress.
    n_iter_no_change : int, default=5
        How many passes in a row without progress end the fit.
    early_stopping : bool, default=False
        Whether to score the estimator after each pass on rows that are not fitted.
        The fit stops when the score no longer improves, and keeps the best
        estimator.
    refit : str, default=None
        Which of several scorers decides when to stop and which estimator is the best.
        By default the first, of a set the first by name.
    validation_fraction : float, default=0.1
        The share of the blocks that `early_stopping` holds out. At least one block.
    validation_data : tuple of X and y, default=None
        Other rows to score after each pass. If they are given, no blocks are held out.
    progressive_validation : bool, default=False
        Whether to score the estimator on the rows of each call of ``partial_fit`` just
        before it learns from them, in the same pass (test-then-train). The first call
        of a new estimator does not count. The mean of the scores, weighted by rows, is
        ``"progressive_score"`` in `history_`. The default score takes
        ``sample_weight`` and is weighted by it; scorers of `scoring` take no weights.
        A pipeline is scored as it was before any of its steps learned from the rows.
        An estimator whose states merge, and a bundle of several, then learns as a
        whole from one block after the other.
    replicas : int, default=1
        How many copies of the estimator learn beside each other, each from blocks of
        its own. After each pass their parameters are averaged, weighted by the rows
        that each learned from, and the next pass begins from the average (iterative
        parameter mixing). More than 1 is approximate: the result is not that of a
        plain loop, and depends on the number of replicas. It takes linear models that
        learn by stochastic gradient descent, perceptrons, passive-aggressive models,
        and types registered with `average`. Steps of a pipeline before the last must
        not learn. Learning rates fall as for the rows of one replica. With `tol` and
        `progressive_validation` the scores are those of the copies, each on its own
        blocks. `prefetch` should be at least as large.
    verbose : int, default=0
        1 prints a line after each pass of `fit`.
    checkpoint : str or path, default=None
        A directory, or a URL that fsspec opens. `fit` saves there how far it has
        come. When a killed fit is called again with the same arguments, it goes on
        from there and ends with the same result. Reading a checkpoint runs code
        that is in it. Therefore a local directory is refused if others may write to
        it or to a directory above it. On SIGTERM `fit` saves its progress and
        exits. Each read of a block has to yield the same rows.
    checkpoint_every : int, default=10
        How many blocks are fitted between two checkpoints.
    keep_checkpoint : bool, default=False
        Whether the last two checkpoints stay when the fit is over. No fit goes on
        from them. The next fit replaces them.
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
    n_iter_ : int
        How many passes have been made.
    history_ : list of dict
        A record of each pass: its number (``pass``), ``score``, ``loss``, ``seconds``,
        ``blocks`` and ``rows``. With `progressive_validation` also
        ``progressive_score``, which is NaN if nothing was scored; with several scorers
        also ``progressive_`` and the name of each.

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
        scoring: Scoring = None,
        classes: Any = None,
        shuffle_blocks: bool = True,
        shuffle_rows: bool = False,
        random_state: Any = None,
        prefetch: Any = "auto",
        batch_size: int | Literal["auto"] | None = None,
        max_iter: int = 1,
        tol: float | None = None,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        refit: str | None = None,
        validation_fraction: float = 0.1,
        validation_data: Any = None,
        progressive_validation: bool = False,
        replicas: int = 1,
        verbose: int = 0,
        checkpoint: Any = None,
        checkpoint_every: int = 10,
        keep_checkpoint: bool = False,
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
        self.shuffle_rows = shuffle_rows
        self.random_state = random_state
        self.prefetch = prefetch
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.refit = refit
        self.validation_fraction = validation_fraction
        self.validation_data = validation_data
        self.progressive_validation = progressive_validation
        self.replicas = replicas
        self.verbose = verbose
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.keep_checkpoint = keep_checkpoint

    @with_callbacks
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit a clone of the estimator in passes over the blocks.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
        **params
            Arguments of the estimator's ``partial_fit``. `classes` given here takes
            precedence over the parameter of the wrapper. Collections, and arrays as
            long as X, such as ``sample_weight``, are cut into the same blocks.
            Others are passed as they are. If the length of X is unknown, an array
            that may be as long as X is refused.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator has no ``partial_fit``, or does not take a parameter.
        ValueError
            If a parameter is out of its range, if the rows cannot be paired, if y
            holds a class that is not among `classes`, or if a checkpoint is of
            another fit. With `checkpoint`, also if a block differs from what was
            read before.
        PermissionError
            If others may have written a checkpoint.
        RuntimeError
            If another fit uses the directory of the checkpoints.
        """
        labels = feature_labels(X)
        X, y, params = all_without_labels(X, y, params)
        check_passes(self)
        check_kinds({"X": X, "y": y})
        X, y, params = beside_in_memory(X, y, params)
        data = self._take(None, X, y, params)
        validation = self._validation_blocks(data.rows["X"], labels)
        checkpoints = self._open_checkpoints(data)
        with nullcontext() if checkpoints is None else checkpoints:
            blocks = settle(data.blocks)
            progress = self._begin(blocks, checkpoints, validation)
            session = self._open(data, blocks, progress.fitting.estimator, y)
            tasks = FitTasks(self, self.max_iter, X, y)
            watching = [tasks] if has_callbacks(self) else []
            saving = [] if checkpoints is None else [checkpoints]
            passes = self._plan_passes(session, [*watching, *saving])
            progress = passes.finish(progress)
            tasks.end_fit(progress.fitting)
            if progress.fitting.rounded:
                warn_of_rounding()
            if checkpoints is not None:
                # The process may have been asked to end since the last pass.
                checkpoints.end_pass(progress)
                checkpoints.mark_finished(progress, keep=self.keep_checkpoint)
            self._commit(progress, list(progress.history), labels)
            if checkpoints is not None:
                checkpoints.finish(keep=self.keep_checkpoint)
        return self

    def partial_fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Continue the fit in one more pass, or start it.

        A copy of ``estimator_`` is fitted. It replaces ``estimator_`` only at the
        end, so that a failure changes nothing.

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
        labels = feature_labels(X) or vars(self).get("_labels")
        if "estimator_" in vars(self):
            self._check_labels(X)
        X, y, params = all_without_labels(X, y, params)
        check_kinds({"X": X, "y": y})
        X, y, params = beside_in_memory(X, y, params)
        fitting = Fitting(None)
        rng = _new_rng(self.random_state)
        if "estimator_" in vars(self):
            fitting = Fitting(copy_estimator(self.estimator_))
            rng = copy.deepcopy(vars(self).get("_rng")) or rng
        data = self._take(fitting.estimator, X, y, params)
        check_enough_blocks(self.replicas, len(data.blocks))
        session = self._open(data, settle(data.blocks), fitting.estimator, y)
        passes = Passes(
            len(session.blocks),
            session.run,
            session.end_rows,
            shuffle=self.shuffle_blocks,
            shuffle_rows=self.shuffle_rows,
            progressive=self._progressive,
        )
        progress = passes.finish(begin(passes.n_blocks, fitting, rng))
        if progress.fitting.rounded:
            warn_of_rounding()
        (record,) = progress.history
        history = vars(self).get("history_", [])
        self._commit(progress, [*history, {**record, "pass": len(history) + 1}], labels)
        return self

    def _fit_and(self, method: str, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Fit, then call a method on X.

        Parameters
        ----------
        method : str
            The name of the method, such as ``"transform"``.
        X, y, params
            As for `fit`.
        """
        return getattr(self.fit(X, y, **params), method)(X)

    def _take(
        self, fitted: Estimator | None, X: Any, y: Any, params: dict[str, Any]
    ) -> _Data:
        """Check what a fit is given and pair its rows, before any are read.

        Parameters
        ----------
        fitted : estimator or None
            The estimator that goes on learning; None if a new one is to learn.
        X, y, params
            As for `fit`.

        Returns
        -------
        _Data
        """
        fresh, rows, others = self._check(fitted, X, y, params)
        blocks = read_blocks(rows)
        if "classes" in others:
            others["classes"] = as_classes(others["classes"])
        return _Data(fresh, rows, blocks, others)

    def _check(
        self, fitted: Estimator | None, X: Any, y: Any, params: dict[str, Any]
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Check what a fit is given.

        Parameters
        ----------
        fitted, X, y, params
            As for `_take`.

        Returns
        -------
        fresh : estimator
            A clone of the wrapper's estimator that is not fitted.
        rows, others : dict
            As from `_split`.
        """
        check_learns(self.estimator)
        check_options(self.estimator)
        check_target(self.estimator, y)
        active_scheduler().look_ahead(self.prefetch)
        check_batch_size(self.batch_size)
        check_progressive(self)
        check_replicas(self)
        size = rows_of_batch(self.batch_size, X)
        check_least(size, least_rows(self.estimator), self.estimator)
        fresh = clone(self.estimator, safe=False)
        estimator = fresh if fitted is None else fitted
        X = as_documents(estimator, X)
        rows, others = self._split(estimator, X, y, params)
        check_rows(estimator, rows)
        return fresh, rows, others

    def _begin(
        self, blocks: Blocks, checkpoints: Checkpoints | None, validation: Blocks | None
    ) -> Progress:
        """Return the progress of a new fit, or that of its last checkpoint.

        Parameters
        ----------
        blocks : Blocks
            The blocks of X, y and the parameters with an entry for each row.
        checkpoints : Checkpoints or None
            None if none are kept.
        validation : Blocks or None
            The blocks of the validation data; None if there are none.

        Returns
        -------
        Progress

        Raises
        ------
        ValueError
            If the checkpoint is of another fit, or if there are too few blocks to hold
            one out.
        """
        progress: Progress | None = None if checkpoints is None else checkpoints.load()
        if progress is not None:
            if validation is not None:
                whose = "of validation_data "
                check_digests(validation, progress.validation, whose)
            check_same(blocks, progress)
            return progress
        holds_out = self.early_stopping and self.validation_data is None
        progress = begin(
            len(blocks),
            Fitting(None),
            _new_rng(self.random_state),
            self.validation_fraction if holds_out else None,
        )
        check_enough_blocks(self.replicas, len(blocks) - len(progress.held_out))
        if checkpoints is None:
            return progress
        held_out = progress.held_out
        return replace(
            progress,
            digests=digests_of_some(blocks, held_out) if held_out else {},
            validation={}
            if validation is None
            else digests_of_some(validation, range(len(validation))),
        )

    def _open(
        self,
        data: _Data,
        blocks: Blocks,
        fitted: Estimator | None,
        y: Any,
        find: Callable[[Any, Any], Any] = find_classes,
    ) -> FitSession:
        """Return all that the passes need, with the classes of a classifier found."""
        X = data.rows["X"]
        options = Options(
            self._with_classes(data, fitted, y, find),
            rows_of_batch(self.batch_size, X),
            RowShuffle(self._window) if self.shuffle_rows else None,
            self.tol is not None
            and not (self.early_stopping or self.progressive_validation),
            rows_in_cache(X),
            n_outputs(y),
            self._progressive,
            begun=fitted is not None,
        )
        every = None if self.checkpoint is None else self.checkpoint_every
        return FitSession(
            data.fresh, blocks, options, self.prefetch, every, replicas=self.replicas
        )

    def _validation_blocks(
        self, X_fitted: Any, labels: list[str] | None
    ) -> Blocks | None:
        """Return the blocks of the validation data; None if there are none.

        They are compared with the X of the fit, and their rows are paired, before
        anything is read.
        """
        if self.validation_data is None:
            return None
        with noted("in validation_data"):
            check_feature_labels(self.validation_data[0], labels)
            X, y = map(without_labels, self.validation_data)
            check_declared_columns(X, declared_columns(X_fitted), "the X of the fit")
            rows = in_memory_with_first({"X": as_documents(self.estimator, X), "y": y})
            blocks = read_blocks({n: v for n, v in rows.items() if v is not None})
            if blocks.in_memory:
                Block({name: rows[name] for name in blocks.names}).count_rows()
        return blocks

    @property
    def _window(self) -> int:
        """How many blocks' rows are mixed with those of a block."""
        return 8 if self.prefetch == "auto" else max(int(self.prefetch), 1)

    def _plan_passes(self, session: FitSession, observers: list[Any]) -> Passes:
        """Return the passes of a fit.

        Parameters
        ----------
        session : FitSession
        observers : list of Observer
            They are told of each block and pass, in this order.
        """
        return Passes(
            len(session.blocks),
            session.run,
            session.end_rows,
            max_iter=self.max_iter,
            shuffle=self.shuffle_blocks,
            shuffle_rows=self.shuffle_rows,
            score=self._validation_score(session),
            early_stopping=self.early_stopping,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            progressive=self._progressive,
            observers=observers,
            verbose=self.verbose,
        )

    @property
    def _progressive(self) -> Progressive | None:
        """How the estimator is scored before it learns; None if it is not."""
        if not self.progressive_validation:
            return None
        return Progressive(as_scorers(self.scoring, self.refit))

    def _validation_score(self, session: FitSession) -> Any:
        """Return the function that scores an estimator after a pass.

        Returns
        -------
        callable or None
            ``score(estimator, held_out) -> dict``, as for `Passes`. `held_out` are the
            positions of the blocks that are held out. None if passes are not scored.
        """
        scorers = as_scorers(self.scoring, self.refit)
        if self.validation_data is None:
            return partial(session.score, scorers) if self.early_stopping else None
        X, y = self.validation_data

        def score(estimator: Estimator, held_out: Any) -> dict[str, float]:
            with noted("while scoring validation_data"):
                wrapper = ParallelPostFit(estimator, scoring=self.scoring)
                scores = wrapper.score(X, y)
            scores = scores if scorers.several else {scorers.main: scores}
            return scorers.record({name: float(one) for name, one in scores.items()})

        return score

    def _open_checkpoints(self, data: _Data) -> Checkpoints | None:
        """Return the checkpoints of a fit of these data; None if none are kept."""
        if self.checkpoint is None:
            return None
        parameters = {
            name: value
            for name, value in self.get_params().items()
            if name not in _WITHOUT_EFFECT
        }
        # What cannot be pickled fails here, not when the first checkpoint is due.
        pickled((data.fresh, self.random_state))
        described = fingerprint({**parameters, **data.params}, data.describe())
        return Checkpoints(self.checkpoint, self.checkpoint_every, described)

    def _commit(
        self,
        progress: Progress,
        history: list[dict[str, Any]],
        labels: list[str] | None,
    ) -> None:
        """Set the attributes that a fit learns.

        Parameters
        ----------
        progress : Progress
            The progress at the end of the fit.
        history : list of dict
            The records of all passes, also of those of earlier calls of `partial_fit`.
        labels : list of str or None
            The features of X, if it is of xarray.
        """
        # All attributes change in one call, which nothing can interrupt.
        self.__dict__.update(
            estimator_=progress.fitting.estimator,
            history_=history,
            n_iter_=len(history),
            _rng=progress.rng,
            _labels=labels,
        )

    def _split(
        self, estimator: Estimator, X: Any, y: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Separate what is cut into blocks from parameters that pass unchanged.

        Parameters
        ----------
        estimator : estimator
            The estimator that will learn.
        X, y
            As for `fit`.
        params : dict
            The further arguments of `fit`. ``classes`` is removed from it.

        Returns
        -------
        rows : dict
            X, y and the parameters with an entry for each row, by name. y is left out
            if the estimator learns nothing from it.
        others : dict
            The other parameters of ``partial_fit``, by name. The classes are among them
            if the user gives them.

        Raises
        ------
        TypeError
            If the estimator does not take a parameter.
        ValueError
            If it cannot be told whether a parameter has an entry for each row.
        """
        classes = {"classes": params.pop("classes", None)}
        if classes["classes"] is None:
            classes = {} if self.classes is None else {"classes": self.classes}
        if get_config()["enable_metadata_routing"] and params:
            params = process_routing(self, "fit", **params).estimator.partial_fit
        check_params(estimator, {**params, **classes})
        rows = (
            {"X": X}
            if y is None or traits_of(estimator).ignores_y
            else {"X": X, "y": y}
        )
        for name, value in params.items():
            if _is_row_wise(name, value, X, y):
                rows[name] = value
        others = {name: params[name] for name in params if name not in rows}
        return rows, {**others, **classes}

    def _with_classes(
        self,
        data: _Data,
        fitted: Estimator | None,
        y: Any,
        find: Callable[[Any, Any], Any],
    ) -> dict[str, Any]:
        """Return the parameters of ``partial_fit``, with the classes if it needs them.

        Parameters
        ----------
        data : _Data
        fitted : estimator or None
            An estimator that may know its classes. If it does not, they are found in y.
        y : array-like or collection, or None
        find : callable
            ``find(estimator, y)`` finds the classes, as `find_classes` does.

        Returns
        -------
        dict
            The parameters that have no entry for each row, by name.
        """
        params = dict(data.params)
        estimator = data.fresh if fitted is None else fitted
        if "classes" in params or y is None or not needs_classes(estimator):
            return params
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            classes = find(estimator, y)
        return {**params, "classes": classes}


@dataclass(frozen=True)
class _Data:
    """The arguments of a fit, checked and paired.

    Parameters
    ----------
    fresh : estimator
        A clone of the wrapper's estimator that is not fitted.
    rows : dict
        X, y and the parameters with an entry for each row, as the user gives them.
    blocks : Blocks
        The blocks of `rows`.
    params : dict
        The other parameters of ``partial_fit``, by name.
    """

    fresh: Any
    rows: Mapping[str, Any]
    blocks: Blocks
    params: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return what the rows can be recognised by, as `describe_rows` does."""
        rows = {name: self.rows[name] for name in self.blocks.names}
        return describe_rows(rows, len(self.blocks), self.blocks.n_rows)


def _new_rng(random_state: Any) -> np.random.RandomState:
    """Return a random generator that the wrapper can keep."""
    rng = check_random_state(random_state)
    # Without a seed `rng` is NumPy's global generator, which must not be kept.
    seed = rng.randint(2**31) if random_state is None else None
    return rng if seed is None else np.random.RandomState(seed)


def _is_row_wise(name: str, value: Any, X: Any, y: Any) -> bool:
    """Tell whether a parameter of ``partial_fit`` has an entry for each row.

    Parameters
    ----------
    name : str
        The name of the parameter. It may begin with the name of a step.
    value : object
    X, y : array-like or collection
        As for `fit`. The value is compared with their length.

    Raises
    ------
    ValueError
        If it cannot be told, because the length of X is unknown.
    """
    if is_lazy(value):
        return True
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return False
    last_name = name.rpartition("__")[2]
    if last_name == "classes" or np.ndim(value) == 0:
        return False
    if last_name == "sample_weight":
        return True
    length = _n_rows(X)
    if length is None and y is not None:
        length = _n_rows(y)
    if length is None:
        raise ValueError(
            f"{name} has {n_rows(value)} entries ({type(value).__name__}), and the "
            "number of rows of X is unknown, so that it cannot be told whether it has "
            "one for each row. If it does, pass it as a dask collection that is cut "
            "like X, such as a column of the same dataframe. If it does not, set it as "
            "a parameter of the estimator, or pass an X of known length "
            "(`X.to_dask_array(lengths=True)` or `compute_chunk_sizes()`)."
        )
    return n_rows(value) == length


def _n_rows(rows: Any) -> int | None:
    """Return the number of rows of a collection or data in memory; None if unknown."""
    known = as_collection(rows).n_rows
    return None if known is None else sum(known)
