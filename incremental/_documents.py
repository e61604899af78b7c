"""Text as it comes: a missing document is an empty one."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from incremental._blocks import is_bag


def as_documents(estimator: Any, X: Any) -> Any:
    """Replace what is missing in X by empty text, if an estimator takes documents.

    Vectorisers raise on missing values, which every large collection of text has.

    Parameters
    ----------
    estimator : estimator
    X : array, frame, series or bag of shape (n_samples, ...)

    Returns
    -------
    same kind as X
        Lazy if X is; X itself for estimators that do not take documents.
    """
    if not _takes_documents(estimator):
        return X
    if is_bag(X):
        return X.map(_or_empty)
    is_series = hasattr(X, "fillna") and getattr(X, "ndim", None) == 1
    return X.fillna("") if is_series else X


def as_list(estimator: Any, X: Any) -> Any:
    """Return a series of documents as a list, if a vectoriser is to take it.

    Vectorisers take one document after the other, and a series that stores its text as
    Arrow does makes each of them anew: that is nearly a third of the time.

    Parameters
    ----------
    estimator : estimator
    X : array, frame, series or list in memory

    Returns
    -------
    list of str, or X itself
    """
    if not (hasattr(X, "iloc") and X.ndim == 1 and _takes_documents(estimator)):
        return X
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    first = _first_step(estimator)
    is_own = isinstance(first, CountVectorizer | HashingVectorizer)
    return X.tolist() if is_own else X


def _takes_documents(estimator: Any) -> bool:
    first = _first_step(estimator)
    if first is None or isinstance(first, str):
        return False
    tags = get_tags(first).input_tags
    return tags.string and not tags.two_d_array


def _first_step(estimator: Any) -> Any:
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[0][1]
    return estimator


def _or_empty(document: Any) -> Any:
    return "" if document is None or document != document else document
