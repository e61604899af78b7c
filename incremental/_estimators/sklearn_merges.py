"""The estimators of scikit-learn whose fitted states merge.

This module reads and writes public fitted attributes of scalers and of discrete
naive Bayes classifiers. It also uses two private functions, which say which features
are constant and how to scale them. Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

import copy
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, MultinomialNB
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature

from incremental._estimators.merge import merge
from incremental._typing import Estimator


@merge.register(StandardScaler)
def _merge_standard(first: StandardScaler, *others: StandardScaler) -> StandardScaler:
    merged = copy.deepcopy(first)
    for other in others:
        _add_moments(merged, other)
    if merged.with_std:
        constant = _is_constant_feature(
            merged.var_, merged.mean_, merged.n_samples_seen_
        )
        merged.scale_ = _handle_zeros_in_scale(
            np.sqrt(merged.var_), copy=False, constant_mask=constant
        )
    return merged


def _add_moments(merged: StandardScaler, other: StandardScaler) -> None:
    """Add the counts, means and variances of a scaler to those of another."""
    seen = np.asarray(merged.n_samples_seen_), np.asarray(other.n_samples_seen_)
    counts = seen[0] + seen[1]
    if merged.mean_ is not None:
        # A feature whose values are all missing has a count of 0 and NaN as its mean.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = seen[1] / counts
            delta = other.mean_ - merged.mean_
            mean = merged.mean_ + delta * share
            # Infinite means have no difference. The mean is then that of the sums.
            total = merged.mean_ * seen[0] + other.mean_ * seen[1]
            mean = np.where(np.isfinite(mean), mean, total / counts)
            mean = np.where(seen[0] == 0, other.mean_, mean)
            mean = np.where(seen[1] == 0, merged.mean_, mean)
            if merged.var_ is not None:
                var = merged.var_ * (1 - share) + other.var_ * share
                var += delta**2 * share * (1 - share)
                var = np.where(seen[0] == 0, other.var_, var)
                merged.var_ = np.where(seen[1] == 0, merged.var_, var)
        merged.mean_ = mean
    equal = counts.ndim == 0 or counts.max() == counts.min()
    merged.n_samples_seen_ = counts.flat[0] if equal else counts


@merge.register(MinMaxScaler)
def _merge_min_max(first: MinMaxScaler, *others: MinMaxScaler) -> MinMaxScaler:
    lowest = [scaler.data_min_ for scaler in (first, *others)]
    highest = [scaler.data_max_ for scaler in (first, *others)]
    return _refit_on_bounds(
        [np.fmin.reduce(lowest), np.fmax.reduce(highest)], first, *others
    )


@merge.register(MaxAbsScaler)
def _merge_max_abs(first: MaxAbsScaler, *others: MaxAbsScaler) -> MaxAbsScaler:
    highest = [scaler.max_abs_ for scaler in (first, *others)]
    return _refit_on_bounds([np.fmax.reduce(highest)], first, *others)


def _refit_on_bounds(
    bounds: list[NDArray[Any]], first: Estimator, *others: Estimator
) -> Estimator:
    """Merge scalers by fitting a new one on made-up rows that hold the extreme values.

    Parameters
    ----------
    bounds : list of ndarray of shape (n_features,)
        The made-up rows. Fitting on them gives the bounds of all rows.
    first, *others : estimator
        The scalers to merge.
    """
    merged: Estimator = clone(first).partial_fit(np.stack(bounds))
    merged.n_samples_seen_ = first.n_samples_seen_ + sum(
        other.n_samples_seen_ for other in others
    )
    if hasattr(first, "feature_names_in_"):
        merged.feature_names_in_ = first.feature_names_in_
    return merged


@merge.register(BernoulliNB)
@merge.register(ComplementNB)
@merge.register(MultinomialNB)
def _merge_counts(first: Estimator, *others: Estimator) -> Estimator:
    merged = copy.deepcopy(first)
    for other in others:
        merged.feature_count_ += other.feature_count_
        merged.class_count_ += other.class_count_
    return _with_probabilities(merged)


@merge.register(CategoricalNB)
def _merge_categorical(first: CategoricalNB, *others: CategoricalNB) -> CategoricalNB:
    merged = copy.deepcopy(first)
    for other in others:
        merged.category_count_ = list(
            map(_add_padded, merged.category_count_, other.category_count_)
        )
        merged.class_count_ += other.class_count_
    merged = _with_probabilities(merged)
    # `partial_fit` too sets this from the rows that came last.
    merged.n_categories_ = (first, *others)[-1].n_categories_
    return merged


def _add_padded(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Add two tables of counts, the narrower one padded with columns of zeros."""
    width = max(one.shape[1], other.shape[1])
    return reduce(
        np.add,
        (np.pad(a, [(0, 0), (0, width - a.shape[1])]) for a in (one, other)),
    )


def _with_probabilities(merged: Estimator) -> Estimator:
    """Let a classifier compute its probabilities from its counts, and return it.

    It learns from two made-up rows whose weights cancel out, so that the counts stay.
    """
    names = vars(merged).pop("feature_names_in_", None)
    rows = np.zeros((2, merged.n_features_in_), dtype=int)
    merged.partial_fit(rows, merged.classes_[[0, 0]], sample_weight=[1.0, -1.0])
    if names is not None:
        merged.feature_names_in_ = names
    return merged
