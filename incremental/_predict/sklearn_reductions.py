"""How scikit-learn's metrics reduce by block. Tested with scikit-learn 1.6 and 1.9."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from sklearn import metrics
from sklearn.utils import check_array

from incremental._blocks.rows import n_rows, pick_rows
from incremental._predict.gathering import stack
from incremental._predict.reductions import (
    Reduction,
    check_total_weight,
    distinct_rows,
    reduction_of,
    weighted_mean,
    weights_of,
)

# Means over the rows, whatever their other parameters.
_MEANS = (
    metrics.mean_absolute_error,
    metrics.mean_absolute_percentage_error,
    metrics.mean_gamma_deviance,
    metrics.mean_pinball_loss,
    metrics.mean_poisson_deviance,
    metrics.mean_squared_error,
    metrics.mean_squared_log_error,
    metrics.mean_tweedie_deviance,
)

# Functions of the labels in y and in the prediction.
_PAIRS = (
    metrics.accuracy_score,
    metrics.adjusted_mutual_info_score,
    metrics.adjusted_rand_score,
    metrics.balanced_accuracy_score,
    metrics.cohen_kappa_score,
    metrics.completeness_score,
    metrics.f1_score,
    metrics.fbeta_score,
    metrics.fowlkes_mallows_score,
    metrics.hamming_loss,
    metrics.homogeneity_score,
    metrics.jaccard_score,
    metrics.matthews_corrcoef,
    metrics.mutual_info_score,
    metrics.normalized_mutual_info_score,
    metrics.precision_score,
    metrics.rand_score,
    metrics.recall_score,
    metrics.v_measure_score,
    metrics.zero_one_loss,
)


def _root(
    metric: Callable[..., float], params: Mapping[str, Any], classes: Any
) -> Reduction | None:
    """Reduce the root of a mean: that of each output, then their mean."""
    if params:
        return None
    chunk = partial(_squares_of_block, metric)
    return Reduction(chunk, _mean_root)


def _squares_of_block(
    metric: Callable[..., Any], y: Any, predicted: Any, weight: Any
) -> tuple[float, Any]:
    total, weights = weights_of(y, weight)
    return total, metric(y, predicted, multioutput="raw_values", **weights) ** 2


def _mean_root(parts: list[Any]) -> float:
    return float(np.mean(np.sqrt(weighted_mean(parts))))


def _largest(
    metric: Callable[..., float], params: Mapping[str, Any], classes: Any
) -> Reduction:
    return Reduction(partial(_whole_of_block, metric, dict(params)), max)


def _whole_of_block(
    metric: Callable[..., Any],
    params: Mapping[str, Any],
    y: Any,
    predicted: Any,
    weight: Any,
) -> Any:
    weights = {} if weight is None else {"sample_weight": weight}
    return metric(y, predicted, **weights, **params)


class Moments(NamedTuple):
    """The sums over some rows from which R² is computed. They merge by Chan's formula.

    Attributes
    ----------
    rows : int
        The number of rows.
    weight : float
        The sum of their weights.
    mean : ndarray of shape (2, n_outputs)
        The weighted means of y and of the error, which is y minus the prediction.
        They are those of some of the rows.
    low : ndarray of shape (2, n_outputs)
        What is to be added to `mean`. It holds the digits that `mean` has no room for.
    total : ndarray of shape (2, n_outputs)
        The weighted sums of the squared differences from these means.

    References
    ----------
    Chan, Golub and LeVeque (1982). Updating formulae and a pairwise algorithm for
    computing sample variances. COMPSTAT 1982.
    """

    rows: int
    weight: float
    mean: Any
    low: Any
    total: Any

    @classmethod
    def of(cls, y: Any, predicted: Any, weight: Any) -> Moments:
        """Compute the moments of the rows of a block.

        Parameters
        ----------
        y, predicted : array or frame of shape (n_samples,) or (n_samples, n_outputs)
        weight : array or series of shape (n_samples,), or None
            The weights of the rows. If None, each row weighs 1.

        Raises
        ------
        ValueError
            If a value is not finite, or if the shapes do not match.
        """
        y, predicted = (
            np.asarray(_finite(name, a), dtype=float).reshape(n_rows(a), -1)
            for name, a in (("y", y), ("y_pred", predicted))
        )
        if y.shape != predicted.shape:
            raise ValueError(
                f"y has {y.shape[1]} outputs but the prediction has "
                f"{predicted.shape[1]}; expected the same number."
            )
        w = np.ones(len(y))
        if weight is not None:
            w = np.asarray(_finite("sample_weight", weight), dtype=float)
        if w.shape != (len(y),):
            raise ValueError(
                f"Sample weights must be 1D, got shape {w.shape}; expected ({len(y)},)."
            )
        both = np.stack([y, y - predicted])
        if not w.any():
            mean = low = 0.0 * both[:, 0]
        else:
            mean = np.average(both, axis=1, weights=w)
            low = np.average(both - mean[:, None], axis=1, weights=w)
        rest = both - mean[:, None] - low[:, None]
        total = np.tensordot(rest**2, w, axes=(1, 0))
        return cls(len(y), w.sum(), mean, low, total)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of the rows of both."""
        if not self.weight:
            return other._replace(rows=self.rows + other.rows)
        weight = self.weight + other.weight
        delta = (other.mean - self.mean) + (other.low - self.low)
        share = other.weight / weight
        return Moments(
            self.rows + other.rows,
            weight,
            self.mean,
            self.low + delta * share,
            self.total + other.total + delta**2 * self.weight * share,
        )


def _finite(name: str, values: Any) -> Any:
    """Return values as an array.

    Raises
    ------
    ValueError
        If a value is not finite. The message calls the values `name`.
    """
    return check_array(values, ensure_2d=False, input_name=name)


def _of_moments(
    metric: Callable[..., float], params: Mapping[str, Any], classes: Any
) -> Reduction:
    return Reduction(Moments.of, partial(_score_moments, metric, dict(params)))


def _score_moments(
    metric: Callable[..., float], params: Mapping[str, Any], parts: list[Moments]
) -> float:
    """Return R², or the explained variance, from the moments of each block.

    scikit-learn computes it of two rows that have these moments. It does not depend on
    the mean of y.
    """
    first, *others = parts
    for part in others:
        first = first.merge(part)
    check_total_weight(first.weight)
    signs = np.array([[1.0], [-1.0]])[: first.rows]
    y, spread = (signs * np.sqrt(total / first.weight) for total in first.total)
    return metric(y, y - (first.mean[1] + first.low[1] + spread), **params)


class _OfProbabilities(NamedTuple):
    """The mean of a block of a metric that takes probabilities of the classes.

    Attributes
    ----------
    weight : float
    value : float
    y, predicted : array
        One row for each label in y.
    weights : ndarray
        The summed weight of each label in y.
    rows : int
        The number of rows.
    """

    weight: float
    value: float
    y: Any
    predicted: Any
    weights: Any
    rows: int


def _of_probabilities(
    metric: Callable[..., float], params: Mapping[str, Any], classes: Any
) -> Reduction | None:
    """Reduce a mean over the rows that depends on which labels there are in all."""
    one_array = classes is not None and np.ndim(classes) == 1 and np.size(classes) > 1
    if params.get("normalize", True) is not True or not one_array:
        return None
    return Reduction(
        partial(_probabilities_of_block, metric, dict(params), classes),
        partial(_mean_of_probabilities, metric, dict(params), classes),
    )


def _brier(
    metric: Callable[..., float], params: Mapping[str, Any], classes: Any
) -> Reduction | None:
    if np.size(classes) == 2 and params.get("pos_label") is None:
        # For other labels the positive one is the greatest that occurs in y.
        one = np.ndim(classes) == 1 and list(classes) in ([0, 1], [-1, 1])
        return _of_probabilities(metric, params, classes) if one else None
    return _of_probabilities(metric, params, classes)


def _probabilities_of_block(
    metric: Callable[..., float],
    params: Mapping[str, Any],
    classes: Any,
    y: Any,
    predicted: Any,
    weight: Any,
) -> _OfProbabilities:
    total, weights = weights_of(y, weight)
    pinned = dict(params)
    takes_labels = "labels" in signature(metric).parameters
    if takes_labels and params.get("labels") is None and not _has_columns(y):
        pinned["labels"] = classes
    value = metric(y, predicted, **weights, **pinned)
    where, of_labels = distinct_rows([y], weight)
    where = np.arange(n_rows(y)) if where is None else where
    seen, example = pick_rows(y, where), pick_rows(predicted, where)
    return _OfProbabilities(total, value, seen, example, of_labels, n_rows(y))


def _mean_of_probabilities(
    metric: Callable[..., float],
    params: Mapping[str, Any],
    classes: Any,
    parts: list[_OfProbabilities],
) -> float:
    y, predicted = stack([one.y for one in parts]), stack([o.predicted for o in parts])
    # It raises an error if the labels that occur are not those it expects.
    metric(y, predicted, **params)
    others = set() if _has_columns(y) else set(np.ravel(y)) - set(classes)
    if others and params.get("labels") is None:
        raise ValueError(
            f"y has the labels {sorted(map(str, others))}, which the estimator has not "
            f"learned; expected some of {list(classes)}."
        )
    return float(weighted_mean([(one.weight, one.value) for one in parts]))


def _d2_of_probabilities(
    loss: Callable[..., float],
    reduce: Callable[..., Reduction | None],
    metric: Callable[..., float],
    params: Mapping[str, Any],
    classes: Any,
) -> Reduction | None:
    """Reduce the share of a loss that the shares of the labels do not explain.

    Parameters
    ----------
    loss : callable
        The metric that the loss is measured by.
    reduce : callable
        How the loss reduces.
    metric, params, classes
        As for the functions that `reduction_of` calls.
    """
    inner = reduce(loss, params, classes)
    if inner is None or params.get("labels") is not None:
        return None
    aggregate = partial(
        _d2_from_blocks, loss, metric, dict(params), classes, inner.aggregate
    )
    return Reduction(inner.chunk, aggregate)


def _d2_from_blocks(
    loss: Callable[..., float],
    metric: Callable[..., float],
    params: Mapping[str, Any],
    classes: Any,
    mean: Callable[[list[Any]], float],
    parts: list[_OfProbabilities],
) -> float:
    first = parts[0]
    if sum(one.rows for one in parts) < 2:
        return metric(first.y, first.predicted, **params)  # undefined, with a warning
    numerator = mean(parts)
    y = stack([one.y for one in parts])
    weights = np.concatenate([one.weights for one in parts])
    labels = np.unique(classes)
    is_label = np.asarray(y) if _has_columns(y) else np.ravel(y)[:, None] == labels
    shares = np.average(is_label, axis=0, weights=weights)
    if np.ndim(first.predicted) == 1:
        positive = params.get("pos_label")
        shares = shares[-1 if positive is None else list(labels).index(positive)]
    null = np.broadcast_to(shares, (n_rows(y), *np.shape(shares)))
    denominator = loss(y, null, sample_weight=weights, **params)
    # It may be 0. As in scikit-learn, NumPy then warns.
    return float(1 - np.divide(numerator, denominator))


def _d2_tweedie(
    metric: Callable[..., float], params: Mapping[str, Any], classes: Any
) -> Reduction | None:
    power = params.get("power", 0)
    if power < 0:
        return None
    return Reduction(
        partial(_deviances_of_block, power), partial(_d2_of_deviances, metric, power)
    )


class _Deviances(NamedTuple):
    """What is to be known of a block for the share of a deviance that is explained.

    Attributes
    ----------
    rows : int
    weight : float
    deviance : float
        Its mean from the prediction.
    mean : float
        The mean of y.
    within : float
        The mean deviance from that mean.
    """

    rows: int
    weight: float
    deviance: float
    mean: float
    within: float


def _deviances_of_block(
    power: float, y: Any, predicted: Any, weight: Any
) -> _Deviances:
    total, weights = weights_of(y, weight)
    deviance = partial(metrics.mean_tweedie_deviance, power=power, **weights)
    own = deviance(y, predicted)
    mean = float(np.average(np.ravel(y), weights=weights.get("sample_weight")))
    alike = np.full(n_rows(y), mean)
    # Where y may be 0, a mean of 0 is that of zeros alone.
    within = deviance(y, alike) if mean > 0 or power == 0 else 0.0
    return _Deviances(n_rows(y), total, own, mean, within)


def _d2_of_deviances(
    metric: Callable[..., float], power: float, parts: list[_Deviances]
) -> float:
    """Return D² from the deviances of each block.

    These are Bregman divergences. So the deviance from the mean of all rows is that
    from the mean of the block, and that of this mean from the mean of all rows.
    """
    if sum(one.rows for one in parts) < 2:
        return metric([1.0], [1.0], power=power)  # undefined, with a warning
    numerator = weighted_mean([(one.weight, one.deviance) for one in parts])
    within = weighted_mean([(one.weight, one.within) for one in parts])
    means, weights = [one.mean for one in parts], [one.weight for one in parts]
    everywhere = np.full(len(parts), np.average(means, weights=weights))
    between = metrics.mean_tweedie_deviance(
        means, everywhere, sample_weight=weights, power=power
    )
    return 1 - float(numerator) / float(within + between)


def _has_columns(y: Any) -> bool:
    return bool(np.ndim(y) == 2 and y.shape[1] > 1)


for _metric in _MEANS:
    reduction_of.register(_metric, Reduction.of_means)
for _metric in _PAIRS:
    reduction_of.register(_metric, Reduction.of_pairs)
for _metric in (metrics.root_mean_squared_error, metrics.root_mean_squared_log_error):
    reduction_of.register(_metric, _root)
for _metric in (metrics.r2_score, metrics.explained_variance_score):
    reduction_of.register(_metric, _of_moments)
reduction_of.register(metrics.max_error, _largest)
reduction_of.register(metrics.log_loss, _of_probabilities)
reduction_of.register(metrics.brier_score_loss, _brier)
reduction_of.register(metrics.d2_tweedie_score, _d2_tweedie)
reduction_of.register(
    metrics.d2_log_loss_score,
    partial(_d2_of_probabilities, metrics.log_loss, _of_probabilities),
)
if hasattr(metrics, "d2_brier_score"):
    reduction_of.register(
        metrics.d2_brier_score,
        partial(_d2_of_probabilities, metrics.brier_score_loss, _brier),
    )
for _name in ("positive_likelihood_ratio", "neg_negative_likelihood_ratio"):
    # The functions of these scorers have no public names.
    reduction_of.register(metrics.get_scorer(_name)._score_func, Reduction.of_pairs)
