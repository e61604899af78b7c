"""`reduction_of`: how metrics are computed from what is known of each block."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from incremental._blocks.rows import n_rows, pick_rows
from incremental._predict.gathering import stack


class Reduction(NamedTuple):
    """How a metric is computed block by block, so that no predictions are gathered.

    Attributes
    ----------
    chunk : callable
        ``chunk(y, predicted, sample_weight)`` returns what is to be known of a block.
        It should be small. ``sample_weight`` is None if there are no weights. Those of
        a block may all be 0.
    aggregate : callable
        ``aggregate(parts) -> float`` returns the metric from these results for all
        blocks, in the order of the data.
    """

    chunk: Callable[[Any, Any, Any], Any]
    aggregate: Callable[[list[Any]], float]

    @classmethod
    def of_means(
        cls, metric: Callable[..., Any], params: Mapping[str, Any], classes: Any = None
    ) -> Reduction:
        """Return the reduction of a metric that is a weighted mean over the rows.

        Parameters
        ----------
        metric : callable
            ``metric(y, predicted, **params)``. It gets ``sample_weight`` too if there
            are weights.
        params : dict
            The other arguments of the metric.
        classes : array, optional
            Not used.
        """
        return cls(partial(_mean_of_block, metric, dict(params)), weighted_mean)

    @classmethod
    def of_pairs(
        cls, metric: Callable[..., Any], params: Mapping[str, Any], classes: Any = None
    ) -> Reduction:
        """Return the reduction of a metric that compares labels with labels.

        Rows that are alike in y and in the prediction become one of their summed
        weight. The metric gets these of all blocks. A metric without ``sample_weight``
        gets each as often as it occurs.

        Parameters
        ----------
        metric, params, classes
            As for `of_means`. The metric must not depend on the order of the rows.
        """
        return cls(
            partial(_pairs_of_block, metric, dict(params)),
            partial(_score_pairs, metric, dict(params)),
        )


class ReductionTable:
    """A function that returns the `Reduction` of a metric, or None.

    Scores are computed with it block by block. If a metric has none, or none for the
    parameters that it gets, the predictions and y are gathered.

    Register a function for another metric with `register`. It is called as
    ``function(metric, params, classes)`` and returns a `Reduction`, or None if the
    metric does not reduce with these parameters. `Reduction.of_means` and
    `Reduction.of_pairs` are such functions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import f1_score
    >>> from incremental import Reduction, reduction_of
    >>> f1 = reduction_of(f1_score, {"average": "macro"})
    >>> parts = [
    ...     f1.chunk(np.array([0, 1]), np.array([0, 0]), None),
    ...     f1.chunk(np.array([2, 1]), np.array([2, 1]), None),
    ... ]
    >>> f1.aggregate(parts) == f1_score([0, 1, 2, 1], [0, 0, 2, 1], average="macro")
    True

    A metric of one's own, which is a mean over the rows:

    >>> def bias(y, predicted, *, sample_weight=None):
    ...     return np.average(predicted - y, weights=sample_weight)
    >>> reduction_of.register(bias, Reduction.of_means)

    One that needs more than a mean:

    >>> def bias_per_spread(y, predicted):
    ...     return np.mean(predicted - y) / (np.max(y) - np.min(y))
    >>> @reduction_of.register(bias_per_spread)
    ... def reduce_bias_per_spread(metric, params, classes):
    ...     def chunk(y, predicted, sample_weight):
    ...         return len(y), np.sum(predicted - y), np.max(y), np.min(y)
    ...
    ...     def aggregate(parts):
    ...         rows, sums, highest, lowest = zip(*parts)
    ...         return sum(sums) / sum(rows) / (max(highest) - min(lowest))
    ...
    ...     return Reduction(chunk, aggregate)

    The scorer that is made of it needs no more than that of a block:

    >>> import dask.array as da
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.metrics import make_scorer
    >>> from incremental import ParallelPostFit
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> model = LinearRegression().fit(X, X[:, 0])
    >>> wrapper = ParallelPostFit(model, scoring=make_scorer(bias_per_spread))
    >>> big = da.from_array(X, chunks=(2, 2))
    >>> abs(wrapper.score(big, big[:, 0])) < 1e-12
    True
    """

    def __init__(self) -> None:
        self._functions: dict[Any, Callable[..., Reduction | None]] = {}

    def register(
        self, metric: Callable[..., Any], function: Callable[..., Any] | None = None
    ) -> Any:
        """Register how a metric reduces.

        Parameters
        ----------
        metric : callable
            ``metric(y, predicted, **params)``, as `make_scorer` takes it.
        function : callable, optional
            ``function(metric, params, classes)``. Without it a decorator is returned.
        """
        if function is None:
            return partial(self._decorate, metric)
        self._functions[metric] = function
        return None

    def _decorate(
        self, metric: Callable[..., Any], function: Callable[..., Any]
    ) -> Callable[..., Any]:
        self.register(metric, function)
        return function

    def __call__(
        self,
        metric: Callable[..., Any],
        params: Mapping[str, Any] | None = None,
        classes: Any = None,
    ) -> Reduction | None:
        """Return how a metric reduces.

        Parameters
        ----------
        metric : callable
        params : dict, optional
            The arguments that the metric gets beside y, the prediction and the weights.
        classes : array of shape (n_classes,), optional
            The classes of the estimator.

        Returns
        -------
        Reduction or None
            None if it is not known to reduce.
        """
        _register_scikit_learns()
        known = isinstance(metric, Hashable) and metric in self._functions
        if not known:
            return None
        return self._functions[metric](metric, dict(params or {}), classes)


reduction_of = ReductionTable()


@cache
def _register_scikit_learns() -> None:
    # Importing scikit-learn's metrics takes longer than importing this package.
    import_module("incremental._predict.sklearn_reductions")


def check_total_weight(total: float) -> None:
    """Check that not all weights are 0.

    Raises
    ------
    ValueError
        If they are.
    """
    if total == 0:
        raise ValueError(
            "Sample weights must contain at least one non-zero number, but those of "
            "all blocks sum to 0."
        )


def weights_of(y: Any, weight: Any) -> tuple[float, dict[str, Any]]:
    """Return the summed weight of rows, and the weights as an argument of a metric.

    scikit-learn refuses weights that are all 0, but those of one block may be. They are
    left out then.
    """
    if weight is None:
        return float(n_rows(y)), {}
    values = np.asarray(weight, dtype=float)
    return float(values.sum()), {"sample_weight": weight} if values.any() else {}


def _mean_of_block(
    metric: Callable[..., Any], params: Mapping[str, Any], y: Any, got: Any, weight: Any
) -> tuple[float, Any]:
    total, weights = weights_of(y, weight)
    return total, metric(y, got, **weights, **params)


def weighted_mean(parts: Sequence[tuple[float, Any]]) -> Any:
    """Return the mean of numbers from pairs of weight and number."""
    weights, values = zip(*parts, strict=True)
    check_total_weight(sum(weights))
    return np.average(np.asarray(values), axis=0, weights=weights)


def _pairs_of_block(
    metric: Callable[..., Any], params: Mapping[str, Any], y: Any, got: Any, weight: Any
) -> tuple[Any, Any, Any, bool]:
    """Return the distinct rows of y and the prediction, and the weight of each.

    Returns
    -------
    y, predicted : array or frame
        Of the same kinds as those of the block.
    weight : ndarray
    weighted : bool
        Whether these are sums of weights, and not counts.
    """
    where, weights = distinct_rows([y, got], weight)
    if where is not None:
        y, got = pick_rows(y, where), pick_rows(got, where)
    bad = np.flatnonzero(~(_labels(y) & _labels(got)))
    if len(bad):
        # If the metric refuses them, it does so here, where the block is known.
        metric(pick_rows(y, bad), pick_rows(got, bad), **params)
    return y, got, weights, weight is not None


def _labels(rows: Any) -> Any:
    """Tell which rows hold values that may be labels."""
    values = None if sp.issparse(rows) else np.asarray(rows)
    if values is None or values.dtype.kind not in "fc":
        return np.ones(n_rows(rows), dtype=bool)
    whole = np.isfinite(values) & (values == np.round(values))
    return whole.reshape(len(values), -1).all(axis=1)


def distinct_rows(pieces: Sequence[Any], weight: Any = None) -> tuple[Any, Any]:
    """Find the distinct rows of pieces that lie side by side.

    Parameters
    ----------
    pieces : sequence of array or frame
        Each of shape (n_samples,) or (n_samples, n_columns).
    weight : array of shape (n_samples,), optional
        By default each row weighs 1.

    Returns
    -------
    where : ndarray of int, or None
        The position of one row of each kind. None if all rows are kept, because they
        are sparse or cannot be compared.
    weights : ndarray
        The summed weight of the rows of each kind.
    """
    rows = n_rows(pieces[0])
    own = None if weight is None else np.asarray(weight, dtype=float)
    codes, n_codes = np.zeros(rows, dtype=np.int64), 1
    every = np.ones(rows, dtype=np.int64) if own is None else own
    for piece in pieces:
        if sp.issparse(piece) or n_rows(piece) != rows:
            return None, every
        values = np.asarray(piece)
        for column in values.reshape(rows, -1).T:
            try:
                n_values, column_codes = _codes(column)
            except TypeError:
                return None, every
            codes, n_codes = codes * n_values + column_codes, n_codes * n_values
            if n_codes > max(rows, 1024):
                known, codes = np.unique(codes, return_inverse=True)
                n_codes = len(known)
    where = np.full(n_codes, -1)
    where[codes] = np.arange(rows)
    found = where >= 0
    return where[found], np.bincount(codes, weights=own, minlength=n_codes)[found]


def _codes(column: Any) -> tuple[int, Any]:
    """Give each value of a column a number.

    Returns
    -------
    int
        How many values there are.
    ndarray of int
        The number of the value of each row.

    Raises
    ------
    TypeError
        If values cannot be compared.
    """
    if column.dtype.kind in "OUS":
        # Faster than to sort texts.
        known: dict[Any, int] = {}
        numbers = [known.setdefault(one, len(known)) for one in column.tolist()]
        return len(known), np.asarray(numbers)
    values = np.unique(column)
    return len(values), np.searchsorted(values, column)


def _score_pairs(
    metric: Callable[..., Any], params: Mapping[str, Any], parts: list[Any]
) -> float:
    """Return a metric of the distinct rows of all blocks."""
    y, predicted, weights = (stack([part[at] for part in parts]) for at in range(3))
    weighted = parts[0][3]
    if weighted:
        check_total_weight(np.sum(weights))
    if weighted or "sample_weight" in signature(metric).parameters:
        return metric(y, predicted, sample_weight=weights, **params)  # type: ignore[no-any-return]
    times = np.repeat(np.arange(len(weights)), weights)
    return metric(pick_rows(y, times), pick_rows(predicted, times), **params)  # type: ignore[no-any-return]
