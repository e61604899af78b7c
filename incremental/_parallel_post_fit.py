"""`ParallelPostFit`: a fitted estimator over the blocks of dask collections."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Self, cast

from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from incremental._blocks.collections import in_memory_with_first, is_lazy
from incremental._blocks.columns import check_declared_columns, learned_columns
from incremental._blocks.labelled import (
    all_without_labels,
    as_samples,
    check_feature_labels,
    feature_labels,
    with_labels_of,
)
from incremental._blocks.targets import as_target
from incremental._estimators.composition import learn, only_transforms
from incremental._estimators.copying import copy_estimator
from incremental._estimators.documents import as_documents
from incremental._estimators.float_types import warn_of_rounding
from incremental._estimators.foreign import check_fitted, tags_of
from incremental._estimators.older_sklearn import requires_fit
from incremental._estimators.sklearn_types import (
    BaseEstimator,
    MetaEstimatorMixin,
    available_if,
)
from incremental._predict.map_method import map_method
from incremental._predict.outputs import METAS
from incremental._predict.scorers import as_scorers
from incremental._predict.scoring import (
    lazy_scores,
    score_collections,
    score_in_memory,
)
from incremental._typing import Data, Estimator, Method, Piece, Scoring


def _estimator_has(name: str) -> Callable[[Any], bool]:
    """Return a check, for `available_if`, that the estimator has a method."""

    def check(self: Any) -> bool:
        getattr(self._inner, name)
        return True

    return check


def _can_score(self: Any) -> bool:
    return self.scoring is not None or _estimator_has("score")(self)


def _can_fit_predict(self: Any) -> bool:
    return all(_estimator_has(name)(self) for name in ("fit_predict", "predict"))


def _post_fit(shape: str) -> Callable[[Method], Method]:
    """Return a decorator whose result calls the estimator's method of the same name.

    Parameters
    ----------
    shape : str
        The shape of what the method returns, for its docstring.
    """

    def make(stub: Method) -> Method:
        name = stub.__name__

        @wraps(stub)
        def method(self: ParallelPostFit, X: Data, **params: Any) -> Data:
            return self._apply(name, X, params)

        method.__doc__ = f"""{stub.__doc__}

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        **params
            Further arguments of the estimator's ``{name}``.

        Returns
        -------
        array or lazy collection of shape {shape}
        """
        return available_if(_estimator_has(name))(cast(Method, method))

    return make


def _check_in_memory(X: Data) -> None:
    """Check that X is no dask collection.

    Raises
    ------
    TypeError
        If it is one.
    """
    if is_lazy(X):
        raise TypeError(
            f"X is a dask collection ({type(X).__name__}); expected data in memory. "
            "Pass a sample of it (`X.compute()`), or use `Incremental` with an "
            "estimator that has `partial_fit`."
        )


def beside_in_memory(
    X: Data, y: Data, params: dict[str, Any]
) -> tuple[Data, Data, dict[str, Any]]:
    """Compute y and parameters of a fit that are lazy, if X is in memory."""
    computed = in_memory_with_first({"X": X, "y": y}, params)
    return computed.pop("X"), computed.pop("y"), computed


def check_target(estimator: Estimator, y: Data) -> None:
    """Check that y is given if the estimator needs it.

    Raises
    ------
    ValueError
        If y is needed and is None.
    """
    if y is None and tags_of(estimator).target_tags.required:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is "
            "None."
        )


class ParallelPostFit(MetaEstimatorMixin, BaseEstimator):
    """A wrapper that applies a fitted estimator to dask collections.

    Its methods take dask collections of any size and return lazy collections,
    computed with one task for each block. On data in memory they return what the
    estimator returns.

    Parameters
    ----------
    estimator : estimator
        Any scikit-learn estimator. One that is fitted already works at once. So does
        an object that has only a ``predict``, ``transform`` or the like. An
        `Incremental` is fitted on dask collections.
    scoring : str, callable, list, tuple, set or dict, default=None
        What `score` computes: the name of a scorer, a scorer, or several of them as a
        collection of names or a dict of names to scorers, as
        `sklearn.metrics.check_scoring` takes it. By default the estimator's own score:
        accuracy for classifiers and R² for regressors.
    predict_meta : array, pandas.Series or pandas.DataFrame, default=None
        An example of what `predict` returns, of any number of rows. By default
        `predict` is called on one made-up row to learn what it returns. The result
        has the type of the example. If that is of another kind than the type of the
        prediction and cannot hold it, the result has the type of the prediction.
        With a pandas example the result for a dataframe is a dask series or dataframe
        with the same index. Floats are rounded if the example has a narrower float
        type. Any other value that the type cannot hold is an error.
    predict_proba_meta : array or pandas.DataFrame, default=None
        The same for `predict_proba`.
    transform_meta : array or pandas.DataFrame, default=None
        The same for `transform`.

    Attributes
    ----------
    estimator_ : estimator
        The clone that `fit` fitted. Its learned attributes, such as ``coef_`` or
        ``classes_``, are attributes of the wrapper too.

    See Also
    --------
    Incremental : The same for an estimator that is fitted on dask collections as well.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.svm import SVC
    >>> from incremental import ParallelPostFit
    >>> X, y = make_classification(n_samples=100, random_state=0)
    >>> classifier = ParallelPostFit(SVC()).fit(X, y)
    >>> big = da.from_array(X, chunks=(25, 20))
    >>> classifier.predict(big)
    dask.array<predict, shape=(100,), dtype=int64, chunksize=(25,), ...>
    >>> classifier.score(big, y) == classifier.score(X, y)
    True
    """

    estimator_: Any

    def __init__(
        self,
        estimator: Any,
        *,
        scoring: Scoring = None,
        predict_meta: Piece = None,
        predict_proba_meta: Piece = None,
        transform_meta: Piece = None,
    ) -> None:
        self.estimator = estimator
        self.scoring = scoring
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta

    def fit(self, X: Data, y: Data = None, **params: Any) -> Self:
        """Fit a clone of the estimator on data in memory.

        If the estimator needs no fit or is frozen, X and y may also be dask
        collections. They are not read. So the wrapper can be a step of a pipeline
        that is fitted on dask collections. If the estimator is an `Incremental`, it
        is fitted on dask collections block by block.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
            A dask collection is computed, as are those among `params`.
        **params
            Further arguments of the estimator's ``fit``.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If X is a dask collection.
        """
        labels = feature_labels(X)
        X, y, params = all_without_labels(X, y, params)
        estimator = clone(self.estimator, safe=False)
        if isinstance(estimator, ParallelPostFit):
            self.estimator_, self._labels = estimator.fit(X, y, **params), labels
            return self
        without_fit = not hasattr(estimator, "fit") and not requires_fit(estimator)
        if without_fit or (is_lazy(X) and only_transforms(estimator)):
            self.estimator_, self._labels = estimator, labels
            return self
        _check_in_memory(X)
        X, y, params = beside_in_memory(X, y, params)
        check_target(estimator, y)
        X = as_documents(estimator, X)
        data = (X,) if y is None else (X, y)
        fitted = estimator.fit(*data, **params)
        self.estimator_, self._labels = fitted, labels
        return self

    @available_if(_estimator_has("partial_fit"))
    def partial_fit(self, X: Data, y: Data = None, **params: Any) -> Self:
        """Let a copy of the estimator learn from one more block in memory.

        It goes on from what the estimator has learned. An `Incremental` takes dask
        collections too, and makes a pass over their blocks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
            A dask collection is computed, as are those among `params`.
        **params
            Further arguments of the estimator's ``partial_fit``.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If X is a dask collection.
        """
        labels = feature_labels(X) or vars(self).get("_labels")
        if "estimator_" in vars(self):
            self._check_labels(X)
        X, y, params = all_without_labels(X, y, params)
        estimator = copy_estimator(self._inner)
        if isinstance(estimator, ParallelPostFit):
            self.estimator_ = estimator.partial_fit(X, y, **params)
            self._labels = labels
            return self
        _check_in_memory(X)
        X, y, params = beside_in_memory(X, y, params)
        check_target(estimator, y)
        X = as_documents(estimator, X)
        if learn(estimator, X, y, params):
            warn_of_rounding()
        self.estimator_, self._labels = estimator, labels
        return self

    @available_if(_estimator_has("transform"))
    def fit_transform(self, X: Data, y: Data = None, **params: Any) -> Data:
        """Fit, then transform X, as the estimator itself does it.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,), optional
        **params
            Further arguments of `fit`.

        Returns
        -------
        array or lazy collection of shape (n_samples, n_features_out)
        """
        return self._fit_and("transform", X, y, params)

    @available_if(_can_fit_predict)
    def fit_predict(self, X: Data, y: Data = None, **params: Any) -> Data:
        """Fit, then predict the cluster or label of each row of X.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,), optional
        **params
            Further arguments of `fit`.

        Returns
        -------
        array or lazy collection of shape (n_samples,)
        """
        return self._fit_and("predict", X, y, params)

    @_post_fit("(n_samples,) or (n_samples, n_outputs)")
    def predict(self, X: Data, **params: Any) -> Data:
        """Predict the target of each row."""

    @_post_fit("(n_samples, n_classes), or a list of them")
    def predict_proba(self, X: Data, **params: Any) -> Data:
        """Predict the probability of each class."""

    @_post_fit("(n_samples, n_classes), or a list of them")
    def predict_log_proba(self, X: Data, **params: Any) -> Data:
        """Predict the logarithm of the probability of each class."""

    @_post_fit("(n_samples, n_classes)")
    def predict_joint_log_proba(self, X: Data, **params: Any) -> Data:
        """Predict the joint log-probability of each row and class."""

    @_post_fit("(n_samples,) or (n_samples, n_classes)")
    def decision_function(self, X: Data, **params: Any) -> Data:
        """Compute the decision function of each row."""

    @_post_fit("(n_samples,)")
    def score_samples(self, X: Data, **params: Any) -> Data:
        """Score each row, for example by its log-likelihood."""

    @_post_fit("(n_samples, n_features_out)")
    def transform(self, X: Data, **params: Any) -> Data:
        """Transform each row."""

    @_post_fit("(n_samples, n_features)")
    def inverse_transform(self, X: Data, **params: Any) -> Data:
        """Undo `transform` for each row."""

    @_post_fit("(n_samples, n_neighbors), or a list of two")
    def kneighbors(self, X: Data, **params: Any) -> Data:
        """Find the nearest of the fitted rows for each row."""

    @_post_fit("(n_samples,) or (n_samples, n_trees)")
    def apply(self, X: Data, **params: Any) -> Data:
        """Find the leaf of each row in each tree."""

    @available_if(_estimator_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the columns that `transform` yields.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns of X.

        Returns
        -------
        ndarray of str
        """
        return self._fitted_estimator().get_feature_names_out(input_features)

    @available_if(_estimator_has("set_output"))
    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` yields, as scikit-learn's ``set_output`` does.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional

        Returns
        -------
        self
        """
        self.estimator.set_output(transform=transform)
        if "estimator_" in vars(self):
            self.estimator_ = copy.deepcopy(self.estimator_)
            self.estimator_.set_output(transform=transform)
        return self

    @available_if(_can_score)
    def score(
        self,
        X: Data,
        y: Data = None,
        sample_weight: Data = None,
        *,
        compute: bool = True,
    ) -> Any:
        """Score the predictions for X.

        Each block is read once, for all scorers. Accuracy, R² and all metrics that
        `reduction_of` knows are computed block by block, and so is an estimator's own
        score that is a sum or a mean over the rows. Nothing is gathered for them. For
        other scorers the predictions are gathered in memory with y, from the same read.
        X is never gathered. Scorers made by `sklearn.metrics.make_scorer` say which
        method they call. For any other callable the outputs of all methods that it may
        call are gathered.

        Parameters
        ----------
        X : array-like or collection of shape (n_samples, n_features)
        y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs)
            Only a score that needs none can do without it.
        sample_weight : array-like or collection of shape (n_samples,), optional
            One of several scorers that takes no weights gets none.
        compute : bool, default=True
            Whether to compute the score now.

        Returns
        -------
        float, or dask array of shape ()
            The lazy score if `compute` is False. With several scorers a dict of such
            scores by their names. Lazy ones share one graph, so that `dask.compute`
            computes all in one read.

        Raises
        ------
        TypeError
            If the estimator has a ``score`` of its own, which is not known to be a sum
            or a mean over the rows, and `scoring` is None. If `scoring` is of a wrong
            kind, or takes no weights that are given. If `compute` is False, also if
            `scoring` is a callable that does not say which method it calls.
        ValueError
            If the rows cannot be paired, or there are none, or if there is no scorer
            of a name.
        """
        inner = self._inner
        if self.scoring is None and isinstance(inner, ParallelPostFit):
            return inner.score(X, y, sample_weight, compute=compute)
        scorers = as_scorers(self.scoring)
        estimator = self._fitted_estimator()
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._check_labels(X)
        X, y, weight = all_without_labels(X, y, weight)
        if is_lazy(X):
            learned = learned_columns(estimator)
            check_declared_columns(X, learned, "the fitted estimator")
        if not compute:
            rows = {"X": X, **({} if y is None else {"y": y}), **weight}
            scores = lazy_scores(scorers, copy.deepcopy(estimator), rows)
            return scorers.as_asked(scores)
        X, y, weight = beside_in_memory(X, y, weight)
        X = as_documents(estimator, X)
        if not is_lazy(X):
            scores = score_in_memory(scorers, estimator, X, as_target(y), **weight)
        else:
            rows = {"X": X, **({} if y is None else {"y": y}), **weight}
            scores = score_collections(scorers, estimator, rows, X, self)
        return scorers.as_asked(scores)

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata goes to which method of the estimator.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        mapping = MethodMapping()
        for caller, callee in self._routes.items():
            mapping.add(caller=caller, callee=callee)
        return MetadataRouter(owner=self).add(
            estimator=self.estimator, method_mapping=mapping
        )

    _routes = {"fit": "fit", "score": "score"}  # noqa: RUF012

    def _apply(self, name: str, X: Data, params: dict[str, Any]) -> Data:
        """Call a method of the fitted estimator on X, lazily if X is lazy.

        Parameters
        ----------
        name : str
            The name of the method.
        X : array-like or collection
        params : dict
            Further arguments of the method.
        """
        estimator = self._fitted_estimator()
        given, X = X, as_samples(X)
        lazy = is_lazy(X)
        if name != "inverse_transform":
            self._check_labels(given)
            X = as_documents(estimator, X)
        if not lazy:
            output = getattr(estimator, name)(X, **params)
            return with_labels_of(given, output, name)
        if "estimator_" not in vars(self):
            # A copy keeps the result right if the user fits the estimator again.
            estimator = copy.deepcopy(estimator)
        output = map_method(estimator, name, X, meta=self._meta(name), **params)
        return with_labels_of(given, output, name)

    def _fit_and(self, method: str, X: Data, y: Data, params: dict[str, Any]) -> Data:
        """Fit, then call a method on X; in one call if the estimator has one for both.

        Parameters
        ----------
        method : str
            The name of the method, such as ``"transform"``.
        X, y, params
            As for `fit`.
        """
        nested = isinstance(self.estimator, ParallelPostFit)
        own = not nested and hasattr(self.estimator, f"fit_{method}")
        if is_lazy(X) or not own:
            return getattr(self.fit(X, y, **params), method)(X)
        given = X
        X, y, params = all_without_labels(X, y, params)
        X, y, params = beside_in_memory(X, y, params)
        estimator = clone(self.estimator, safe=False)
        X = as_documents(estimator, X)
        output = getattr(estimator, f"fit_{method}")(X, y, **params)
        self.estimator_, self._labels = estimator, feature_labels(given)
        return with_labels_of(given, output, method)

    def _check_labels(self, X: Data) -> None:
        """Check that the features of xarray's objects are those of the fit."""
        names = getattr(self._inner, "feature_names_in_", None)
        check_feature_labels(X, vars(self).get("_labels") or names)

    @property
    def _inner(self) -> Estimator:
        """The fitted estimator, or the one to clone before the fit."""
        inner: Estimator = vars(self).get("estimator_", self.estimator)
        return inner

    def _fitted_estimator(self) -> Estimator:
        """Return the fitted estimator; the innermost one if wrappers are nested.

        Raises
        ------
        NotFittedError
            If it needs a fit and has none.
        """
        inner = self._inner
        if isinstance(inner, ParallelPostFit):
            return inner._fitted_estimator()
        if "estimator_" not in vars(self) and requires_fit(inner):
            check_fitted(inner)
        return inner

    def _meta(self, method: str) -> Piece:
        """Return the user's example of what a method returns; None without one."""
        meta = getattr(self, METAS.get(method, ""), None)
        if meta is None and isinstance(self.estimator, ParallelPostFit):
            return self.estimator._meta(method)
        return meta

    def __sklearn_is_fitted__(self) -> bool:
        from sklearn.exceptions import NotFittedError

        try:
            self._fitted_estimator()
        except NotFittedError:
            return False
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = tags_of(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.target_tags = copy.deepcopy(inner.target_tags)
        tags.classifier_tags = copy.deepcopy(inner.classifier_tags)
        tags.regressor_tags = copy.deepcopy(inner.regressor_tags)
        tags.transformer_tags = copy.deepcopy(inner.transformer_tags)
        tags.input_tags = copy.deepcopy(inner.input_tags)
        tags.requires_fit = requires_fit(self.estimator)
        tags.non_deterministic = inner.non_deterministic
        return tags

    if not TYPE_CHECKING:  # else a type checker would accept any misspelt method

        def __getattr__(self, name: str) -> Any:
            defined = (vars(kind) for kind in type(self).__mro__)
            method = next((own[name] for own in defined if name in own), None)
            if method is not None:
                # Python asks here after the method has said why it is not available.
                # Ask it again, so that it says so to the caller.
                return method.__get__(self, type(self))
            learned = name.endswith("_") and not name.startswith("_")
            if not learned or "estimator" not in vars(self) or name == "estimator_":
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}"
                )
            return getattr(self._inner, name)
